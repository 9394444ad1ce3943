//! The options of training, in one table: what they are called, what they may be, what they are if not given. Parsing,
//! error messages and the README all come from it.

use super::Algorithm;
use crate::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

/// What an option's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// A whole number in a range.
    Integer(i64, i64),
    /// A number in a range.
    Number(f64, f64),
    /// true or false.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A language tag (BCP 47).
    Language,
    /// An object that gives labels a value.
    LabelScores,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its key.
    pub name: &'static str,
    /// The algorithms that take it.
    pub algorithms: &'static [Algorithm],
    /// What it may be.
    pub domain: Domain,
    /// What it is if not given, as JSON; one for each algorithm that takes it, or one for all.
    pub defaults: &'static [&'static str],
    /// What it does: a sentence for the README.
    pub about: &'static str,
}

const ALL: &[Algorithm] = &Algorithm::ALL;
const NAIVE_BAYES: &[Algorithm] = &[Algorithm::NaiveBayes];
const LOGISTIC: &[Algorithm] = &[Algorithm::LogisticRegression];
const FOREST: &[Algorithm] = &[Algorithm::RandomForest];

/// Every option, in the order of the README's table.
pub const OPTIONS: &[OptionSpec] = {
    use Domain::{Choice, Flag, Integer, LabelScores, Language, Number};
    const fn row(
        name: &'static str,
        algorithms: &'static [Algorithm],
        domain: Domain,
        defaults: &'static [&'static str],
        about: &'static str,
    ) -> OptionSpec {
        OptionSpec { name, algorithms, domain, defaults, about }
    }
    &[
        row("words", ALL, Integer(1, 3), &["2", "2", "1"], "The most neighbouring words that make one term."),
        row("chars", LOGISTIC, Flag, &["true"], "Whether parts of words (3 to 5 characters) are terms."),
        row("min_texts", ALL, Integer(1, 1_000_000), &["2"], "The fewest texts that a term must stand in."),
        row(
            "class_weight",
            &[Algorithm::LogisticRegression, Algorithm::RandomForest],
            Choice(&["balanced", "none"]),
            &["\"balanced\""],
            "Whether every class counts the same, or every row.",
        ),
        row(
            "folds",
            ALL,
            Integer(2, 20),
            &["3"],
            "The parts that the training rows are cut into to calibrate the probabilities on rows not learned from.",
        ),
        row(
            "calibration",
            ALL,
            Choice(&["vector", "temperature"]),
            &["\"vector\""],
            "Whether the folds set a bias of each class and how sure to be, or only how sure to be.",
        ),
        row(
            "language",
            ALL,
            Language,
            &["\"und\""],
            "The language of the texts, for the view sentiment.models.",
        ),
        row(
            "label_scores",
            ALL,
            LabelScores,
            &["null"],
            "The value of each label in sentiment_score(); without it positive, neutral and negative have 1, 0 and -1.",
        ),
        row("keep_versions", ALL, Integer(1, 10_000), &["10"], "The versions of the model that are kept."),
        row("feedback", ALL, Flag, &["true"], "Whether what learn_sentiment() filed is trained on as well."),
        row(
            "variant",
            NAIVE_BAYES,
            Choice(&["multinomial", "complement", "bernoulli"]),
            &["\"multinomial\""],
            "Which naive Bayes.",
        ),
        row(
            "smoothing",
            NAIVE_BAYES,
            Number(1e-6, 1e6),
            &["1"],
            "What is added to each count, so that what was never seen is not impossible.",
        ),
        row(
            "prior",
            NAIVE_BAYES,
            Choice(&["fitted", "uniform"]),
            &["\"uniform\""],
            "Whether classes are taken to be as frequent as in the training rows, or equally frequent.",
        ),
        row(
            "term_scale",
            LOGISTIC,
            Choice(&["log_ratio", "none"]),
            &["\"log_ratio\""],
            "Whether a term is penalised the less the more it tells the classes apart (its log-count ratio), or as all are.",
        ),
        row(
            "l2",
            LOGISTIC,
            Number(0.0, 1e6),
            &["null"],
            "The strength of the penalty on squared weights, beside the mean loss of a row; \
             without it 1 divided by the number of rows.",
        ),
        row(
            "l1",
            LOGISTIC,
            Number(0.0, 1e6),
            &["0"],
            "The strength of the penalty on absolute weights; above 0, l1 and l2 make the elastic net.",
        ),
        row(
            "solver",
            LOGISTIC,
            Choice(&["dual", "lbfgs"]),
            &["\"dual\""],
            "Whether L-BFGS starts where dual coordinate ascent comes to (much faster, without l1), or from zero.",
        ),
        row("iterations", LOGISTIC, Integer(1, 100_000), &["300"], "The most iterations of the solver."),
        row(
            "tolerance",
            LOGISTIC,
            Number(1e-12, 1.0),
            &["0.01"],
            "The solver has converged where the gradient is this small beside the first one.",
        ),
        row(
            "lexicon",
            LOGISTIC,
            Choice(&["none", "english"]),
            &["\"none\""],
            "Whether the shipped English lexicon and features of the text as a whole are added.",
        ),
        row(
            "learning_rate",
            LOGISTIC,
            Number(1e-6, 100.0),
            &["0.5"],
            "How far refresh_sentiment() goes at each new example.",
        ),
        row("trees", FOREST, Integer(1, 2000), &["60"], "The number of trees."),
        row("depth", FOREST, Integer(1, 1000), &["100"], "The most splits on the way to a leaf."),
        row(
            "features",
            FOREST,
            Integer(1, 100_000),
            &["4000"],
            "The most terms that the trees may ask for: those that tell the classes apart best (chi-squared).",
        ),
        row(
            "split_features",
            FOREST,
            Integer(0, 100_000),
            &["0"],
            "The terms that are tried at a split; 0 means the logarithm of all to the base 2.",
        ),
        row("min_leaf", FOREST, Integer(1, 1_000_000), &["1"], "The fewest training rows in a leaf."),
        row(
            "bootstrap",
            FOREST,
            Flag,
            &["false"],
            "Whether each tree sees a sample drawn with replacement, or all rows.",
        ),
    ]
};

