//! How much is measured, which the environment says: ROWS, ROUNDS, FULL, ONLY.

use crate::Result;

/// What the environment asks for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rows of the table that is scored.
    pub rows: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Whether to measure what takes many minutes too.
    pub full: bool,
    /// The groups to measure; all if there are none.
    pub only: Vec<String>,
}

impl Settings {
    /// Reads the environment.
    pub fn read() -> Result<Self> {
        let number = |name: &str, default: usize| match std::env::var(name) {
            Ok(value) if !value.is_empty() => {
                value.parse().map_err(|_| format!("{name}={value} is not a number"))
            }
            _ => Ok(default),
        };
        let only = std::env::var("ONLY").unwrap_or_default();
        Ok(Self {
            rows: number("ROWS", 200_000)?.max(50),
            rounds: number("ROUNDS", 7)?.max(1),
            full: flag("FULL"),
            only: only.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// Rounds of what takes less than a second, which other work on the machine disturbs most.
    pub fn many_rounds(&self) -> usize {
        3 * self.rounds
    }

    /// Rounds of what takes seconds and varies little.
    pub fn few_rounds(&self) -> usize {
        self.rounds.min(3)
    }

    /// Whether a group is to be measured.
    pub fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == group)
    }
}

/// Whether a switch is on.
pub fn flag(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}
