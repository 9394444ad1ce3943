//! What naive Bayes and logistic regression come to: weights that add up.

use super::rows::{Rows, Sample};
use crate::model::Counting;
use crate::shape::SHAPES;
use linfa::traits::PredictInplace;
use ndarray::Array2;

/// Fitted weights. A row's logits are the bias, plus the weights of its terms times the row's length scale, plus its
/// shape features times theirs.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// Terms x classes.
    pub weights: Vec<f64>,
    /// Shape features x classes, or empty.
    pub shapes: Vec<f64>,
    /// One a class.
    pub bias: Vec<f64>,
    /// How a text's terms are counted.
    pub counting: Counting,
}

impl Linear {
    /// A term's weights.
    pub fn term(&self, id: u32) -> &[f64] {
        let classes = self.bias.len();
        &self.weights[id as usize * classes..][..classes]
    }

    /// The logits of one row.
    pub fn logits(&self, rows: &Rows, at: u32, logits: &mut [f64]) {
        logits.fill(0.0);
        let mut seen = Vec::new();
        rows.each_term(at, |id| match self.counting {
            Counting::Scaled => add(logits, 1.0, self.term(id)),
            Counting::Present => seen.push(id),
        });
        seen.sort_unstable();
        seen.dedup();
        seen.iter().for_each(|&id| add(logits, 1.0, self.term(id)));
        let length = if self.counting == Counting::Scaled { rows.length(at) } else { 1.0 };
        for (logit, bias) in logits.iter_mut().zip(&self.bias) {
            *logit = *logit * length + bias;
        }
        if let Some(features) = rows.shapes.get(at as usize) {
            add_shapes(logits, features, &self.shapes);
        }
    }
}

/// Adds up what a row's shape features say.
pub(super) fn add_shapes(logits: &mut [f64], features: &[f64; SHAPES], weights: &[f64]) {
    let classes = logits.len();
    features
        .iter()
        .zip(weights.chunks_exact(classes))
        .for_each(|(feature, weights)| add(logits, *feature, weights));
}

/// Adds `factor` times `from`.
pub(super) fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

impl PredictInplace<Sample<'_>, Array2<f64>> for Linear {
    fn predict_inplace<'a>(&'a self, sample: &'a Sample<'_>, logits: &mut Array2<f64>) {
        for (&at, mut row) in sample.chosen.iter().zip(logits.rows_mut()) {
            if let Some(row) = row.as_slice_mut() {
                self.logits(sample.rows, at, row);
            }
        }
    }

    fn default_target(&self, sample: &Sample<'_>) -> Array2<f64> {
        Array2::zeros((sample.chosen.len(), self.bias.len()))
    }
}
