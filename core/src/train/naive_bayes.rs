//! Naive Bayes: multinomial, complement (Rennie and others 2003) and Bernoulli.

use super::linear::Linear;
use super::many;
use super::rows::{Labelled, Sample};
use super::{Options, Watch};
use crate::model::Counting;
use crate::{Error, Result};
use linfa::traits::Fit;
use ndarray::Array1;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// Which naive Bayes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Variant {
    /// P(term | class) from how often a class's texts use the term.
    Multinomial,
    /// From how often the texts of all other classes use it: steadier where classes differ in size.
    Complement,
    /// From how many of a class's texts have the term; that a term is missing counts as well.
    Bernoulli,
}

/// Rows between two looks at whoever watches.
const STRIDE: usize = 16;

/// Logarithms that are taken at a time.
const LOGARITHMS: usize = 1024;

/// Parameters of the fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NaiveBayes {
    /// Number of classes.
    pub classes: usize,
    /// Which naive Bayes.
    pub variant: Variant,
    /// Added to each count (Lidstone).
    pub smoothing: f64,
    /// Whether the classes are taken to be equally frequent.
    pub uniform: bool,
    /// What calibration adds to each class's log prior.
    pub offsets: Vec<f64>,
}

/// What naive Bayes counts: all it has to know of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counts {
    /// Terms x classes: occurrences, or texts with the term (Bernoulli).
    pub terms: Vec<f64>,
    /// Texts of each class.
    pub texts: Vec<f64>,
}

/// Sums of counts, a class each, that every weight depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Texts of each class.
    pub texts: Vec<f64>,
    /// Counts of all terms, of each class.
    pub counts: Vec<f64>,
    /// The number of different terms.
    pub terms: f64,
}

impl Totals {
    /// Whether they are of so many classes and may have been counted: a card or a delta is untrusted.
    pub fn fit(&self, classes: usize) -> bool {
        let counts = |values: &[f64]| {
            values.len() == classes && values.iter().all(|value| (0.0..1e15).contains(value))
        };
        counts(&self.texts) && counts(&self.counts) && (0.0..1e15).contains(&self.terms)
    }
}

/// The logarithm of what is above 0 in any honest model.
fn log(value: f64) -> f64 {
    libm::log(value.max(f64::MIN_POSITIVE))
}

impl NaiveBayes {
    /// The parameters that the options ask for.
    pub fn new(options: &Options, classes: usize) -> Self {
        let variant = match options.word("variant") {
            "complement" => Variant::Complement,
            "bernoulli" => Variant::Bernoulli,
            _ => Variant::Multinomial,
        };
        Self {
            classes,
            variant,
            smoothing: options.number("smoothing"),
            uniform: options.word("prior") == "uniform",
            offsets: vec![0.0; classes],
        }
    }

    /// How the fitted weights are to be added up.
    pub fn counting(&self) -> Counting {
        if self.variant == Variant::Bernoulli { Counting::Present } else { Counting::Scaled }
    }

    /// The totals over all terms.
    pub fn totals(&self, counts: &Counts) -> Totals {
        let mut sums = vec![0.0; self.classes];
        for term in counts.terms.chunks_exact(self.classes) {
            sums.iter_mut().zip(term).for_each(|(sum, count)| *sum += count);
        }
        #[allow(clippy::cast_precision_loss)]
        let terms = (counts.terms.len() / self.classes.max(1)) as f64;
        Totals { texts: counts.texts.clone(), counts: sums, terms }
    }

    /// The log prior of each class, calibrated. Complement naive Bayes has no prior where there is more than one class.
    pub fn prior(&self, totals: &Totals) -> Vec<f64> {
        let all: f64 = totals.texts.iter().sum();
        let prior = |texts: &f64| match self.uniform || self.variant == Variant::Complement {
            true => 0.0,
            false => log(texts / all),
        };
        // A card is untrusted: an offset may be missing, or no number.
        let known = |class: usize| self.offsets.get(class).filter(|offset| offset.is_finite());
        let offset = |class| known(class).map_or(0.0, |offset| offset.clamp(-1e4, 1e4));
        totals.texts.iter().enumerate().map(|(class, texts)| prior(texts) + offset(class)).collect()
    }

    /// The part of every term's weight that does not depend on the term, a class each.
    pub fn denominators(&self, totals: &Totals) -> Vec<f64> {
        let (all, smoothing) = (totals.counts.iter().sum::<f64>(), self.smoothing);
        let one = |(count, texts): (&f64, &f64)| match self.variant {
            Variant::Multinomial => -log(count + smoothing * totals.terms),
            Variant::Complement => log(all - count + smoothing * totals.terms),
            // P(term) over P(no term): the number of texts without the term is nearly that of all texts.
            Variant::Bernoulli => -log(texts + smoothing),
        };
        totals.counts.iter().zip(&totals.texts).map(one).collect()
    }

