//! What must be reached, and what is aimed at. The order is that of the table.

use serde::{Deserialize, Serialize};

/// What a target counts in, which says how it is written and which way is better.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The ratio of two medians: less is better.
    Times,
    /// How many times as fast: more is better.
    Faster,
    /// Milliseconds.
    Milliseconds,
    /// Kilobytes of 1,024 bytes.
    Kilobytes,
    /// Megabytes of a million bytes.
    Megabytes,
    /// A share, as a percentage.
    Percent,
    /// Minutes.
    Minutes,
    /// How often something happened.
    Count,
}

impl Unit {
    /// A value as readers take it in: ratios below one as 1/n.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Times if value > 0.0 && value < 0.7 => format!("1/{}", short(1.0 / value)),
            Self::Times => format!("{} x", short(value)),
            Self::Faster => format!("{} x faster", short(value)),
            Self::Milliseconds => format!("{} ms", short(value)),
            Self::Kilobytes => format!("{value:.0} kB"),
            Self::Megabytes => format!("{} MB", short(value)),
            Self::Percent => format!("{:.0} %", value * 100.0),
            Self::Minutes => format!("{} min", short(value)),
            Self::Count => format!("{value:.0}"),
        }
    }

    fn reaches(self, value: f64, target: f64) -> bool {
        if self == Self::Faster { value >= target } else { value <= target }
    }
}

/// Three digits are more than a noisy machine has to say.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A whole number with a comma before each three digits.
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A row of the table.
#[derive(Debug)]
pub struct Target {
    /// What the measuring code calls it.
    pub id: &'static str,
    /// What is measured, against what.
    pub what: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// What must be reached.
    pub must: Option<f64>,
    /// What is aimed at.
    pub aim: Option<f64>,
}

impl Target {
    /// Whether there is something to reach.
    pub fn is_set(&self) -> bool {
        self.must.or(self.aim).is_some()
    }

    /// Which of both a value reaches.
    pub fn met(&self, value: f64) -> &'static str {
        let reaches = |target: Option<f64>| target.map(|target| self.unit.reaches(value, target));
        match (reaches(self.must), reaches(self.aim)) {
            (None, None) => "",
            (Some(false), _) | (None, Some(false)) => "no",
            (_, Some(true)) => "aim",
            (Some(true), _) => "must",
        }
    }
}

const fn target(id: &'static str, what: &'static str, unit: Unit, must: f64, aim: f64) -> Target {
    Target { id, what, unit, must: Some(must), aim: Some(aim) }
}

const fn must(id: &'static str, what: &'static str, unit: Unit, must: f64) -> Target {
    Target { id, what, unit, must: Some(must), aim: None }
}

const fn known(id: &'static str, what: &'static str, unit: Unit) -> Target {
    Target { id, what, unit, must: None, aim: None }
}

use Unit::{Count, Faster, Kilobytes, Megabytes, Milliseconds, Minutes, Percent, Times};

