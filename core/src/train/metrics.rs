//! How good predictions are.

use crate::predictor::Reading;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// Counts of actual and predicted classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

/// A count as a float: exact below 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

impl Confusion {
    /// No predictions yet, of so many classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Takes one prediction; both are below the number of classes.
    pub fn add(&mut self, actual: usize, predicted: usize) {
        self.counts[actual * self.classes + predicted] += 1;
    }

    /// How often `actual` was predicted as `predicted`.
    pub fn count(&self, actual: usize, predicted: usize) -> u64 {
        self.counts[actual * self.classes + predicted]
    }

    fn actual(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.count(class, predicted)).sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|actual| self.count(actual, class)).sum()
    }

    /// Share of right predictions, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        ratio((0..self.classes).map(|class| self.count(class, class)).sum(), self.counts.iter().sum())
    }

    /// Share of a class's rows that were found, 0 to 1.
    pub fn recall(&self, class: usize) -> f64 {
        ratio(self.count(class, class), self.actual(class))
    }

    /// Share of a class's predictions that were right, 0 to 1.
    pub fn precision(&self, class: usize) -> f64 {
        ratio(self.count(class, class), self.predicted(class))
    }

    /// Harmonic mean of precision and recall, 0 to 1.
    pub fn f1(&self, class: usize) -> f64 {
        ratio(2 * self.count(class, class), self.actual(class) + self.predicted(class))
    }

    /// Mean recall over the classes: AvgRec of SemEval 2016 and 2017.
    pub fn macro_recall(&self) -> f64 {
        self.mean(|class| self.recall(class))
    }

    /// Mean F1 over the classes.
    pub fn macro_f1(&self) -> f64 {
        self.mean(|class| self.f1(class))
    }

    fn mean(&self, of: impl Fn(usize) -> f64) -> f64 {
        (0..self.classes).map(of).sum::<f64>() / float(self.classes as u64)
    }
}

/// Precision, recall, F1 and support of a class, or their means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassFigures {
    /// Share of the predictions that were right, 0 to 1.
    pub precision: f64,
    /// Share of the rows that were found, 0 to 1.
    pub recall: f64,
    /// Harmonic mean of precision and recall, 0 to 1.
    pub f1: f64,
    /// Rows.
    pub support: u64,
}

/// How a model does on labelled texts, row by row: the figures of scikit-learn's `classification_report`.
#[derive(Clone, Debug)]
pub struct Evaluation {
    labels: Vec<String>,
    /// Actual and predicted label by their numbers.
    pairs: BTreeMap<(usize, usize), u64>,
    rows: u64,
    loss: f64,
}

/// Most labels that an evaluation tells apart: labels that the model does not know are classes as well.
const MOST_LABELS: usize = 1_000;

impl Evaluation {
    /// Of a model with these labels.
    pub fn new(labels: &[String]) -> Self {
        Self { labels: labels.to_vec(), pairs: BTreeMap::new(), rows: 0, loss: 0.0 }
    }

    /// Takes a text's label, and what the model made of the text.
    ///
    /// # Errors
    /// `Limit` for too many different labels.
    pub fn add(&mut self, actual: &str, reading: &Reading<'_>) -> Result<()> {
        let known = self.labels.iter().position(|label| label == actual);
        let class = known.unwrap_or(self.labels.len());
        if known.is_none() {
            if class >= MOST_LABELS {
                let hint = "Is label_column the column of labels?";
                let message = format!("there are more than {MOST_LABELS} different labels");
                return Err(Error::new(ErrorKind::Limit, message, hint));
            }
            self.labels.push(actual.to_owned());
        }
        *self.pairs.entry((class, reading.label)).or_default() += 1;
        self.rows += 1;
        // As scikit-learn, which clips what is impossible.
        let probability = reading.probabilities.get(class).copied().unwrap_or(0.0);
        self.loss -= libm::log(probability.max(f64::EPSILON));
        Ok(())
    }

    /// Rows taken.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Mean negative log probability of the right label.
    pub fn log_loss(&self) -> f64 {
        self.loss / float(self.rows.max(1))
    }

