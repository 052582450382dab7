use sqlx::{Acquire, Postgres};

/// Where a write gets its transaction from: a pool, for one of its own, or a transaction that the caller commits, in which
/// the write becomes a savepoint.
///
/// The REST service hands its own transaction in where the write has to commit together with the record of its
/// `Idempotency-Key` (design, rule 2).
pub trait Source<'c>: Acquire<'c, Database = Postgres> + Send {}

impl<'c, T: Acquire<'c, Database = Postgres> + Send> Source<'c> for T {}
