//! Times that were measured in turns.

use crate::Result;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What the rounds of one contestant came to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Figures {
    /// The best round.
    pub min: f64,
    /// The round in the middle; what ratios are made of.
    pub median: f64,
    /// The worst round.
    pub max: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Figures {
    /// Of these samples; none of none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[half] } else { sorted[half - 1].midpoint(sorted[half]) };
        Some(Self { min: first, median, max: last, rounds: sorted.len() })
    }
}

/// Whether a race has a round that does not count: what it warms up is nothing that is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A round before the first one warms caches up.
    Warm,
    /// The first round counts.
    Cold,
}

/// Has contestants take turns, round by round, so that a machine whose speed drifts treats all alike. Each round begins
/// with another one: nobody always comes after the same neighbour. A turn returns what it measured.
pub fn race(
    rounds: usize,
    contestants: usize,
    start: Start,
    mut turn: impl FnMut(usize) -> Result<f64>,
) -> Result<Vec<Figures>> {
    let mut samples = vec![Vec::with_capacity(rounds); contestants];
    let first = usize::from(start == Start::Cold);
    for round in first..=rounds {
        for place in 0..contestants {
            let contestant = (place + round) % contestants;
            let measured = turn(contestant)?;
            if round > 0 {
                samples[contestant].push(measured);
            }
        }
    }
    samples.iter().map(|samples| Figures::of(samples).ok_or_else(|| "a race of no rounds".into())).collect()
}

/// The seconds that something takes.
pub fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

/// A count as a divisor. Exact: no count here comes near 2^53.
#[allow(clippy::cast_precision_loss)]
pub fn count(n: usize) -> f64 {
    n as f64
}

/// How far the worst of some points is from the straight line that is nearest to all of them, as a share of its own value.
/// The line need not go through 0: what a call costs at all is no part of how the cost grows.
pub fn off_line(points: &[(f64, f64)]) -> f64 {
    // Least squares of the relative errors: each point counts the same, however large it is.
    let sums = points.iter().fold([0.0; 5], |sums, (x, y)| {
        let (a, b) = (1.0 / y, x / y);
        [sums[0] + a * a, sums[1] + a * b, sums[2] + b * b, sums[3] + a, sums[4] + b]
    });
    let determinant = sums[0] * sums[2] - sums[1] * sums[1];
    let base = (sums[3] * sums[2] - sums[4] * sums[1]) / determinant;
    let slope = (sums[0] * sums[4] - sums[1] * sums[3]) / determinant;
    points.iter().map(|(x, y)| ((base + slope * x) / y - 1.0).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Figures::of(&[]), None);
        assert_eq!(Figures::of(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        let even = Figures::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((even.min, even.median, even.max, even.rounds), (1.0, 2.5, 4.0, 4));
    }

    #[test]
    fn contestants_take_turns_and_the_warm_round_does_not_count() {
        let mut turns = Vec::new();
        let figures = race(2, 2, Start::Warm, |contestant| {
            turns.push(contestant);
            Ok(count(turns.len()))
        });
        assert_eq!(turns, [0, 1, 1, 0, 0, 1]);
        let figures = figures.unwrap();
        assert_eq!((figures[0].min, figures[0].max, figures[1].rounds), (4.0, 5.0, 2));
    }

    #[test]
    fn points_on_a_line_are_on_it_and_a_square_is_not() {
        let line: Vec<(f64, f64)> = [1.0, 10.0, 100.0].iter().map(|x| (*x, 5.0 + 2.0 * x)).collect();
        assert!(off_line(&line) < 1e-9);
        let square: Vec<(f64, f64)> = [1.0, 10.0, 100.0].iter().map(|x| (*x, x * x)).collect();
        assert!(off_line(&square) > 0.5);
    }
}