    /// Share of right predictions, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        ratio(self.sum(|actual, predicted| actual == predicted), self.rows)
    }

    /// What always naming the most frequent label would get, 0 to 1.
    pub fn baseline_accuracy(&self) -> f64 {
        let most = (0..self.labels.len()).map(|class| self.sum(|actual, _| actual == class)).max();
        ratio(most.unwrap_or(0), self.rows)
    }

    fn sum(&self, wanted: impl Fn(usize, usize) -> bool) -> u64 {
        self.pairs.iter().filter(|((actual, predicted), _)| wanted(*actual, *predicted)).map(|(_, n)| n).sum()
    }

    /// Each label that a row has or that was predicted, in the labels' order, with its figures.
    pub fn classes(&self) -> Vec<(&str, ClassFigures)> {
        let figures = |class: usize| {
            let right = self.sum(|actual, predicted| actual == class && predicted == class);
            let support = self.sum(|actual, _| actual == class);
            let predicted = self.sum(|_, predicted| predicted == class);
            let f1 = ratio(2 * right, support + predicted);
            let figures = ClassFigures {
                precision: ratio(right, predicted),
                recall: ratio(right, support),
                f1,
                support,
            };
            (support + predicted > 0).then_some((self.labels[class].as_str(), figures))
        };
        let mut classes: Vec<_> = (0..self.labels.len()).filter_map(figures).collect();
        classes.sort_by_key(|(label, _)| *label);
        classes
    }

    /// The mean over the classes.
    pub fn macro_average(&self) -> ClassFigures {
        self.average(self.classes().iter().map(|(_, figures)| (figures, 1.0)))
    }

    /// The mean over the classes, each weighted by its support.
    pub fn weighted_average(&self) -> ClassFigures {
        self.average(self.classes().iter().map(|(_, figures)| (figures, float(figures.support))))
    }

    /// Divided once, at the end: shares that are rounded add up to more than 1.
    fn average<'f>(&self, classes: impl Iterator<Item = (&'f ClassFigures, f64)>) -> ClassFigures {
        let mut sum = ClassFigures { support: self.rows, ..ClassFigures::default() };
        let mut weights = 0.0;
        for (figures, weight) in classes {
            sum.precision += weight * figures.precision;
            sum.recall += weight * figures.recall;
            sum.f1 += weight * figures.f1;
            weights += weight;
        }
        if weights > 0.0 {
            [&mut sum.precision, &mut sum.recall, &mut sum.f1]
                .into_iter()
                .for_each(|figure| *figure /= weights);
        }
        sum
    }

    /// Actual label, predicted label, rows; those that occur, in the labels' order.
    pub fn confusion(&self) -> Vec<(&str, &str, u64)> {
        let named = |(&(actual, predicted), &n): (&(usize, usize), &u64)| {
            (self.labels[actual].as_str(), self.labels[predicted].as_str(), n)
        };
        let mut rows: Vec<_> = self.pairs.iter().map(named).collect();
        rows.sort_unstable();
        rows
    }
}

/// Expected calibration error over 15 equal bins of confidence (Naeini and others 2015): by how much confidence and
/// accuracy differ, on average.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    bins: [(f64, u64, u64); 15],
}

impl Calibration {
    /// Takes one prediction's confidence, 0 to 1, and whether it was right.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn add(&mut self, confidence: f64, right: bool) {
        let last = self.bins.len() - 1;
        let bin = &mut self.bins[((confidence * 15.0) as usize).min(last)];
        *bin = (bin.0 + confidence, bin.1 + u64::from(right), bin.2 + 1);
    }

    /// The error, 0 to 1.
    pub fn error(&self) -> f64 {
        let total: u64 = self.bins.iter().map(|bin| bin.2).sum();
        let gaps: f64 =
            self.bins.iter().map(|&(confidence, right, _)| (confidence - float(right)).abs()).sum();
        gaps / float(total.max(1))
    }

    /// For each bin that is not empty: mean confidence, accuracy, count.
    pub fn bins(&self) -> impl Iterator<Item = (f64, f64, u64)> {
        let filled = self.bins.iter().filter(|bin| bin.2 > 0);
        filled.map(|&(confidence, right, count)| (confidence / float(count), ratio(right, count), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report() {
        // The figures of scikit-learn's classification_report for these ten rows.
        let actual = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2];
        let predicted = [0, 1, 0, 1, 1, 2, 1, 2, 0, 2];
        let mut confusion = Confusion::new(3);
        actual.iter().zip(predicted).for_each(|(&a, p)| confusion.add(a, p));
        assert!((confusion.accuracy() - 0.7).abs() < 1e-12);
        assert!((confusion.recall(1) - 0.75).abs() < 1e-12);
        assert!((confusion.precision(0) - 2.0 / 3.0).abs() < 1e-12);
        assert!((confusion.macro_recall() - 0.694_444_444_444).abs() < 1e-9);
        assert!((confusion.macro_f1() - 0.694_444_444_444).abs() < 1e-9);
        assert_eq!(confusion.count(2, 0), 1);
    }

    #[test]
    fn what_is_all_right_is_1() {
        for labels in 2..=64 {
            let names: Vec<String> = (0..labels).map(|label| format!("{label:02}")).collect();
            let mut evaluation = Evaluation::new(&names);
            for (label, name) in names.iter().enumerate() {
                let mut probabilities = vec![0.0; labels];
                probabilities[label] = 1.0;
                for _ in 0..=label {
                    let reading = Reading {
                        label,
                        probabilities: &probabilities,
                        score: None,
                        coverage: 1.0,
                        truncated: false,
                    };
                    evaluation.add(name, &reading).unwrap();
                }
            }
            for average in [evaluation.macro_average(), evaluation.weighted_average()] {
                let all = [average.precision, average.recall, average.f1];
                assert!(
                    all.iter().all(|figure| figure.to_bits() == 1.0_f64.to_bits()),
                    "{labels}: {average:?}"
                );
            }
        }
    }

    #[test]
    fn calibration_error() {
        let mut calibration = Calibration::default();
        (0..10).for_each(|at| calibration.add(0.8, at < 6));
        assert!((calibration.error() - 0.2).abs() < 1e-12);
        calibration.add(1.0, true);
        assert_eq!(calibration.bins().count(), 2);
    }
}
