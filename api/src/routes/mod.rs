//! One file per resource: what it accepts and answers that is not a row, its handlers, its router. No SQL, no rules.

pub(crate) mod checkpoint_results;
pub(crate) mod console_logs;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod network_logs;
pub(crate) mod projects;
pub(crate) mod queues;
pub(crate) mod reports;
pub(crate) mod schedules;
pub(crate) mod script_results;
pub(crate) mod test_cases;
pub(crate) mod test_run_items;
pub(crate) mod test_run_results;
pub(crate) mod test_runs;
pub(crate) mod test_scripts;
pub(crate) mod test_step_results;
pub(crate) mod tokens;
pub(crate) mod unsubscribe;
pub(crate) mod users;
pub(crate) mod webhooks;
pub(crate) mod websocket;
