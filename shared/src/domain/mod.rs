//! Types and pure rules: no SQL, no HTTP, no clock.
//!
//! A table has at most three types: the row (which is also its JSON), the body that creates it and the body that
//! changes it. Field order follows the specification's examples.

pub mod checkpoint_result;
pub mod console_log;
pub mod event;
pub mod execution_history;
pub mod identity;
pub mod masking;
pub mod network_log;
pub mod notification;
pub mod page;
pub mod patch;
pub mod queue;
pub mod recurrence;
pub mod schedule;
pub mod schedule_execution;
pub mod script_result;
pub mod statistics;
pub mod summary;
pub mod test_case;
pub mod test_run;
pub mod test_run_item;
pub mod test_run_result;
pub mod test_script;
pub mod test_step_result;
mod text_enum;
pub mod validation;
pub mod webhook;
