//! Chance that can be repeated, and how long a test shall go on.

use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use crate::data::note;

/// Random numbers of a test. Their seed is `SEED` or drawn anew; it is printed, so that a run can be repeated as far as timing
/// lets it.
pub fn chance(test: &str) -> Rng {
    let drawn =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::from(now.subsec_nanos()));
    let seed = std::env::var("SEED").map_or_else(|_| drawn(), |seed| asked("SEED", &seed));
    note(&format!("{test}: SEED={seed}"));
    Rng::with_seed(seed)
}

/// A number that the environment asks for (`ROUNDS`, `MINUTES`), or the default of a short run.
pub fn asked_for(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| asked(name, &number))
}

fn asked(name: &str, number: &str) -> u64 {
    number.parse().unwrap_or_else(|_| panic!("{name}={number} is no whole number"))
}
