//! Multinomial logistic regression (softmax) with an elastic net over sparse rows.

use super::lbfgs::{self, Absolute, Outcome, Stop};
use super::linear::{Linear, add, add_shapes};
use super::rows::{Labelled, Rows, Sample, scale};
use super::vocabulary::{TermSort, Vocabulary};
use super::{Options, Watch};
use crate::model::Counting;
use crate::predictor::softmax;
use crate::shape::SHAPES;
use crate::{Error, Result};
use linfa::traits::Fit;
use ndarray::Array1;
use std::cell::RefCell;

/// Parameters of the fit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogisticRegression {
    /// Number of classes.
    pub classes: usize,
    /// Strength of the penalty on squares, on the mean loss: `l2 / 2 x |w|^2`. Biases are free.
    pub l2: f64,
    /// Strength of the penalty on absolute values.
    pub l1: f64,
    /// Whether every class counts the same, whatever its share.
    pub balanced: bool,
    /// When to stop.
    pub iterations: u32,
    /// It has converged where the gradient is this small beside the first one.
    pub tolerance: f64,
    /// The scale of each term: where each sort ends, and its scale.
    pub scales: Vec<(usize, f64)>,
}

impl LogisticRegression {
    /// The parameters that the options ask for.
    pub fn new(options: &Options, classes: usize, vocabulary: &Vocabulary) -> Self {
        Self {
            classes,
            l2: options.number("l2"),
            l1: options.number("l1"),
            balanced: options.word("class_weight") == "balanced",
            iterations: options.count("iterations"),
            tolerance: options.number("tolerance"),
            scales: TermSort::ALL.map(|sort| (vocabulary.of_sort(sort).end, scale(sort))).to_vec(),
        }
    }

    /// Bytes that a fit holds.
    pub fn memory(&self, rows: &Rows) -> usize {
        let shapes = if rows.shapes.is_empty() { 0 } else { SHAPES };
        let variables = (rows.terms + shapes + 1) * self.classes;
        variables * (lbfgs::BYTES + 16) + 16 * rows.words().len() * self.classes
    }

    /// The weight of a row of each class; over the sample they add up to 1.
    #[allow(clippy::cast_precision_loss)]
    fn row_weights(&self, targets: &Array1<usize>) -> Vec<f64> {
        let mut counts = vec![0.0_f64; self.classes];
        targets.iter().for_each(|&class| counts[class] += 1.0);
        let present = counts.iter().filter(|count| **count > 0.0).count() as f64;
        let weight = |count: &f64| match self.balanced {
            true => 1.0 / (present * count.max(1.0)),
            false => 1.0 / targets.len() as f64,
        };
        counts.iter().map(weight).collect()
    }
}

/// A fit that is watched.
pub(crate) struct Solver<'w> {
    pub parameters: LogisticRegression,
    pub watch: RefCell<&'w mut dyn Watch>,
}

impl Fit<Sample<'_>, Array1<usize>, Error> for Solver<'_> {
    type Object = (Linear, Outcome);

    fn fit(&self, dataset: &Labelled<'_>) -> Result<Self::Object> {
        let parameters = &self.parameters;
        let rows = dataset.records().rows;
        let shapes = if rows.shapes.is_empty() { 0 } else { SHAPES };
        let free = (rows.terms + shapes) * parameters.classes;
        let mut point = vec![0.0; free + parameters.classes];
        let stop = Stop { iterations: parameters.iterations, tolerance: parameters.tolerance };
        let absolute = Absolute { strength: parameters.l1, variables: free };
        let mut pass = Pass::new(parameters, dataset);
        let outcome = lbfgs::minimise(&mut point, stop, absolute, |iteration, point, gradient| {
            let mut watch = self.watch.borrow_mut();
            pass.evaluate(point, gradient, &mut || {
                watch.step("fitting", iteration as usize, parameters.iterations as usize)
            })
        })?;
        pass.spread(&point);
        let terms = rows.terms * parameters.classes;
        let linear = Linear {
            weights: pass.effective,
            shapes: point[terms..free].to_vec(),
            bias: point[free..].to_vec(),
            counting: Counting::Scaled,
        };
        Ok((linear, outcome))
    }
}

/// Passes over the rows: loss and gradient at a point.
struct Pass<'d> {
    parameters: &'d LogisticRegression,
    dataset: &'d Labelled<'d>,
    row_weights: Vec<f64>,
    /// Weights times scales, terms x classes.
    effective: Vec<f64>,
    /// The sums over each word's n-grams, words x classes.
    words: Vec<f64>,
    word_gradient: Vec<f64>,
}

