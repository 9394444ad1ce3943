//! Training: labelled texts in, a model's bytes out. The same texts, in any order, give the same bytes.

mod features;
mod fold;
mod lbfgs;
mod logistic_regression;
mod metrics;

pub use features::{Scales, Thresholds};
pub use fold::Lexicon;
pub use logistic_regression::LogisticRegression;
pub use metrics::{Calibration, Confusion};

use crate::model::Card;
use crate::predictor::softmax;
use crate::{Error, ErrorKind, Result, hash};
use features::{Rows, Vocabulary};
use fold::Fitted;
use logistic_regression::Weights;

/// A labelled text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example<'t> {
    /// The text.
    pub text: &'t str,
    /// The index of its label.
    pub label: usize,
}

/// What a model is to be called and trained by.
#[derive(Clone, Debug)]
pub struct Training<'t> {
    /// The model's name and version number.
    pub name: &'t str,
    /// The version number within the name.
    pub version: u32,
    /// BCP 47 tag of the texts' language.
    pub language: &'t str,
    /// The labels, in class order.
    pub labels: &'t [&'t str],
    /// Value of each class in the score.
    pub label_scores: &'t [Option<f64>],
    /// Which terms are kept.
    pub thresholds: Thresholds,
    /// How strongly each sort of term speaks.
    pub scales: Scales,
    /// The solver's parameters.
    pub algorithm: LogisticRegression,
    /// Folds of the cross-validation that calibrates the probabilities.
    pub folds: usize,
    /// Words with a value of their own.
    pub lexicon: &'t Lexicon,
}

/// What a training found out on its own held-out folds.
#[derive(Clone, Debug)]
pub struct Report {
    /// Actual and predicted classes over all folds.
    pub confusion: Confusion,
    /// Confidence and accuracy over all folds, after calibration.
    pub calibration: Calibration,
    /// Mean negative log probability of the right class, after calibration.
    pub log_loss: f64,
    /// What the logits were divided by to calibrate them.
    pub temperature: f64,
    /// The solver's iterations in the last fit.
    pub iterations: u32,
    /// Whether the solver converged in the last fit.
    pub converged: bool,
}

