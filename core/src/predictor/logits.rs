//! From what a text's terms add up to, to the probabilities of its classes.

use crate::shape::Shape;

/// Adds what a text's shape says: features x classes weights.
pub(super) fn add_shape(logits: &mut [f64], shape: &Shape, weights: &[f64]) {
    if weights.is_empty() {
        return;
    }
    let features = shape.features();
    if let Some(logits) = logits.as_mut_array::<3>() {
        for (feature, weights) in features.iter().zip(weights.as_chunks::<3>().0) {
            (0..3).for_each(|class| logits[class] += feature * weights[class]);
        }
        return;
    }
    for (feature, weights) in features.iter().zip(weights.chunks_exact(logits.len())) {
        logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += feature * weight);
    }
}

/// The length of a long message, in tokens: texts beyond it are scored by their mean.
const LONG: f64 = 64.0;

/// What a text of so many tokens is scaled by. Up to a long message's length, more words of one kind speak more surely,
/// as the root of their number; beyond it they do not, so that the repetition of a text keeps its score.
pub(crate) fn length_scale(tokens: usize) -> f64 {
    let tokens = to_float(i64::try_from(tokens.max(1)).unwrap_or(i64::MAX));
    if tokens <= LONG { 1.0 / tokens.sqrt() } else { LONG.sqrt() / tokens }
}

/// Sums stay far below 2^53: 65,536 tokens with 100 terms each of at most 2^15.
#[allow(clippy::cast_precision_loss)]
pub(super) fn to_float(sum: i64) -> f64 {
    sum as f64
}

/// Turns logits into probabilities in place; the first largest one's index. The exponential is the portable one, so
/// that a score frozen in an index on one machine is the same on another.
pub(crate) fn softmax(logits: &mut [f64]) -> usize {
    let mut best = 0;
    for (at, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = at;
        }
    }
    let highest = logits[best];
    let mut total = 0.0;
    for logit in logits.iter_mut() {
        *logit = libm::exp(*logit - highest);
        total += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= total;
    }
    best
}
