//! How many requests a token may send. Each api process counts for itself.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

/// A bucket per token: `per_second` requests a second, and as many saved up as two seconds give.
#[derive(Debug, Clone)]
pub struct RateLimit(Option<Arc<DefaultKeyedRateLimiter<Uuid>>>);

impl RateLimit {
    /// A limit of `per_second`; 0 is none.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self(NonZeroU32::new(per_second).map(|per_second| {
            let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_mul(TWO));
            Arc::new(RateLimiter::keyed(quota))
        }))
    }

    /// Takes one request out of the token's bucket.
    ///
    /// # Errors
    /// Seconds until there will be one, rounded up.
    pub(crate) fn check(&self, token_id: Uuid) -> Result<(), u64> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&token_id).map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            wait.as_secs() + 1
        })
    }
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_its_own_bucket() {
        let limit = RateLimit::new(1);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(limit.check(one).is_ok() && limit.check(one).is_ok(), "a burst of two seconds' worth passes");
        assert!(limit.check(one).is_err_and(|seconds| seconds >= 1));
        assert!(limit.check(other).is_ok());
        assert!(RateLimit::new(0).check(one).is_ok());
    }
}