impl<'d> Pass<'d> {
    fn new(parameters: &'d LogisticRegression, dataset: &'d Labelled<'d>) -> Self {
        let rows = dataset.records().rows;
        let words = rows.words().len() * parameters.classes;
        Self {
            parameters,
            dataset,
            row_weights: parameters.row_weights(dataset.targets()),
            effective: vec![0.0; rows.terms * parameters.classes],
            words: vec![0.0; words],
            word_gradient: vec![0.0; words],
        }
    }

    /// Works out what each term and each word weighs at a point.
    fn spread(&mut self, point: &[f64]) {
        let classes = self.parameters.classes;
        let mut start = 0;
        for &(end, scale) in &self.parameters.scales {
            let range = start * classes..end * classes;
            for (effective, weight) in self.effective[range.clone()].iter_mut().zip(&point[range]) {
                *effective = scale * weight;
            }
            start = end;
        }
        let words = self.dataset.records().rows.words();
        for (word, sum) in self.words.chunks_exact_mut(classes).enumerate() {
            sum.fill(0.0);
            for &gram in words.grams(word) {
                add(sum, 1.0, &self.effective[gram as usize * classes..][..classes]);
            }
        }
    }

    fn evaluate(
        &mut self,
        point: &[f64],
        gradient: &mut [f64],
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<f64> {
        check()?;
        self.spread(point);
        gradient.fill(0.0);
        self.word_gradient.fill(0.0);
        let loss = self.pass(point, gradient, check)?;
        self.collect(gradient);
        let (l2, free) = (self.parameters.l2, gradient.len() - self.parameters.classes);
        for (gradient, weight) in gradient[..free].iter_mut().zip(point) {
            *gradient += l2 * weight;
        }
        Ok(loss + 0.5 * l2 * point[..free].iter().map(|weight| weight * weight).sum::<f64>())
    }

    /// The loss over the rows; what they say of each term, before scales, goes into the gradient.
    fn pass(&mut self, point: &[f64], gradient: &mut [f64], check: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        let Sample { rows, chosen } = self.dataset.records();
        let (classes, terms) = (self.parameters.classes, rows.terms);
        let free = gradient.len() - classes;
        let (term_gradient, rest) = gradient.split_at_mut(terms * classes);
        let (shape_gradient, bias_gradient) = rest.split_at_mut(free - terms * classes);
        let mut logits = vec![0.0; classes];
        let mut loss = 0.0;
        for (number, (&at, &class)) in chosen.iter().zip(self.dataset.targets()).enumerate() {
            if number % 256 == 0 {
                check()?;
            }
            logits.fill(0.0);
            for &id in rows.row(at) {
                let (from, id) = if (id as usize) < terms { (&self.effective, id as usize) } else { (&self.words, id as usize - terms) };
                add(&mut logits, 1.0, &from[id * classes..][..classes]);
            }
            let length = rows.length(at);
            logits.iter_mut().zip(&point[free..]).for_each(|(logit, bias)| *logit = *logit * length + bias);
            let shapes = rows.shapes.get(at as usize);
            if let Some(features) = shapes {
                add_shapes(&mut logits, features, &point[terms * classes..free]);
            }
            softmax(&mut logits);
            let row_weight = self.row_weights[class];
            loss -= row_weight * libm::log(logits[class].max(f64::MIN_POSITIVE));
            logits[class] -= 1.0;
            logits.iter_mut().for_each(|error| *error *= row_weight);
            add(bias_gradient, 1.0, &logits);
            if let Some(features) = shapes {
                for (feature, gradient) in features.iter().zip(shape_gradient.chunks_exact_mut(classes)) {
                    add(gradient, *feature, &logits);
                }
            }
            logits.iter_mut().for_each(|error| *error *= length);
            for &id in rows.row(at) {
                let (to, id) = if (id as usize) < terms { (&mut *term_gradient, id as usize) } else { (self.word_gradient.as_mut_slice(), id as usize - terms) };
                add(&mut to[id * classes..][..classes], 1.0, &logits);
            }
        }
        Ok(loss)
    }

    /// Hands the words' gradients on to their n-grams, and applies the scales.
    fn collect(&self, gradient: &mut [f64]) {
        let classes = self.parameters.classes;
        let words = self.dataset.records().rows.words();
        for (word, sum) in self.word_gradient.chunks_exact(classes).enumerate() {
            for &gram in words.grams(word) {
                add(&mut gradient[gram as usize * classes..][..classes], 1.0, sum);
            }
        }
        let mut start = 0;
        for &(end, scale) in &self.parameters.scales {
            gradient[start * classes..end * classes].iter_mut().for_each(|gradient| *gradient *= scale);
            start = end;
        }
    }
}
