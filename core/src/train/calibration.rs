//! Probabilities that mean what they say.

use super::lbfgs::{self, Absolute, Ask, Stop};
use super::many;
use crate::Result;

/// Rows that are worked on at a time: as many numbers as the processor has at hand.
const ROWS: usize = 64;

/// The variance of the offsets before any row is seen.
const VARIANCE: f64 = 0.1;

/// Least slope of logits that say something. Where they say nothing, or the opposite, no class is to be shifted by them.
const LEAST_SLOPE: f64 = 0.02;

/// Greatest slope: logits that it would take more to tell classes apart are as good as the same, and what is left is noise. (A
/// model's temperature is at least a millionth, [`temperature`] finds 0.018 at least.)
const MOST_SLOPE: f64 = 1e4;

/// The logarithm of the least probability that counts.
const LEAST_LOG: f64 = -708.0;

/// Whoever watches, asked every now and then.
type Check<'c> = &'c mut dyn FnMut() -> Result<()>;

/// What is done to held-out logits to make probabilities of them: `(logit + offset) / temperature`.
#[derive(Clone, Debug)]
pub(super) struct Calibrator {
    /// One a class.
    pub offsets: Vec<f64>,
    pub temperature: f64,
}

impl Calibrator {
    /// Fits a calibrator to held-out logits, and adds its offsets to them. Without class weights there are no offsets. The
    /// temperature is that of the rows as they are, so that probabilities are as sure as they are right.
    pub fn fit(
        logits: &mut [f64],
        classes: &[usize],
        wide: usize,
        class_weights: Option<&[f64]>,
        check: Check<'_>,
    ) -> Result<Self> {
        let fitted = class_weights.map(|weights| offsets(logits, classes, weights, check)).transpose()?;
        let Some((offsets, slope)) = fitted.filter(|(_, slope)| (LEAST_SLOPE..=MOST_SLOPE).contains(slope))
        else {
            let temperature = temperature(logits, classes, wide, check)?;
            return Ok(Self { offsets: vec![0.0; wide], temperature });
        };
        for logits in logits.chunks_exact_mut(wide) {
            logits.iter_mut().zip(&offsets).for_each(|(logit, offset)| *logit = slope * *logit + offset);
        }
        let rest = temperature(logits, classes, wide, check)?;
        logits.iter_mut().for_each(|logit| *logit /= slope);
        let offsets = offsets.iter().map(|offset| offset / slope).collect();
        Ok(Self { offsets, temperature: rest / slope })
    }
}

/// What the right class and the others are aimed at. A few rows that are all told right say nothing of how sure to be:
/// the targets are those of one more row of each answer (Platt 1999).
#[allow(clippy::cast_precision_loss)]
fn targets(rows: usize, wide: usize) -> (f64, f64) {
    let doubt = 1.0 / (rows as f64 + 2.0);
    (1.0 - doubt, doubt / (wide as f64 - 1.0))
}