impl OptionSpec {
    /// What the option is for an algorithm that takes it, if it is not given; JSON.
    pub fn default_for(&self, algorithm: Algorithm) -> &'static str {
        let at = self.algorithms.iter().position(|&taker| taker == algorithm).unwrap_or(0);
        self.defaults.get(at).or(self.defaults.first()).copied().unwrap_or("null")
    }

    /// What the option may be, in words.
    pub fn range(&self) -> String {
        match self.domain {
            Domain::Integer(low, high) => format!("a whole number from {low} to {high}"),
            Domain::Number(low, high) => format!("a number from {low} to {high}"),
            Domain::Flag => "true or false".to_owned(),
            Domain::Choice(words) => words.join(", ").replacen(", ", " or ", usize::from(words.len() == 2)),
            Domain::Language => "a language tag such as en or pt-BR".to_owned(),
            Domain::LabelScores => "an object that gives labels a number from -1000000 to 1000000".to_owned(),
        }
    }

    /// A value as it is kept: 2.0, as some programs write it, is a whole number too.
    #[allow(clippy::cast_possible_truncation, reason = "whole numbers below 2^53 are the same in both")]
    fn kept(&self, value: Value) -> Value {
        match (self.domain, value.as_f64()) {
            (Domain::Integer(..), Some(number)) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Value::from(number as i64)
            }
            _ => value,
        }
    }

    /// Null is what an option without a value of its own has.
    fn accepts(&self, value: &Value) -> bool {
        if value.is_null() {
            return self.defaults == ["null"];
        }
        match self.domain {
            Domain::Integer(low, high) => value.as_i64().is_some_and(|n| (low..=high).contains(&n)),
            Domain::Number(low, high) => value.as_f64().is_some_and(|n| (low..=high).contains(&n)),
            Domain::Flag => value.is_boolean(),
            Domain::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Domain::Language => value.as_str().is_some_and(is_language),
            Domain::LabelScores => {
                let number = |score: &Value| score.as_f64().is_some_and(|n| n.abs() <= 1e6);
                value.as_object().is_some_and(|labels| labels.values().all(number))
            }
        }
    }
}

