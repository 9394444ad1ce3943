//! The fits of a training: those that are held against rows that they did not see, and the last.

use super::lbfgs::Outcome;
use super::linear::Linear;
use super::logistic_regression::{LogisticRegression, Solver};
use super::naive_bayes::{Counter, Counts, NaiveBayes};
use super::rows::{self, Rows, labelled};
use super::threads::{self, side_by_side};
use super::vocabulary::Vocabulary;
use super::{Algorithm, Example, Training, Watch, random_forest};
use crate::Result;
use linfa::traits::{Fit as _, PredictInplace};
use ndarray::Array2;
use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What came of a fit.
pub(super) enum Fit {
    Linear { linear: Linear, counts: Option<(NaiveBayes, Counts)>, outcome: Option<Outcome> },
    Forest(random_forest::Forest),
}

/// Rows that are read by a fit between two looks at whoever watches: a large forest reads one in a millisecond.
const STRIDE: usize = 16;

/// Where the solver may stop in a fit that calibrates: what is asked of it is one bias a class, and how sure to be.
const HELD_OUT_TOLERANCE: f64 = 0.05;

/// What a fit is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Model,
    HeldOut,
}

/// All that fits have in common.
pub(super) struct Fits<'f> {
    pub training: &'f Training<'f>,
    pub vocabulary: &'f Vocabulary,
    pub rows: &'f Rows,
    pub classes: &'f [usize],
    pub labels: usize,
}

impl Fits<'_> {
    /// A fit to some rows.
    fn fit(&self, purpose: Purpose, chosen: Vec<u32>, watch: &mut dyn Watch) -> Result<Fit> {
        let options = self.training.options;
        let dataset = labelled(self.rows, self.classes, chosen);
        let watch = RefCell::new(watch);
        Ok(match options.algorithm() {
            Algorithm::NaiveBayes => {
                let parameters = NaiveBayes::new(options, self.labels);
                let counts = Counter { parameters: parameters.clone(), watch }.fit(&dataset)?;
                Fit::Linear {
                    linear: parameters.weigh(&counts),
                    counts: Some((parameters, counts)),
                    outcome: None,
                }
            }
            Algorithm::LogisticRegression => {
                let mut parameters = LogisticRegression::new(options, self.labels, self.vocabulary);
                if purpose == Purpose::HeldOut && parameters.dual {
                    parameters.tolerance = parameters.tolerance.max(HELD_OUT_TOLERANCE);
                }
                let (linear, outcome) = Solver { parameters, watch }.fit(&dataset)?;
                Fit::Linear { linear, counts: None, outcome: Some(outcome) }
            }
            Algorithm::RandomForest => {
                let parameters = random_forest::RandomForest::new(options, self.labels, self.training.seed);
                Fit::Forest(random_forest::Grower { parameters, watch }.fit(&dataset)?)
            }
        })
    }

    /// The logits of every row from a fit that did not see it, and the fit to all rows. `at_once` helpers take part.
    pub fn all(
        &self,
        examples: &[Example<'_>],
        at_once: usize,
        watch: &mut dyn Watch,
    ) -> Result<(Vec<f64>, Fit)> {
        let folds = self.training.options.count("folds") as usize;
        let held_out = Mutex::new(vec![0.0; self.rows.len() * self.labels]);
        let model = Mutex::new(None);
        // The longest first, so that no thread waits long for it; without helpers last, for then nothing else is held.
        let longest = if at_once > 0 { 0 } else { folds };
        let job = |number: usize, watch: &mut dyn Watch| {
            if number == longest {
                let all = (0..).take(self.rows.len()).collect();
                let fit = self.fit(Purpose::Model, all, watch)?;
                *lock(&model) = Some(fit);
                return Ok(());
            }
            let fold = if number > longest { number - 1 } else { number };
            self.hold_out((fold, folds), examples, &held_out, watch)
        };
        side_by_side(folds + 1, at_once, self.training.helpers, watch, &job)?;
        let held_out = held_out.into_inner().unwrap_or_else(PoisonError::into_inner);
        let model = lock(&model).take().ok_or_else(threads::stopped)?;
        Ok((held_out, model))
    }

    /// Fits to all rows but those of a fold, and writes down the logits of these. Rows with the same text fall into the same
    /// fold.
    fn hold_out(
        &self,
        (fold, folds): (usize, usize),
        examples: &[Example<'_>],
        held_out: &Mutex<Vec<f64>>,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let (test, train): (Vec<u32>, Vec<u32>) = (0..)
            .take(examples.len())
            .partition(|&at: &u32| (examples[at as usize].key >> 32) % folds as u64 == fold as u64);
        if test.is_empty() || train.is_empty() {
            return Ok(());
        }
        let fit = self.fit(Purpose::HeldOut, train, watch)?;
        for (number, test) in test.chunks(STRIDE).enumerate() {
            watch.step("measuring", number * STRIDE, examples.len())?;
            let logits = fit.predict(self.rows, test);
            let mut held_out = lock(held_out);
            for (at, logits) in test.iter().zip(logits.rows()) {
                let to = &mut held_out[*at as usize * self.labels..][..self.labels];
                to.iter_mut().zip(logits).for_each(|(to, logit)| *to = *logit);
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fit {
    fn predict(&self, rows: &Rows, chosen: &[u32]) -> Array2<f64> {
        let sample = rows::Sample { rows, chosen: chosen.to_vec() };
        match self {
            Self::Linear { linear, .. } => predict(linear, &sample),
            Self::Forest(forest) => predict(forest, &sample),
        }
    }
}

pub(super) fn predict<'r>(
    model: &impl PredictInplace<rows::Sample<'r>, Array2<f64>>,
    sample: &rows::Sample<'r>,
) -> Array2<f64> {
    let mut logits = model.default_target(sample);
    model.predict_inplace(sample, &mut logits);
    logits
}
