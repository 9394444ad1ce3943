//! From held-out logits to how they are to be read: a bias a class, and a temperature.

use sentiment_core::train::{Calibration, Confusion};

/// How the logits of a model are to be read, and what that came to on the rows that it was found on.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// What is added to each class.
    pub bias: [f64; 3],
    /// What the sums are divided by.
    pub temperature: f64,
    /// Actual and predicted classes.
    pub confusion: Confusion,
    /// Confidence and accuracy.
    pub calibration: Calibration,
}

/// Mean F1 of positive and negative.
pub fn f1pn(confusion: &Confusion) -> f64 {
    (confusion.f1(0) + confusion.f1(2)) / 2.0
}

impl Calibrated {
    /// Finds them. Positive gets the bias with the highest sum of AvgRec and F1 of positive and negative, the two measures
    /// of SemEval, by steps of a tenth; then the temperature makes the probabilities fit best (Guo and others 2017). One
    /// bias only: another one for negative gained on the held-out rows and lost on tweets of a later year.
    pub fn new(logits: &[[f64; 3]], classes: &[usize]) -> Self {
        let mut best = (f64::MIN, [0.0; 3]);
        // The smallest first: of equals, it is kept.
        for tenths in (0..=10_i8).flat_map(|size| [size, -size]) {
            let bias = [0.0, 0.0, f64::from(tenths) / 10.0];
            let confusion = confusion(logits, classes, bias);
            let worth = confusion.macro_recall() + f1pn(&confusion);
            if worth > best.0 {
                best = (worth, bias);
            }
        }
        let bias = best.1;
        let temperature = temperature(logits, classes, bias);
        let mut calibration = Calibration::default();
        for (logits, &class) in logits.iter().zip(classes) {
            let p = probabilities(logits, bias, temperature);
            let label = largest(&p);
            calibration.add(p[label], label == class);
        }
        Self { bias, temperature, confusion: confusion(logits, classes, bias), calibration }
    }
}

fn largest(values: &[f64; 3]) -> usize {
    (1..3).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}

fn confusion(logits: &[[f64; 3]], classes: &[usize], bias: [f64; 3]) -> Confusion {
    let mut confusion = Confusion::new(3);
    for (logits, &class) in logits.iter().zip(classes) {
        confusion.add(class, largest(&[0, 1, 2].map(|at| logits[at] + bias[at])));
    }
    confusion
}

fn probabilities(logits: &[f64; 3], bias: [f64; 3], temperature: f64) -> [f64; 3] {
    let scaled = [0, 1, 2].map(|at| (logits[at] + bias[at]) / temperature);
    let highest = scaled[largest(&scaled)];
    let raised = scaled.map(|logit| libm::exp(logit - highest));
    let total: f64 = raised.iter().sum();
    raised.map(|p| p / total)
}

#[allow(clippy::cast_precision_loss)]
fn loss(logits: &[[f64; 3]], classes: &[usize], bias: [f64; 3], temperature: f64) -> f64 {
    let one = |(logits, &class): (&[f64; 3], &usize)| {
        -libm::log(probabilities(logits, bias, temperature)[class].max(f64::MIN_POSITIVE))
    };
    logits.iter().zip(classes).map(one).sum::<f64>() / classes.len().max(1) as f64
}

/// By golden-section search over its logarithm: the loss has one minimum.
fn temperature(logits: &[[f64; 3]], classes: &[usize], bias: [f64; 3]) -> f64 {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let loss = |log: f64| loss(logits, classes, bias, libm::exp(log));
    let (mut low, mut high) = (-3.0, 3.0);
    while high - low > 1e-3 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if loss(a) < loss(b) { high = b } else { low = a }
    }
    libm::exp((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_a_bias_and_how_sure_to_be() {
        // Logits that are half too large and lean from positive by 2, of rows that come about as often as they say.
        let (mut logits, mut classes) = (Vec::new(), Vec::new());
        for (at, wanted) in [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]].iter().enumerate() {
            for row in 0..100 {
                let shares = wanted.map(|p| libm::log(p) * 1.5);
                logits.push([shares[0], shares[1], shares[2] - 2.0]);
                let class = if row < 60 { at } else { (at + 1 + row % 2) % 3 };
                classes.push(class);
            }
        }
        let found = Calibrated::new(&logits, &classes);
        assert!((found.confusion.accuracy() - 0.6).abs() < 1e-9, "{found:?}");
        assert!((0.3..0.7).contains(&found.bias[2]) && found.temperature > 1.2, "{found:?}");
    }
}
