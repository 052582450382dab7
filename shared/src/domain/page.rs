//! One page of a list.

use serde::Serialize;
use utoipa::ToSchema;

/// The part of a list that a client asked for (decisions, Every endpoint).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Rows at most: 1 to 100.
    pub limit: i64,
    /// Rows to pass over.
    pub offset: i64,
}

/// A page of rows with the exact number of all rows that match.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Paged<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// How many rows match in all.
    pub total: i64,
    /// The page size asked for.
    pub limit: i64,
    /// The rows passed over.
    pub offset: i64,
}

impl<T> Paged<T> {
    /// Puts a page together.
    #[must_use]
    pub fn new(items: Vec<T>, total: i64, page: Page) -> Self {
        Self { items, total, limit: page.limit, offset: page.offset }
    }
}
