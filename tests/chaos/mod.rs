//! Fire under which all has to hold: what breaks is drawn from a seed, and afterwards everything is accounted for. A folder for
//! each of the commands `chaos` (the whole service), `schedule-chaos` and `notice-chaos`, and for a short story of each.

mod faults;
pub(crate) mod notices;
pub(crate) mod schedules;
pub(crate) mod service;