/// The temperature that makes held-out probabilities fit best (Guo and others 2017), by golden-section search: the
/// loss has one minimum in it. One number, so that it changes no label, whatever the classes' shares.
///
/// Where no row was held out (one fold), all logits are 0 and the temperature is 1.
pub(super) fn temperature(logits: &[f64], classes: &[usize], wide: usize, check: Check<'_>) -> Result<f64> {
    if logits.iter().all(|logit| *logit == 0.0) {
        return Ok(1.0);
    }
    let (right, other) = targets(classes.len(), wide);
    let [mut scaled, mut exponentials] = [(); 2].map(|()| vec![0.0; ROWS * wide]);
    let mut loss = |log_temperature: f64| -> Result<f64> {
        let temperature = libm::exp(log_temperature);
        let mut loss = 0.0;
        for (logits, classes) in logits.chunks(ROWS * wide).zip(classes.chunks(ROWS)) {
            check()?;
            let scaled = &mut scaled[..logits.len()];
            for (scaled, logits) in scaled.chunks_exact_mut(wide).zip(logits.chunks_exact(wide)) {
                let highest = logits.iter().copied().fold(f64::MIN, f64::max);
                let of = |logit: &f64| (logit - highest) / temperature;
                scaled.iter_mut().zip(logits).for_each(|(scaled, logit)| *scaled = of(logit));
            }
            many::exp(scaled, &mut exponentials);
            // The logarithms of all probabilities come from that of their total.
            let mut totals = [1.0; ROWS];
            for (total, exponentials) in
                totals.iter_mut().zip(exponentials.chunks_exact(wide)).take(classes.len())
            {
                *total = exponentials.iter().sum();
            }
            many::log(&mut totals);
            for ((scaled, &class), total) in scaled.chunks_exact(wide).zip(classes).zip(&totals) {
                for (at, scaled) in scaled.iter().enumerate() {
                    let target = if at == class { right } else { other };
                    loss -= target * (scaled - total).max(LEAST_LOG);
                }
            }
        }
        Ok(loss)
    };
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-4.0, 4.0);
    // The losses at the two points between: one of them is a point of the next turn too.
    let (mut at_a, mut at_b) = (None, None);
    while high - low > 1e-3 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        let left = at_a.take().map_or_else(|| loss(a), Ok)?;
        let right = at_b.take().map_or_else(|| loss(b), Ok)?;
        if left < right {
            (high, at_b) = (b, Some(left));
        } else {
            (low, at_a) = (a, Some(right));
        }
    }
    Ok(libm::exp((low + high) / 2.0))
}

/// The probabilities that rows of logits tell when each is multiplied by a slope and has its class's offset added; `room` is
/// for as many numbers.
fn softmax(logits: &[f64], slope: f64, offsets: &[f64], room: &mut [f64], probabilities: &mut [f64]) {
    let wide = offsets.len();
    for (to, logits) in room.chunks_exact_mut(wide).zip(logits.chunks_exact(wide)) {
        for ((to, logit), offset) in to.iter_mut().zip(logits).zip(offsets) {
            *to = slope * logit + offset;
        }
        let highest = to.iter().copied().fold(f64::MIN, f64::max);
        to.iter_mut().for_each(|to| *to -= highest);
    }
    many::exp(room, probabilities);
    for row in probabilities.chunks_exact_mut(wide) {
        let total: f64 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= total);
    }
}

