//! Fire under which all has to hold: processes are killed and PostgreSQL is restarted by a seeded plan. The commands
//! `schedule-chaos` and `notice-chaos` and short stories of both.

mod faults;
pub(crate) mod notices;
pub(crate) mod schedules;
