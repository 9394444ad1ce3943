//! Multinomial logistic regression (softmax) with an elastic net over sparse rows.

use super::dual::{self, Goal};
use super::lbfgs::{self, Absolute, Ask, Outcome, Stop};
use super::linear::{Linear, add, add_shapes};
use super::rows::{Labelled, Rows, Sample, scale};
use super::term_scales;
use super::vocabulary::{TermSort, Vocabulary};
use super::{Options, Watch};
use crate::model::Counting;
use crate::predictor::softmax;
use crate::shape::SHAPES;
use crate::{Error, Result};
use linfa::traits::Fit;
use ndarray::Array1;
use std::cell::RefCell;

/// Words between two looks at whoever watches.
const STRIDE: usize = 4096;

/// A penalty, times the rows, that is weak.
const WEAK: f64 = 0.1;

/// Parameters of the fit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogisticRegression {
    /// Number of classes.
    pub classes: usize,
    /// Strength of the penalty on squares, on the mean loss: `l2 / 2 x |w|^2`. Biases are free. Without it, 1 over the
    /// number of rows: each weight then has a normal prior of variance 1, however many the rows.
    pub l2: Option<f64>,
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
    /// Whether a term's scale grows with its log-count ratio.
    pub log_ratios: bool,
    /// Whether the solver starts where dual coordinate ascent comes to, if the penalty has a dual.
    pub dual: bool,
}

impl LogisticRegression {
    /// The parameters that the options ask for.
    pub fn new(options: &Options, classes: usize, vocabulary: &Vocabulary) -> Self {
        Self {
            classes,
            l2: options.number_given("l2"),
            l1: options.number("l1"),
            balanced: options.word("class_weight") == "balanced",
            iterations: options.count("iterations"),
            tolerance: options.number("tolerance"),
            scales: TermSort::ALL.map(|sort| (vocabulary.of_sort(sort).end, scale(sort))).to_vec(),
            log_ratios: options.word("term_scale") == "log_ratio",
            dual: options.word("solver") == "dual",
        }
    }

    /// Bytes that a fit holds.
    pub fn memory(&self, rows: &Rows) -> usize {
        let shapes = if rows.shapes.is_empty() { 0 } else { SHAPES };
        let variables = (rows.terms + shapes + 1) * self.classes;
        let lbfgs = variables * lbfgs::BYTES;
        // The point, one gradient and the scales are held as well.
        let ascent = variables * 16 + 8 * rows.terms + dual::memory(rows.terms, rows.len(), self.classes);
        let solver = if self.dual { lbfgs.max(ascent) } else { lbfgs };
        solver + variables * 24 + 16 * rows.words().len() * self.classes + 8 * rows.terms
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
        // The passes over the rows are compiled for some numbers of classes; others take the next larger one.
        match self.parameters.classes {
            ..=2 => self.fit_wide::<2>(dataset),
            3 => self.fit_wide::<3>(dataset),
            4 => self.fit_wide::<4>(dataset),
            5 => self.fit_wide::<5>(dataset),
            6..=8 => self.fit_wide::<8>(dataset),
            9..=16 => self.fit_wide::<16>(dataset),
            17..=32 => self.fit_wide::<32>(dataset),
            _ => self.fit_wide::<64>(dataset),
        }
    }
}

