//! What breaks, and when: drawn from the seed before anything starts.

use std::fmt;
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use test_support::{Fleet, Postgres};

/// From one fault to the next.
const PAUSE_MS: std::ops::Range<u64> = 1_500..4_500;

/// In order, each with the time to wait before it.
#[derive(Debug)]
pub(crate) struct Faults(Vec<(Duration, Fault)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// kill -9 of this process of the fleet, which is started again.
    Kill(usize),
    /// An immediate stop of PostgreSQL, as a crash, and a start.
    RestartDatabase,
}

impl Faults {
    /// Faults for a fleet of `processes`.
    pub(crate) fn draw(seed: u64, duration: Duration, processes: usize) -> Self {
        // A generator of their own: how many times another one is asked may depend on when it all starts.
        let mut rng = StdRng::seed_from_u64(seed);
        let mut faults = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            let pause = Duration::from_millis(rng.random_range(PAUSE_MS));
            at += pause;
            if at > duration {
                return Self(faults);
            }
            let is_database = rng.random_bool(0.15);
            let fault = if is_database { Fault::RestartDatabase } else { Fault::Kill(rng.random_range(0..processes)) };
            faults.push((pause, fault));
        }
    }

    fn restarts(&self) -> usize {
        self.0.iter().filter(|(_, fault)| *fault == Fault::RestartDatabase).count()
    }

    /// Has all of it happen, and waits until every process runs again. Returns from when to when each fault lasted.
    pub(crate) async fn inflict(
        &self,
        fleet: &mut Fleet,
        postgres: &mut Postgres,
        say: impl Fn(&str),
    ) -> anyhow::Result<Vec<(SystemTime, SystemTime)>> {
        let mut happened = Vec::new();
        for (pause, fault) in &self.0 {
            tokio::time::sleep(*pause).await;
            let began = match fault {
                Fault::Kill(number) => {
                    say(&format!("kill -9 {}", fleet.name(*number)));
                    fleet.replace(*number).await?
                }
                Fault::RestartDatabase => {
                    say("PostgreSQL restarts");
                    let began = SystemTime::now();
                    postgres.restart().await?;
                    began
                }
            };
            happened.push((began, SystemTime::now()));
        }
        say("no more faults");
        fleet.ready().await?;
        anyhow::ensure!(fleet.ended().is_empty(), "ended by themselves, which none may: {:?}", fleet.ended());
        Ok(happened)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let restarts = self.restarts();
        write!(f, "{} kills, {restarts} restarts of PostgreSQL", self.0.len() - restarts)
    }
}
