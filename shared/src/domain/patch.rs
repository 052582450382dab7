//! What partial updates have in common: a field that is absent keeps its value, an explicit null clears it (decisions, Runs).

use serde::{Deserialize, Deserializer};

/// A field of a PUT for a column that may be null: absent, null or a value. With `#[serde(default, with = "…")]` of
/// [`nullable`].
pub type Nullable<T> = Option<Option<T>>;

pub use serde_with::rust::double_option as nullable;

/// Reads a field of a PUT for a column that may not be null: a null is refused by the value's own type.
///
/// # Errors
/// If the value is null or of another type.
pub fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Takes a field over if it was given.
pub(crate) fn set<T>(column: &mut T, field: Option<T>) {
    if let Some(value) = field {
        *column = value;
    }
}
