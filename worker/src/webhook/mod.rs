//! How webhooks leave: one signed POST, to addresses that may be connected to.

mod addresses;
mod allow_list;
mod client;

pub use allow_list::AllowList;
pub(crate) use client::{Attempted, TIMEOUT, WebhookClient};