    /// The part of a term's weights that depends on the term.
    pub fn numerators(&self, counts: &[f64], totals: &Totals, weights: &mut [f64]) {
        let (all, smoothing) = (counts.iter().sum::<f64>(), self.smoothing);
        for ((weight, count), texts) in weights.iter_mut().zip(counts).zip(&totals.texts) {
            *weight = match self.variant {
                Variant::Multinomial => log(count + smoothing),
                Variant::Complement => -log(all - count + smoothing),
                Variant::Bernoulli => {
                    log(count + smoothing) - log((texts - count + smoothing) / (texts + smoothing))
                }
            };
        }
    }

    /// The bias: the prior, and what the terms that a text does not have say, each summed over all terms.
    pub fn bias(&self, totals: &Totals, terms: impl Iterator<Item = impl AsRef<[f64]>>) -> Vec<f64> {
        let mut bias = self.prior(totals);
        if self.variant == Variant::Bernoulli {
            for counts in terms {
                for ((bias, count), texts) in bias.iter_mut().zip(counts.as_ref()).zip(&totals.texts) {
                    let absent = (texts - count + self.smoothing) / (texts + 2.0 * self.smoothing);
                    *bias += log(absent);
                }
            }
        }
        bias
    }

    /// A term's weights in a model's table, whose other terms have these `denominators`. What a term says of all classes
    /// alike says nothing, and is left out.
    pub fn term_weights(
        &self,
        counts: &[f64],
        now: &Totals,
        denominators: &[f64],
        temperature: f64,
        weights: &mut [f64],
    ) {
        self.numerators(counts, now, weights);
        weights.iter_mut().zip(denominators).for_each(|(weight, denominator)| *weight += denominator);
        #[allow(clippy::cast_precision_loss)]
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        weights.iter_mut().for_each(|weight| *weight = (*weight - mean) / temperature);
    }

    /// Joint log-probabilities as weights.
    pub fn weigh(&self, counts: &Counts) -> Linear {
        let totals = self.totals(counts);
        let denominators = self.denominators(&totals);
        let mut weights = vec![0.0; counts.terms.len()];
        for (weights, counts) in
            weights.chunks_exact_mut(self.classes).zip(counts.terms.chunks_exact(self.classes))
        {
            match self.variant {
                Variant::Multinomial => {
                    weights.iter_mut().zip(counts).for_each(|(w, c)| *w = c + self.smoothing)
                }
                _ => self.numerators(counts, &totals, weights),
            }
        }
        if self.variant == Variant::Multinomial {
            // The logarithms of all are taken together: they are most of the work.
            weights.chunks_mut(LOGARITHMS).for_each(many::log);
        }
        for weights in weights.chunks_exact_mut(self.classes) {
            weights.iter_mut().zip(&denominators).for_each(|(weight, denominator)| *weight += denominator);
        }
        let bias = self.bias(&totals, counts.terms.chunks_exact(self.classes));
        Linear { weights, shapes: Vec::new(), bias, counting: self.counting() }
    }

    /// Bytes that a fit holds.
    pub fn memory(&self, terms: usize) -> usize {
        2 * terms * self.classes * 8
    }
}

/// A count that is watched.
pub(crate) struct Counter<'w> {
    pub parameters: NaiveBayes,
    pub watch: RefCell<&'w mut dyn Watch>,
}

impl Fit<Sample<'_>, Array1<usize>, Error> for Counter<'_> {
    type Object = Counts;

    fn fit(&self, dataset: &Labelled<'_>) -> Result<Counts> {
        let NaiveBayes { classes, variant, .. } = self.parameters.clone();
        let Sample { rows, chosen } = dataset.records();
        let mut counts = Counts { terms: vec![0.0; rows.terms * classes], texts: vec![0.0; classes] };
        let mut watch = self.watch.borrow_mut();
        let mut seen = Vec::new();
        for (number, (&at, &class)) in chosen.iter().zip(dataset.targets()).enumerate() {
            if number % STRIDE == 0 {
                watch.step("counting", number, chosen.len())?;
            }
            counts.texts[class] += 1.0;
            let mut count = |id: u32| counts.terms[id as usize * classes + class] += 1.0;
            if variant == Variant::Bernoulli {
                seen.clear();
                rows.each_term(at, |id| seen.push(id));
                seen.sort_unstable();
                seen.dedup();
                seen.iter().copied().for_each(count);
            } else {
                rows.each_term(at, &mut count);
            }
        }
        Ok(counts)
    }
}
