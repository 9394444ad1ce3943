//! Multinomial logistic regression (softmax) with L2 over sparse rows.

use super::features::Rows;
use super::lbfgs::{self, Outcome, Stop};
use crate::Result;
use crate::predictor::softmax;
use crate::shape::SHAPES;

/// Parameters of the fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticRegression {
    /// Strength of the L2 penalty on the mean loss: `l2 / 2 x |w|^2`. Biases are free.
    pub l2: f64,
    /// How far the classes are weighted towards equal weight: 0 as they come, 1 fully balanced.
    pub balance: f64,
    /// Most iterations of the solver.
    pub iterations: u32,
    /// It has converged where the gradient is this small beside the first one.
    pub tolerance: f64,
}

impl Default for LogisticRegression {
    fn default() -> Self {
        Self { l2: 1e-5, balance: 0.0, iterations: 200, tolerance: 1e-3 }
    }
}

/// Fitted weights: terms x classes, then shape features x classes, then a bias a class.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    all: Vec<f64>,
    terms: usize,
    classes: usize,
}

impl Weights {
    pub fn term(&self, id: usize) -> &[f64] {
        &self.all[id * self.classes..][..self.classes]
    }

    pub fn shapes(&self) -> &[f64] {
        &self.all[self.terms * self.classes..][..SHAPES * self.classes]
    }

    pub fn bias(&self) -> &[f64] {
        &self.all[(self.terms + SHAPES) * self.classes..]
    }

    /// The logits of one row.
    pub fn logits(&self, rows: &Rows, at: usize, logits: &mut [f64]) {
        logits_of(&self.all, self.terms, rows, at, logits);
    }
}

/// Adds up a row's logits from a flat weight vector.
fn logits_of(weights: &[f64], terms: usize, rows: &Rows, at: usize, logits: &mut [f64]) {
    let classes = logits.len();
    logits.copy_from_slice(&weights[(terms + SHAPES) * classes..]);
    let (ids, values) = rows.row(at);
    for (&id, &value) in ids.iter().zip(values) {
        add(logits, f64::from(value), &weights[id as usize * classes..][..classes]);
    }
    for (feature, weights) in rows.shapes[at].iter().zip(weights[terms * classes..].chunks_exact(classes)) {
        add(logits, *feature, weights);
    }
}

fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

impl LogisticRegression {
    /// Fits weights to the rows of `sample` with their labels. `check` is called once a row and may end the work.
    pub(crate) fn fit(
        &self,
        rows: &Rows,
        labels: &[usize],
        sample: &[usize],
        terms: usize,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<(Weights, Outcome)> {
        let classes = labels.iter().max().map_or(0, |most| most + 1);
        let row_weights = self.row_weights(labels, sample, classes);
        let mut all = vec![0.0; (terms + SHAPES + 1) * classes];
        let free = (terms + SHAPES) * classes;
        let mut logits = vec![0.0; classes];
        let stop = Stop { iterations: self.iterations, tolerance: self.tolerance };
        let outcome = lbfgs::minimise(&mut all, stop, |weights, gradient| {
            for (gradient, weight) in gradient[..free].iter_mut().zip(weights) {
                *gradient = self.l2 * weight;
            }
            gradient[free..].fill(0.0);
            let mut loss = 0.5 * self.l2 * weights[..free].iter().map(|weight| weight * weight).sum::<f64>();
            for &at in sample {
                check()?;
                logits_of(weights, terms, rows, at, &mut logits);
                softmax(&mut logits);
                let row_weight = row_weights[labels[at]];
                loss -= row_weight * libm::log(logits[labels[at]].max(f64::MIN_POSITIVE));
                logits[labels[at]] -= 1.0;
                logits.iter_mut().for_each(|error| *error *= row_weight);
                scatter(gradient, terms, rows, at, &logits);
            }
            Ok(loss)
        })?;
        Ok((Weights { all, terms, classes }, outcome))
    }

    /// The weight of a row of each class; over the sample they add up to 1.
    #[allow(clippy::cast_precision_loss)]
    fn row_weights(&self, labels: &[usize], sample: &[usize], classes: usize) -> Vec<f64> {
        let mut counts = vec![0.0; classes];
        sample.iter().for_each(|&at| counts[labels[at]] += 1.0);
        let total = sample.len() as f64;
        let raw: Vec<f64> = counts
            .iter()
            .map(|&count: &f64| libm::pow(total / (classes as f64 * count.max(1.0)), self.balance))
            .collect();
        let sum: f64 = raw.iter().zip(&counts).map(|(weight, count)| weight * count).sum();
        raw.iter().map(|weight| weight / sum).collect()
    }
}

/// Adds a row's share to the gradient: the outer product of its values and its errors.
fn scatter(gradient: &mut [f64], terms: usize, rows: &Rows, at: usize, errors: &[f64]) {
    let classes = errors.len();
    let (ids, values) = rows.row(at);
    for (&id, &value) in ids.iter().zip(values) {
        add(&mut gradient[id as usize * classes..][..classes], f64::from(value), errors);
    }
    for (feature, gradient) in
        rows.shapes[at].iter().zip(gradient[terms * classes..].chunks_exact_mut(classes))
    {
        add(gradient, *feature, errors);
    }
    add(&mut gradient[(terms + SHAPES) * classes..], 1.0, errors);
}
