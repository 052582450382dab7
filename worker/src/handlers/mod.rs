//! One file per job. A handler reads the row, does what is due, and says how it ended.

pub(crate) mod create_scheduled_run;
pub(crate) mod deliver_webhook;
pub(crate) mod finalise_run;
pub(crate) mod refresh_run;
pub(crate) mod send_email;

use tracing::field::display;
use uuid::Uuid;

/// How long a mail or a delivery belongs to whoever claimed it, in seconds: longer than sending may take, and short
/// enough that another worker takes over soon after a crash.
const LEASE_SECONDS: f64 = 20.0;

/// Has the log lines of the job at hand tell which run it is about.
fn tell_run(run_id: Uuid) {
    tracing::Span::current().record("run_id", display(run_id));
}
