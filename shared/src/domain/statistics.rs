//! Count arithmetic; the only place that divides.

use rust_decimal::{Decimal, RoundingStrategy};

/// `passed ÷ total × 100` with two decimals, half away from zero; 0 where `total` is 0 (decisions, Runs).
#[must_use]
pub fn pass_rate(passed: i32, total: i32) -> Decimal {
    if total <= 0 {
        return Decimal::ZERO;
    }
    (Decimal::from(passed) * Decimal::ONE_HUNDRED / Decimal::from(total))
        .round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_round_half_away_from_zero_and_survive_zero() {
        assert_eq!(pass_rate(2, 3), Decimal::new(6667, 2));
        assert_eq!(pass_rate(1, 8), Decimal::new(125, 1));
        assert_eq!(pass_rate(1, 1600), Decimal::new(6, 2), "0.0625 rounds down");
        assert_eq!(pass_rate(1, 32), Decimal::new(313, 2), "3.125 rounds away from zero");
        assert_eq!(pass_rate(0, 0), Decimal::ZERO);
        assert_eq!(pass_rate(7, 7), Decimal::ONE_HUNDRED);
    }
}
