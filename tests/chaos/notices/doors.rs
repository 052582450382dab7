use test_support::fleet::Addresses;

use super::{APIS, WORKERS};

/// Where the REST service can be reached: its processes are killed, and come back at other addresses.
#[derive(Debug, Clone)]
pub(super) struct Doors(pub(super) Addresses);

impl Doors {
    /// The address of one of its processes; another one at the next turn.
    pub(super) fn one(&self, turn: usize) -> String {
        self.0.url(WORKERS + turn % APIS).unwrap_or_default()
    }
}