impl Solver<'_> {
    fn fit_wide<const WIDE: usize>(&self, dataset: &Labelled<'_>) -> Result<(Linear, Outcome)> {
        let parameters = &self.parameters;
        let rows = dataset.records().rows;
        let shapes = if rows.shapes.is_empty() { 0 } else { SHAPES };
        let free = (rows.terms + shapes) * parameters.classes;
        let mut point = vec![0.0; free + parameters.classes];
        let mut stop =
            Stop { iterations: parameters.iterations, tolerance: parameters.tolerance, first: None };
        let absolute = Absolute { strength: parameters.l1, variables: free };
        let mut watch = self.watch.borrow_mut();
        let most = parameters.iterations as usize;
        let mut check = |iteration: u32| watch.step("fitting", iteration as usize, most);
        let mut pass = Pass::<WIDE>::new(parameters, dataset, &mut || check(0))?;
        let mut outcome = Outcome { iterations: 0, converged: false };
        if pass.has_good_dual() {
            outcome = pass.approach(&mut point, &mut stop, &mut check)?;
        }
        if !outcome.converged {
            let rounds = outcome.iterations;
            outcome = lbfgs::minimise(&mut point, stop, absolute, |iteration, ask| match ask {
                Ask::Check => check(rounds + iteration).map(|()| 0.0),
                Ask::Evaluate(point, gradient) => {
                    pass.evaluate(point, gradient, &mut || check(rounds + iteration))
                }
            })?;
            outcome.iterations += rounds;
        }
        pass.spread(&point, &mut || check(stop.iterations))?;
        let terms = rows.terms * parameters.classes;
        let linear = Linear {
            weights: pass
                .weights
                .iter()
                .flat_map(|weights| &weights[..parameters.classes])
                .copied()
                .collect(),
            shapes: point[terms..free].to_vec(),
            bias: point[free..].to_vec(),
            counting: Counting::Scaled,
        };
        Ok((linear, outcome))
    }
}

/// Passes over the rows: loss and gradient at a point. Up to `WIDE` classes; what lies beyond the last class stays 0.
struct Pass<'d, const WIDE: usize> {
    parameters: &'d LogisticRegression,
    dataset: &'d Labelled<'d>,
    l2: f64,
    row_weights: Vec<f64>,
    /// The scale of each term.
    scales: Vec<f64>,
    /// What terms and then words weigh: a term's weights times its scale, a word's sum over its n-grams.
    weights: Vec<[f64; WIDE]>,
    gradient: Vec<[f64; WIDE]>,
}