impl Training<'_> {
    /// Trains a model. `check` is called once a text and pass; its error ends the work.
    ///
    /// # Errors
    /// `Parameter` for fewer than two classes or an empty class, `Limit` for a model beyond 4 GiB, and what `check`
    /// returns.
    pub fn run(
        &self,
        examples: &[Example<'_>],
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<(Vec<u8>, Report)> {
        self.check(examples)?;
        // Order is settled by content, so that neither a heap's order nor a map's can show in the model.
        let mut examples = examples.to_vec();
        examples.sort_unstable();
        let texts = || examples.iter().map(|example| example.text);
        let labels: Vec<usize> = examples.iter().map(|example| example.label).collect();
        let vocabulary = Vocabulary::build(texts(), self.thresholds, &mut check)?;
        let rows = Rows::build(texts(), &vocabulary, self.lexicon.terms(), &self.scales, &mut check)?;

        let held_out = self.cross_validate(&examples, &rows, &labels, vocabulary.len(), &mut check)?;
        let temperature = temperature(&held_out, &labels);
        let all: Vec<usize> = (0..rows.len()).collect();
        let (weights, outcome) = self.algorithm.fit(&rows, &labels, &all, vocabulary.len(), &mut check)?;
        let report = self.report(&held_out, &labels, temperature, outcome);
        let bytes = self.write(texts(), &vocabulary, &weights, &report, &mut check)?;
        Ok((bytes, report))
    }

    fn check(&self, examples: &[Example<'_>]) -> Result<()> {
        let classes = self.labels.len();
        let missing = (0..classes).find(|&class| !examples.iter().any(|example| example.label == class));
        if classes < 2 || missing.is_some() || examples.iter().any(|example| example.label >= classes) {
            let message =
                format!("training needs at least two classes and a row of each, not {classes} classes");
            return Err(Error::new(ErrorKind::Parameter, message, "Give labelled rows of every class."));
        }
        Ok(())
    }

    /// The logits of every row from a fit that did not see it. Rows with the same text fall into the same fold.
    fn cross_validate(
        &self,
        examples: &[Example<'_>],
        rows: &Rows,
        labels: &[usize],
        terms: usize,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Vec<f64>>> {
        let mut logits = vec![vec![0.0; self.labels.len()]; rows.len()];
        // A text's hash draws its fold: as good as a lot, repeatable, and the same for the same text.
        let fold_of = |at: usize| hash::token(examples[at].text.as_bytes()) % self.folds as u64;
        for fold in 0..self.folds as u64 {
            let (test, train): (Vec<usize>, Vec<usize>) =
                (0..rows.len()).partition(|&at| fold_of(at) == fold);
            let (weights, _) = self.algorithm.fit(rows, labels, &train, terms, &mut check)?;
            for at in test {
                weights.logits(rows, at, &mut logits[at]);
            }
        }
        Ok(logits)
    }

    #[allow(clippy::cast_precision_loss)]
    fn report(
        &self,
        held_out: &[Vec<f64>],
        labels: &[usize],
        temperature: f64,
        fit: lbfgs::Outcome,
    ) -> Report {
        let mut confusion = Confusion::new(self.labels.len());
        let mut calibration = Calibration::default();
        let mut loss = 0.0;
        for (logits, &label) in held_out.iter().zip(labels) {
            let mut probabilities: Vec<f64> = logits.iter().map(|logit| logit / temperature).collect();
            let predicted = softmax(&mut probabilities);
            confusion.add(label, predicted);
            calibration.add(probabilities[predicted], predicted == label);
            loss -= libm::log(probabilities[label].max(f64::MIN_POSITIVE));
        }
        let log_loss = loss / labels.len().max(1) as f64;
        let (iterations, converged) = (fit.iterations, fit.converged);
        Report { confusion, calibration, log_loss, temperature, iterations, converged }
    }

    fn write<'t>(
        &self,
        texts: impl Iterator<Item = &'t str>,
        vocabulary: &Vocabulary,
        weights: &Weights,
        report: &Report,
        check: impl FnMut() -> Result<()>,
    ) -> Result<Vec<u8>> {
        let card = Card {
            name: self.name.to_owned(),
            version: self.version,
            algorithm: "logistic_regression".to_owned(),
            language: self.language.to_owned(),
            labels: self.labels.iter().map(|&label| label.to_owned()).collect(),
            label_scores: self.label_scores.to_vec(),
            rows_train: 0,
            terms: 0,
            metrics: format!(
                "{{\"accuracy\": {:.4}, \"macro_f1\": {:.4}, \"macro_recall\": {:.4}, \"log_loss\": {:.4}, \
                 \"calibration_error\": {:.4}, \"measured_on\": \"{} held-out folds of the training rows\"}}",
                report.confusion.accuracy(),
                report.confusion.macro_f1(),
                report.confusion.macro_recall(),
                report.log_loss,
                report.calibration.error(),
                self.folds
            ),
            bias: Vec::new(),
            shape_weights: Vec::new(),
            weight_unit: 0.0,
        };
        let fitted = Fitted { vocabulary, weights, scales: &self.scales, temperature: report.temperature };
        fitted.write(card, texts, self.lexicon, check)
    }
}

/// The temperature that makes held-out probabilities fit best (Guo and others 2017), by golden-section search: the
/// loss has one minimum in it.
fn temperature(logits: &[Vec<f64>], labels: &[usize]) -> f64 {
    let loss = |log_temperature: f64| -> f64 {
        let temperature = libm::exp(log_temperature);
        let row = |(logits, &label): (&Vec<f64>, &usize)| {
            let mut probabilities: Vec<f64> = logits.iter().map(|logit| logit / temperature).collect();
            softmax(&mut probabilities);
            -libm::log(probabilities[label].max(f64::MIN_POSITIVE))
        };
        logits.iter().zip(labels).map(row).sum()
    };
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-3.0, 3.0);
    while high - low > 1e-4 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if loss(a) < loss(b) { high = b } else { low = a }
    }
    libm::exp((low + high) / 2.0)
}