/// Letters, digits and hyphens, 35 at most: the longest tag that RFC 5646 asks a buffer to hold.
fn is_language(tag: &str) -> bool {
    (1..=35).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Options of one training, checked; what was not given has its default.
#[derive(Clone, Debug)]
pub struct Options {
    algorithm: Algorithm,
    values: Map<String, Value>,
}

impl Options {
    /// The defaults of an algorithm.
    pub fn defaults(algorithm: Algorithm) -> Self {
        let taken = OPTIONS.iter().filter(|option| option.algorithms.contains(&algorithm));
        let value =
            |option: &OptionSpec| serde_json::from_str(option.default_for(algorithm)).unwrap_or_default();
        let values = taken.map(|option| (option.name.to_owned(), value(option))).collect();
        Self { algorithm, values }
    }

    /// Reads the text of a JSON object.
    ///
    /// # Errors
    /// `Parameter` for what is no object, an option that is unknown or not the algorithm's, and a value out of range. The
    /// message names the known options, or the range.
    pub fn parse(algorithm: Algorithm, json: &str) -> Result<Self> {
        let Ok(Value::Object(given)) = serde_json::from_str(json) else {
            return Err(refused("the options are not a JSON object, or hold a number too large".to_owned()));
        };
        let mut options = Self::defaults(algorithm);
        for (name, value) in given {
            let option = Self::spec(algorithm, &name)?;
            let value = option.kept(value);
            if !option.accepts(&value) {
                return Err(refused(format!("option {name} must be {}", option.range())));
            }
            options.values.insert(name, value);
        }
        Ok(options)
    }

    fn spec(algorithm: Algorithm, name: &str) -> Result<&'static OptionSpec> {
        let known = || OPTIONS.iter().filter(|option| option.algorithms.contains(&algorithm));
        known().find(|option| option.name == name).ok_or_else(|| {
            let names: Vec<_> = known().map(|option| option.name).collect();
            let like_a_name =
                name.len() <= 63 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            // What is none may be somebody's text.
            let shown =
                if like_a_name { format!("\"{name}\"") } else { format!("(a name of {} bytes)", name.len()) };
            refused(format!(
                "algorithm {} has no option {shown}; its options are {}",
                algorithm.name(),
                names.join(", ")
            ))
        })
    }

    /// The algorithm that they are for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// All options with their values, as the text of a JSON object.
    pub fn to_json(&self) -> String {
        Value::Object(self.values.clone()).to_string()
    }

    /// The number of versions to keep.
    pub fn keep_versions(&self) -> u32 {
        self.count("keep_versions")
    }

    /// Whether feedback is trained on.
    pub fn feedback(&self) -> bool {
        self.flag("feedback")
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.number_given(name).unwrap_or_default()
    }

    /// A number, if it was given or has a default.
    pub(super) fn number_given(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(Value::as_f64)
    }

    pub(super) fn count(&self, name: &str) -> u32 {
        self.values.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.values.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn word(&self, name: &str) -> &str {
        self.values.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Sets an option from code: the trainer of the shipped models, tests.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// The value of each label in the score.
    ///
    /// # Errors
    /// `Parameter` for a label score of a label that there is not.
    pub(super) fn label_scores(&self, labels: &[String]) -> Result<Vec<Option<f64>>> {
        let Some(given) = self.values.get("label_scores").and_then(Value::as_object) else {
            let usual = |label: &String| match label.as_str() {
                "positive" => Some(1.0),
                "neutral" => Some(0.0),
                "negative" => Some(-1.0),
                _ => None,
            };
            return Ok(labels.iter().map(usual).collect());
        };
        if given.keys().any(|label| !labels.contains(label)) {
            return Err(refused("option label_scores names a label that no row has".to_owned()));
        }
        Ok(labels.iter().map(|label| given.get(label).and_then(Value::as_f64)).collect())
    }
}

fn refused(message: String) -> Error {
    Error::new(
        ErrorKind::Parameter,
        message,
        "The README's table of training options lists the options of each algorithm, their defaults and ranges.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_they_ask_for() {
        for algorithm in Algorithm::ALL {
            let options = Options::defaults(algorithm);
            for option in OPTIONS.iter().filter(|option| option.algorithms.contains(&algorithm)) {
                let value = &options.values[option.name];
                assert!(option.accepts(value), "{} of {algorithm:?}", option.name);
            }
            let again = Options::parse(algorithm, &options.to_json());
            assert_eq!(again.unwrap().to_json(), options.to_json());
        }
    }

    #[test]
    fn whole_numbers_may_have_a_point() {
        let options = Options::parse(Algorithm::NaiveBayes, r#"{"words": 3.0, "folds": 5}"#).unwrap();
        assert_eq!((options.count("words"), options.count("folds")), (3, 5));
        assert!(Options::parse(Algorithm::NaiveBayes, r#"{"words": 2.5}"#).is_err());
        assert!(Options::parse(Algorithm::NaiveBayes, r#"{"words": 1e300}"#).is_err());
    }

    #[test]
    fn refusals_name_what_is_known() {
        let refusal = |algorithm, json| Options::parse(algorithm, json).unwrap_err().message().to_owned();
        assert!(refusal(Algorithm::NaiveBayes, r#"{"trees": 3}"#).contains("smoothing"));
        assert!(refusal(Algorithm::RandomForest, r#"{"trees": 0}"#).contains("from 1 to 2000"));
        assert!(refusal(Algorithm::NaiveBayes, r#"{"trees": 3}"#).contains("no option \"trees\""));
        assert!(!refusal(Algorithm::NaiveBayes, r#"{"I love it": 3}"#).contains("love"));
        for wrong in
            [r#"{"l2": "1"}"#, r#"{"l2": -1}"#, r#"{"l1": null}"#, r#"{"l2": 1e999}"#, "[]", "{", "3"]
        {
            assert!(Options::parse(Algorithm::LogisticRegression, wrong).is_err(), "{wrong}");
        }
    }
}