fn add_wide<const WIDE: usize>(to: &mut [f64; WIDE], from: &[f64; WIDE]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

impl<'d, const WIDE: usize> Pass<'d, WIDE> {
    fn new(
        parameters: &'d LogisticRegression,
        dataset: &'d Labelled<'d>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let rows = dataset.records().rows;
        let entries = rows.terms + rows.words().len();
        let row_weights = parameters.row_weights(dataset.targets());
        let (weights, gradient) = (vec![[0.0; WIDE]; entries], vec![[0.0; WIDE]; entries]);
        let mut scales = term_scales::of_sorts(&parameters.scales);
        if parameters.log_ratios {
            term_scales::by_log_ratio(&mut scales, dataset, parameters.classes, check)?;
        }
        #[allow(clippy::cast_precision_loss)]
        let l2 = parameters.l2.unwrap_or(1.0 / dataset.targets().len() as f64);
        Ok(Self { parameters, dataset, l2, row_weights, scales, weights, gradient })
    }

    /// Whether dual coordinate ascent may be used and is fast: with a weak penalty it is not.
    #[allow(clippy::cast_precision_loss)]
    fn has_good_dual(&self) -> bool {
        let rows = self.dataset.targets().len() as f64;
        self.parameters.dual && self.parameters.l1 == 0.0 && self.l2 * rows >= WEAK
    }

    /// Brings a point of zeros near the minimum. What is left of the iterations is the solver's, and it stops where it
    /// would have stopped had it begun at zero.
    fn approach(
        &mut self,
        point: &mut [f64],
        stop: &mut Stop,
        check: &mut dyn FnMut(u32) -> Result<()>,
    ) -> Result<Outcome> {
        let mut gradient = vec![0.0; point.len()];
        self.evaluate(point, &mut gradient, &mut || check(0))?;
        let first = lbfgs::length(&gradient);
        let (row_weights, scales) = (self.row_weights.clone(), std::mem::take(&mut self.scales));
        self.scales.clone_from(&scales);
        let goal = Goal {
            classes: self.parameters.classes,
            l2: self.l2,
            row_weights: &row_weights,
            scales: &scales,
            first,
            tolerance: stop.tolerance,
            rounds: stop.iterations,
        };
        let outcome = dual::approach(self.dataset, &goal, point, |round, ask| match ask {
            dual::Ask::Check => check(round).map(|()| 0.0),
            dual::Ask::Gradient(point) => {
                self.evaluate(point, &mut gradient, &mut || check(round))?;
                Ok(lbfgs::length(&gradient))
            }
        })?;
        stop.first = Some(first);
        stop.iterations -= outcome.iterations;
        Ok(outcome)
    }

    /// Works out what each term and each word weighs at a point.
    fn spread(&mut self, point: &[f64], check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let rows = self.dataset.records().rows;
        let scales = &self.scales;
        for ((to, from), scale) in
            self.weights.iter_mut().zip(point.chunks_exact(self.parameters.classes)).zip(scales)
        {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = scale * from);
        }
        check()?;
        let (terms, words) = self.weights.split_at_mut(rows.terms);
        for (word, sum) in words.iter_mut().enumerate() {
            if word % STRIDE == 0 {
                check()?;
            }
            *sum = [0.0; WIDE];
            rows.words().grams(word).iter().for_each(|&gram| add_wide(sum, &terms[gram as usize]));
        }
        Ok(())
    }

    fn evaluate(
        &mut self,
        point: &[f64],
        gradient: &mut [f64],
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<f64> {
        check()?;
        // A fit begins where all that terms weigh is 0, and nothing need be added up.
        let zero = point.iter().all(|weight| *weight == 0.0);
        self.spread(point, check)?;
        gradient.fill(0.0);
        self.gradient.fill([0.0; WIDE]);
        let terms = self.dataset.records().rows.terms * self.parameters.classes;
        let loss = self.pass(zero, &point[terms..], &mut gradient[terms..], check)?;
        self.collect(gradient, check)?;
        check()?;
        let (l2, free) = (self.l2, gradient.len() - self.parameters.classes);
        for (gradient, weight) in gradient[..free].iter_mut().zip(point) {
            *gradient += l2 * weight;
        }
        Ok(loss + 0.5 * l2 * point[..free].iter().map(|weight| weight * weight).sum::<f64>())
    }

    /// The loss over the rows, and what they say of each term and word, of shape features and biases; `zero` where nothing weighs
    /// anything.
    fn pass(
        &mut self,
        zero: bool,
        dense: &[f64],
        gradient: &mut [f64],
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<f64> {
        let classes = self.parameters.classes;
        let Sample { rows, chosen } = self.dataset.records();
        let (shapes, biases) = dense.split_at(dense.len() - classes);
        let (shape_gradient, bias_gradient) = gradient.split_at_mut(shapes.len());
        let mut loss = 0.0;
        for (number, (&at, &class)) in chosen.iter().zip(self.dataset.targets()).enumerate() {
            if number % 256 == 0 {
                check()?;
            }
            let mut sums = [0.0; WIDE];
            if !zero {
                rows.row(at).iter().for_each(|&id| add_wide(&mut sums, &self.weights[id as usize]));
            }
            let length = rows.length(at);
            let logits = &mut sums[..classes];
            logits.iter_mut().zip(biases).for_each(|(logit, bias)| *logit = *logit * length + bias);
            let features = rows.shapes.get(at as usize);
            if let Some(features) = features {
                add_shapes(logits, features, shapes);
            }
            softmax(logits);
            let row_weight = self.row_weights[class];
            loss -= row_weight * libm::log(logits[class].max(f64::MIN_POSITIVE));
            logits[class] -= 1.0;
            logits.iter_mut().for_each(|error| *error *= row_weight);
            add(bias_gradient, 1.0, logits);
            for (feature, gradient) in
                features.into_iter().flatten().zip(shape_gradient.chunks_exact_mut(classes))
            {
                add(gradient, *feature, logits);
            }
            sums.iter_mut().for_each(|error| *error *= length);
            rows.row(at).iter().for_each(|&id| add_wide(&mut self.gradient[id as usize], &sums));
        }
        Ok(loss)
    }

    /// Hands the words' gradients on to their n-grams, and applies the scales.
    fn collect(&mut self, gradient: &mut [f64], check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let rows = self.dataset.records().rows;
        let (terms, words) = self.gradient.split_at_mut(rows.terms);
        for (word, sum) in words.iter().enumerate() {
            if word % STRIDE == 0 {
                check()?;
            }
            rows.words().grams(word).iter().for_each(|&gram| add_wide(&mut terms[gram as usize], sum));
        }
        check()?;
        let scales = &self.scales;
        for ((to, from), scale) in
            gradient.chunks_exact_mut(self.parameters.classes).zip(&self.gradient[..rows.terms]).zip(scales)
        {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = scale * from);
        }
        Ok(())
    }
}
