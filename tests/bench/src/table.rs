//! Figures, and how they are shown: tables in Markdown, ready for `docs/performance.md`.

use std::time::Duration;

/// The middle one of some figures; of an even number the upper one. 0 for none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50)
}

/// The figure that this share of them does not exceed. 0 for none.
pub(crate) fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The ratios of figures that were measured side by side.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

/// A median with the smallest and the largest, such as `0.71 (0.68–0.75)`.
pub(crate) fn spread(figures: &[f64], decimals: usize) -> String {
    let (low, high) = (percentile(figures, 0), percentile(figures, 100));
    format!("{:.decimals$} ({low:.decimals$}–{high:.decimals$})", median(figures))
}

/// The exponent of a power law through these points: 1 is linear.
pub(crate) fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.iter().map(|_| 1.0).sum::<f64>();
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let products: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let squares: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    products / squares
}

/// Prints a table.
pub(crate) fn print(title: &str, header: &[&str], rows: &[Vec<String>]) {
    println!("\n{title}\n");
    println!("| {} |", header.join(" | "));
    println!("|{}", "---|".repeat(header.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_line_is_one_and_of_a_square_two() {
        let points = |power: i32| [10.0, 100.0, 1000.0].map(|x: f64| (x, 3.0 * x.powi(power)));
        assert!((exponent(&points(1)) - 1.0).abs() < 1e-9);
        assert!((exponent(&points(2)) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let figures: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([0, 50, 99, 100].map(|percent| percentile(&figures, percent)), [1.0, 51.0, 100.0, 100.0]);
        assert_eq!(percentile(&[], 99), 0.0);
    }
}
