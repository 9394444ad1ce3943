//! Whether texts have changed since a model was trained: what its answers look like now, beside then.

use crate::predictor::Reading;
use crate::train::Evaluation;
use serde_json::{Map, Value, json};

/// What a model's answers look like over many texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    texts: u64,
    labels: Vec<u64>,
    confidence: f64,
    unknown: f64,
}

/// A figure of a profile, then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// What is measured.
    pub measure: String,
    /// At training; `None` if the model does not say.
    pub training: Option<f64>,
    /// Now; `None` if there was no text.
    pub current: Option<f64>,
}

/// A share counts as this much at least where its logarithm is taken.
const LEAST_SHARE: f64 = 1e-4;

#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

impl Profile {
    /// Of no text yet, for a model with so many labels.
    pub fn new(labels: usize) -> Self {
        Self { labels: vec![0; labels], ..Self::default() }
    }

    /// Takes what the model made of a text.
    pub fn add(&mut self, reading: &Reading<'_>) {
        self.texts += 1;
        if let Some(count) = self.labels.get_mut(reading.label) {
            *count += 1;
        }
        self.confidence += reading.probabilities.get(reading.label).copied().unwrap_or(0.0);
        self.unknown += 1.0 - reading.coverage;
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.texts > 0).then(|| sum / float(self.texts))
    }

    /// The share of the texts that got a label, 0 to 1.
    fn share(&self, label: usize) -> Option<f64> {
        self.mean(self.labels.get(label).map_or(0.0, |count| float(*count)))
    }

    /// What a model says of itself after it was measured on the texts of this profile: the text of a JSON object, all
    /// figures rounded to four digits.
    pub fn metrics(&self, evaluation: &Evaluation, labels: &[String], measured_on: &str) -> String {
        let round = |value: f64| (value * 1e4).round() / 1e4;
        let shares: Map<String, Value> =
            (0..).zip(labels).map(|(at, label)| (label.clone(), json!(self.share(at).map(round)))).collect();
        let averages = evaluation.macro_average();
        json!({
            "accuracy": round(evaluation.accuracy()),
            "macro_f1": round(averages.f1),
            "macro_recall": round(averages.recall),
            "log_loss": round(evaluation.log_loss()),
            "measured_on": measured_on,
            "label_mix": shares,
            "mean_confidence": self.mean(self.confidence).map(round),
            "unknown_words": self.mean(self.unknown).map(round),
        })
        .to_string()
    }

    /// This profile beside the one in a model's measures: the share of each label, the population stability index of the
    /// shares (above 0.2 they have shifted, by the usual rule), the mean confidence, and the share of words that are unknown.
    pub fn since(&self, metrics: &str, labels: &[String]) -> Vec<Drift> {
        let then: Value = serde_json::from_str(metrics).unwrap_or_default();
        let shares_then: Vec<Option<f64>> =
            labels.iter().map(|label| then["label_mix"][label].as_f64()).collect();
        let shares: Vec<Option<f64>> = (0..labels.len()).map(|at| self.share(at)).collect();
        let mut drifts: Vec<Drift> = (labels.iter().zip(&shares_then).zip(&shares))
            .map(|((label, then), now)| Drift {
                measure: format!("share of {label}"),
                training: *then,
                current: *now,
            })
            .collect();
        let both = shares_then.iter().zip(&shares).map(|(then, now)| then.zip(*now));
        let stability: Option<f64> = both.map(|pair| pair.map(|(then, now)| shift(then, now))).sum();
        let figure = |measure: &str, training, current| Drift { measure: measure.into(), training, current };
        drifts.extend([
            figure("label stability index", stability.map(|_| 0.0), stability),
            figure("mean confidence", then["mean_confidence"].as_f64(), self.mean(self.confidence)),
            figure("unknown words", then["unknown_words"].as_f64(), self.mean(self.unknown)),
        ]);
        drifts
    }
}

/// A label's part in the population stability index.
fn shift(then: f64, now: f64) -> f64 {
    let (then, now) = (then.max(LEAST_SHARE), now.max(LEAST_SHARE));
    (now - then) * libm::log(now / then)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(profile: &Profile, labels: &[String]) -> String {
        profile.metrics(&Evaluation::new(labels), labels, "4 rows")
    }

    fn profile(rows: &[(usize, f64, f64)]) -> Profile {
        let mut profile = Profile::new(2);
        for &(label, confidence, coverage) in rows {
            let mut probabilities = [1.0 - confidence; 2];
            probabilities[label] = confidence;
            profile.add(&Reading {
                label,
                probabilities: &probabilities,
                score: None,
                coverage,
                truncated: false,
            });
        }
        profile
    }

    #[test]
    fn then_and_now() {
        let labels = ["bad".to_owned(), "good".to_owned()];
        let then = profile(&[(0, 0.9, 1.0), (1, 0.7, 1.0), (1, 0.8, 0.5), (1, 0.8, 1.0)]);
        let metrics = metrics(&then, &labels);
        let same = then.since(&metrics, &labels);
        assert!(
            same.iter()
                .all(|drift| drift.training.zip(drift.current).is_some_and(|(a, b)| (a - b).abs() < 1e-9)),
            "{same:?}"
        );
        let now =
            profile(&[(0, 0.6, 0.0), (0, 0.6, 0.0), (0, 0.6, 1.0), (1, 0.6, 1.0)]).since(&metrics, &labels);
        let current =
            |measure: &str| now.iter().find(|drift| drift.measure == measure).unwrap().current.unwrap();
        assert!((current("share of bad") - 0.75).abs() < 1e-12);
        // (0.75 - 0.25) ln 3 + (0.25 - 0.75) ln (1/3)
        assert!((current("label stability index") - 1.098_612).abs() < 1e-5);
        assert!((current("mean confidence") - 0.6).abs() < 1e-12);
        assert!((current("unknown words") - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_known_is_none() {
        let labels = ["a".to_owned(), "b".to_owned()];
        for metrics in ["{}", "[]", "", "{\"label_mix\": 3}"] {
            let drifts = Profile::new(2).since(metrics, &labels);
            assert_eq!(drifts.len(), 5);
            assert!(
                drifts.iter().all(|drift| drift.training.is_none() && drift.current.is_none()),
                "{drifts:?}"
            );
        }
    }
}