/// All rows.
pub const TARGETS: &[Target] = &[
    target(
        "lower",
        "`count(sentiment_score(body))` against `count(lower(body))`, whole query",
        Times,
        1.5,
        1.0,
    ),
    target("tsvector", "the same against `to_tsvector('english', body)`", Times, 1.0 / 8.0, 1.0 / 15.0),
    target("vader", "the same against VADER in PL/Python, warm", Times, 1.0 / 25.0, 1.0 / 50.0),
    known("lower_sms", "the same against `lower(body)`, SMS that no model has seen", Times),
    known("lower_foreign", "the same against `lower(body)`, Spanish tweets, mostly unknown words", Times),
    known(
        "lower_linear",
        "`sentiment_score(body, 'english@1')`, a model without a network, against `lower(body)`",
        Times,
    ),
    known(
        "lower_logistic",
        "a logistic regression of the user's own, with its defaults, against `lower(body)`",
        Times,
    ),
    known("lower_learned", "the same, once it has learned 1,000 further texts", Times),
    known("lower_bayes", "a naive Bayes model of the user's own", Times),
    known(
        "lower_words",
        "a logistic regression of the user's own on words alone (`words` 1, `chars` false)",
        Times,
    ),
    target(
        "trigger",
        "insert-select, label + score + version by the trigger, against an empty PL/pgSQL trigger",
        Times,
        1.3,
        1.0,
    ),
    known("trigger_tsvector", "the same against `tsvector_update_trigger`", Times),
    known("trigger_vader", "the same against VADER in a PL/Python trigger", Times),
    target(
        "three",
        "`sentiment`, `sentiment_score` and `sentiment_detail` of one row against `sentiment_detail`",
        Times,
        1.5,
        1.2,
    ),
    known("three_score", "the same against `sentiment_score`", Times),
    target("parallel", "two parallel workers against none", Faster, 1.8, 1.95),
    known("parallel_many", "the same of five times as many rows", Faster),
    known(
        "parallel_lower",
        "two workers against none for `count(lower(body))`: what the server's workers cost",
        Faster,
    ),
    target("first_call", "first call in a new session, over `SELECT 1`", Milliseconds, 2.0, 0.3),
    target(
        "first_trained",
        "first call of a trained model of 10 MB in a new session, over `SELECT 1`",
        Milliseconds,
        10.0,
        2.0,
    ),
    target(
        "first_worker",
        "the same in a new parallel worker, over the shipped model",
        Milliseconds,
        10.0,
        2.0,
    ),
    target(
        "memory",
        "memory that a session adds for the shipped model (private dirty)",
        Kilobytes,
        512.0,
        128.0,
    ),
    target(
        "memory_fifty",
        "50 sessions that use one trained model of 10 MB: memory in all",
        Megabytes,
        250.0,
        20.0,
    ),
    target(
        "logistic",
        "training 28,795 tweets, logistic regression, against scikit-learn on the same terms",
        Times,
        1.0 / 8.0,
        1.0 / 20.0,
    ),
    target("fasttext", "the same against fastText with word 2-grams on all cores", Times, 1.0, 0.5),
    target("bayes", "naive Bayes, same rows, against scikit-learn on the same terms", Times, 0.25, 0.1),
    must(
        "growth",
        "training more and more rows: how much more a row costs than with the fewest",
        Percent,
        0.15,
    ),
    must("growth_memory", "the same: memory, of the least `train_memory` that it takes", Percent, 1.0),
    must("length", "scoring 10 to 65,536 characters: how far from a straight line", Percent, 0.15),
    must("length_past", "scoring 100,000 characters: how much more than 65,537 cost", Percent, 0.15),
    target("refresh", "refresh with 1,000 examples", Milliseconds, 100.0, 20.0),
    must("stale", "statements of another session after COMMIT that still gave the old answer", Count, 0.0),
    Target {
        id: "commit",
        what: "from COMMIT to the new answer in another session",
        unit: Milliseconds,
        must: None,
        aim: Some(20.0),
    },
    target("library", "library, stripped", Megabytes, 25.0, 12.0),
    target("build", "build from nothing", Minutes, 4.0, 2.5),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_like_the_targets() {
        assert_eq!(Unit::Times.show(1.0 / 8.0), "1/8");
        assert_eq!(Unit::Times.show(1.3), "1.3 x");
        assert_eq!(Unit::Times.show(1.0), "1 x");
        assert_eq!(Unit::Percent.show(0.15), "15 %");
        assert_eq!(Unit::Megabytes.show(123.4), "123 MB");
        assert_eq!([999, 1_000, 1_234_567].map(grouped), ["999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_value_meets_the_aim_the_must_or_neither() {
        let lower = &TARGETS[0];
        assert_eq!([0.9, 1.2, 2.0].map(|value| lower.met(value)), ["aim", "must", "no"]);
        let parallel = TARGETS.iter().find(|target| target.id == "parallel").unwrap();
        assert_eq!([1.96, 1.9, 1.0].map(|value| parallel.met(value)), ["aim", "must", "no"]);
    }
}
