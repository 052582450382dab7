//! Settings that services share: flags and environment variables, no files. A bad value stops the start and names the
//! variable.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseConfig {
    /// PostgreSQL connection URL, for example `postgres://user:password@host/testrun`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,

    /// Most connections that this process opens at once
    #[arg(long, env = "TESTRUN_DATABASE_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
}

/// How long something is kept: `forever`, or a whole number with a unit, such as `90d`, `24h`, `30m` or `45s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep(Option<Duration>);

impl Keep {
    /// A parser that takes nothing shorter than `least`.
    pub fn at_least(least: Duration) -> impl Fn(&str) -> Result<Self, String> + Clone + Send + Sync + 'static {
        move |text: &str| match text.parse()? {
            Self(Some(time)) if time < least => Err(format!("must be at least {}", Self(Some(least)))),
            keep => Ok(keep),
        }
    }

    /// The time, in seconds; `None` is for ever.
    #[must_use]
    pub fn seconds(self) -> Option<f64> {
        self.0.map(|time| time.as_secs_f64())
    }
}

/// The units, the largest first, in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self(None));
        }
        let expected = "must be `forever`, or a whole number with a unit, such as 90d, 24h, 30m or 45s";
        let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
        let (number, seconds) = unit.ok_or(expected)?;
        let number: u64 = number.parse().map_err(|_| expected)?;
        // A hundred years.
        let time =
            number.checked_mul(seconds).filter(|time| *time <= 36_500 * 86_400).ok_or("must be at most 36500d")?;
        Ok(Self(Some(Duration::from_secs(time))))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(time) = self.0.map(|time| time.as_secs()) else { return f.write_str("forever") };
        let (unit, seconds) =
            UNITS.iter().find(|(_, seconds)| time >= *seconds && time % seconds == 0).unwrap_or(&('s', 1));
        write!(f, "{}{unit}", time / seconds)
    }
}

/// Where operators ask.
#[derive(Debug, Clone, Args)]
pub struct AdminConfig {
    /// Address for `/healthz`, `/readyz` and `/metrics`; port 0 takes any free one; absent: not served
    #[arg(long, env = "TESTRUN_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// What is logged, in the syntax of tracing-subscriber's filters
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,sqlx=warn,apalis_core=warn,apalis_postgres=warn",
        hide_default_value = false
    )]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_something_is_kept_is_read_as_it_is_written() {
        for (text, seconds, shown) in [
            ("forever", None, "forever"),
            ("90d", Some(7_776_000.0), "90d"),
            ("24h", Some(86_400.0), "1d"),
            ("36h", Some(129_600.0), "36h"),
            ("30m", Some(1800.0), "30m"),
            ("45s", Some(45.0), "45s"),
            ("0s", Some(0.0), "0s"),
        ] {
            let keep: Keep = text.parse().expect(text);
            assert_eq!((keep.seconds(), keep.to_string().as_str()), (seconds, shown), "{text}");
        }
        for wrong in ["", "d", "7", "-7d", "7.5d", "7 d", "7w", "never", "36501d", "99999999999999999999d", "7ä"] {
            assert!(wrong.parse::<Keep>().is_err(), "{wrong}");
        }
        let at_least = Keep::at_least(Duration::from_secs(86_400));
        assert_eq!(at_least("23h"), Err("must be at least 1d".to_owned()));
        assert!(at_least("24h").is_ok() && at_least("forever").is_ok());
    }
}