/// What is added to each class's logit, and what all are multiplied by before, to make held-out probabilities fit best:
/// vector scaling (Guo and others 2017) with one slope. A row counts what its class weighs: where the classes are to
/// count the same, no class is favoured for its share. Few rows say little of the classes, and leave the offsets near 0.
pub(super) fn offsets(
    logits: &[f64],
    classes: &[usize],
    class_weights: &[f64],
    check: Check<'_>,
) -> Result<(Vec<f64>, f64)> {
    let wide = class_weights.len();
    let (right, other) = targets(classes.len(), wide);
    let total: f64 = classes.iter().map(|&class| class_weights[class]).sum();
    let [mut probabilities, mut logarithms] = [(); 2].map(|()| vec![0.0; ROWS * wide]);
    let mut point = vec![0.0; wide + 1];
    point[wide] = 1.0;
    let stop = Stop { iterations: 100, tolerance: 1e-5, first: None };
    lbfgs::minimise(&mut point, stop, Absolute { strength: 0.0, variables: 0 }, |_, ask| {
        let Ask::Evaluate(point, gradient) = ask else { return Ok(0.0) };
        let (offsets, slope) = (&point[..wide], point[wide]);
        #[allow(clippy::cast_precision_loss)]
        let prior = 1.0 / (VARIANCE * classes.len() as f64);
        let mut loss = 0.5 * prior * offsets.iter().map(|offset| offset * offset).sum::<f64>();
        gradient.iter_mut().zip(offsets).for_each(|(gradient, offset)| *gradient = prior * offset);
        gradient[wide] = 0.0;
        for (logits, classes) in logits.chunks(ROWS * wide).zip(classes.chunks(ROWS)) {
            check()?;
            let probabilities = &mut probabilities[..logits.len()];
            let logarithms = &mut logarithms[..logits.len()];
            softmax(logits, slope, offsets, logarithms, probabilities);
            for (log, p) in logarithms.iter_mut().zip(&*probabilities) {
                *log = p.max(f64::MIN_POSITIVE);
            }
            many::log(logarithms);
            let rows = probabilities.chunks_exact(wide).zip(logits.chunks_exact(wide)).zip(classes);
            for (((probabilities, logits), &class), logarithms) in rows.zip(logarithms.chunks_exact(wide)) {
                let weight = class_weights[class] / total;
                for (at, ((p, logit), log)) in probabilities.iter().zip(logits).zip(logarithms).enumerate() {
                    let target = if at == class { right } else { other };
                    loss -= weight * target * log;
                    gradient[at] += weight * (p - target);
                    gradient[wide] += weight * (p - target) * logit;
                }
            }
        }
        Ok(loss)
    })?;
    // What is the same for all classes says nothing.
    #[allow(clippy::cast_precision_loss)]
    let mean = point[..wide].iter().sum::<f64>() / wide as f64;
    Ok((point[..wide].iter().map(|offset| offset - mean).collect(), point[wide]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_how_overconfident_the_logits_are() {
        // 9,000 rows at +-1 logit difference are right 73 % of the time; seen through logits three times too large.
        let right = libm::exp(1.0) / (1.0 + libm::exp(1.0));
        let (mut logits, mut classes) = (Vec::new(), Vec::new());
        for at in 0..9_000 {
            logits.extend([3.0, 0.0]);
            classes.push(usize::from(f64::from(at) / 9_000.0 >= right));
        }
        assert!((temperature(&logits, &classes, 2, &mut || Ok(())).unwrap() - 3.0).abs() < 0.02);
    }

    /// Logits of 12,000 rows of three classes, one twice as frequent, and what is too much of one class in them.
    fn skewed(too_much: f64) -> (Vec<f64>, Vec<usize>) {
        let (mut logits, mut classes) = (Vec::new(), Vec::new());
        for at in 0..12_000 {
            let class = [0, 1, 2, 2][at % 4];
            // Each class is told right two times of three.
            let told = if at / 4 % 3 > 0 { class } else { (class + 1 + at / 12 % 2) % 3 };
            let mut row = [0.0, 0.0, too_much];
            row[told] += 2.0;
            logits.extend(row);
            classes.push(class);
        }
        (logits, classes)
    }

    #[test]
    fn it_finds_what_a_class_has_too_much_of() {
        let (logits, classes) = skewed(1.5);
        let (balanced, slope) = offsets(&logits, &classes, &[1.0, 1.0, 0.5], &mut || Ok(())).unwrap();
        let favour = (balanced[2] - (balanced[0] + balanced[1]) / 2.0) / slope;
        assert!((favour + 1.5).abs() < 0.02, "{balanced:?}");
        // Where every row counts the same, the frequent class is the likelier one.
        let (by_share, _) = offsets(&logits, &classes, &[1.0; 3], &mut || Ok(())).unwrap();
        assert!(by_share[2] > balanced[2] + 0.3, "{by_share:?} {balanced:?}");
    }

    #[test]
    fn a_few_rows_move_nothing_far() {
        let logits = [3.0, 0.0, 2.0, 0.0, 0.0, 1.0];
        let (few, _) = offsets(&logits, &[0, 0, 1], &[1.0, 1.0], &mut || Ok(())).unwrap();
        assert!(few.iter().all(|offset| offset.abs() < 0.3), "{few:?}");
    }

    #[test]
    fn logits_that_mislead_do_not_blow_up() {
        let (mut logits, classes) = skewed(0.5);
        logits.iter_mut().for_each(|logit| *logit = -*logit);
        let fitted =
            Calibrator::fit(&mut logits, &classes, 3, Some(&[1.0, 1.0, 0.5]), &mut || Ok(())).unwrap();
        assert_eq!(fitted.offsets, [0.0; 3]);
        assert!((1.0..60.0).contains(&fitted.temperature), "{fitted:?}");
    }

    #[test]
    fn it_can_be_stopped() {
        let stop = || Err(crate::Error::new(crate::ErrorKind::Cancelled, "stopped", ""));
        let (logits, classes) = skewed(0.0);
        assert!(temperature(&logits, &classes, 3, &mut stop.clone()).is_err());
        assert!(offsets(&logits, &classes, &[1.0; 3], &mut stop.clone()).is_err());
    }
}
