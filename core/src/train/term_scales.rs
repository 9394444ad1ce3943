//! How strongly each term of a logistic regression speaks: what a term's counts are multiplied by in training, and its
//! weight with them. A larger scale is a weaker penalty; a model that is fitted knows nothing of it.

use super::rows::{Labelled, texts_by_class};
use crate::Result;

/// Texts between two looks at whoever watches.
const STRIDE: usize = 1024;

/// What is added to a term's log-count ratio, so that one that is spread evenly is not lost.
const LEAST: f64 = 0.05;

/// The scale of each term, where each sort of terms ends at a number and has a scale.
pub(super) fn of_sorts(sorts: &[(usize, f64)]) -> Vec<f64> {
    let starts = std::iter::once(0).chain(sorts.iter().map(|&(end, _)| end));
    starts.zip(sorts).flat_map(|(start, &(end, scale))| std::iter::repeat_n(scale, end - start)).collect()
}

/// Multiplies each term's scale by its log-count ratio (Wang and Manning 2012): the logarithm of how much more frequent
/// the texts with the term are in a class than in the others, as the root of its mean square over the classes. Wang and
/// Manning have a ratio for each of two classes; its size alone leaves its direction to the fit, and does for any number.
#[allow(clippy::cast_precision_loss)]
pub(super) fn by_log_ratio(
    scales: &mut [f64],
    dataset: &Labelled<'_>,
    classes: usize,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let (texts, sizes) = texts_by_class(dataset, classes, check)?;
    let shares: Vec<f64> = sizes.iter().map(|size| size / dataset.targets().len() as f64).collect();
    for (term, (scale, texts)) in scales.iter_mut().zip(texts.chunks_exact(classes)).enumerate() {
        if term % STRIDE == 0 {
            check()?;
        }
        let all = f64::from(texts.iter().sum::<u32>());
        // One more text is shared out as the classes are. A class of no rows or of all says nothing.
        let square = |(&texts, &share): (&u32, &f64)| {
            let texts = f64::from(texts);
            let ratio = (texts + share) / (all - texts + 1.0 - share) * ((1.0 - share) / share);
            let log = libm::log(ratio);
            if share > 0.0 && share < 1.0 { log * log } else { 0.0 }
        };
        let mean = texts.iter().zip(&shares).map(square).sum::<f64>() / classes as f64;
        *scale *= mean.sqrt() + LEAST;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rows::{Rows, labelled};
    use super::*;

    #[test]
    fn a_scale_for_each_term_of_a_sort() {
        assert_eq!(of_sorts(&[(2, 1.0), (3, 0.7), (3, 0.5), (5, 0.3)]), [1.0, 1.0, 0.7, 0.3, 0.3]);
    }

    #[test]
    fn what_tells_the_classes_apart_speaks_louder() {
        // Of 8 rows the first term is in all, the second in those of the first class, the third in one.
        let counts: Vec<Vec<u32>> =
            (0..8).map(|at| vec![1 + at % 2, u32::from(at < 4), u32::from(at == 7)]).collect();
        let (rows, targets) = (Rows::of_counts(&counts), [0, 0, 0, 0, 1, 1, 1, 1]);
        let dataset = labelled(&rows, &targets, (0..8).collect());
        let mut scales = vec![1.0, 1.0, 0.5];
        by_log_ratio(&mut scales, &dataset, 2, &mut || Ok(())).unwrap();
        let ratio = |a: f64, b: f64| (a / b).ln().abs() + LEAST;
        let wanted = [LEAST, ratio(4.5, 0.5), 0.5 * ratio(1.5, 0.5)];
        for (scale, wanted) in scales.iter().zip(wanted) {
            assert!((scale - wanted).abs() < 1e-12, "{scales:?} {wanted}");
        }
        let stop = || Err(crate::Error::new(crate::ErrorKind::Cancelled, "stopped", ""));
        assert!(by_log_ratio(&mut scales, &dataset, 2, &mut stop.clone()).is_err());
    }
}
