//! Real servers, started and ended in every way they can be.

#![expect(clippy::unwrap_used, reason = "these are tests, the functions they share included")]

mod accounts;
mod exclusive;
mod helper;
mod refusals;
mod shared;
mod support;
