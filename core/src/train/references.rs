//! Our algorithms held against linfa's, on dense data that linfa can take.

#![allow(clippy::unwrap_used)]

use super::Confusion;
use super::fits::predict;
use super::logistic_regression::{LogisticRegression, Solver};
use super::naive_bayes::{Counter, NaiveBayes, Variant};
use super::random_forest::{Grower, RandomForest};
use super::rows::{Rows, labelled};
use linfa::DatasetBase;
use linfa::prelude::{Fit, Predict, ToConfusionMatrix};
use ndarray::{Array1, Array2};
use std::cell::RefCell;

/// Rows of counts of a few terms, and classes that depend on them, with noise.
fn data(rows: usize, terms: usize, classes: usize) -> (Vec<Vec<u32>>, Vec<usize>) {
    let mut state = 7_u64;
    let mut next = |end: usize| {
        state = crate::hash::joint(state, 3);
        usize::try_from(state >> 33).unwrap() % end
    };
    (0..rows)
        .map(|at| {
            let class = at % classes;
            let count = |term: usize, chance: usize| match chance {
                0..4 => 0,
                4..8 if term % classes == class => 2,
                chance => u32::from(chance >= 8),
            };
            let row = (0..terms).map(|term| count(term, next(10))).collect();
            (row, if next(10) == 0 { next(classes) } else { class })
        })
        .unzip()
}

fn dense(counts: &[Vec<u32>]) -> Array2<f64> {
    Array2::from_shape_fn((counts.len(), counts[0].len()), |(row, term)| f64::from(counts[row][term]))
}

#[test]
fn naive_bayes_agrees_to_a_millionth() {
    for (terms, classes) in [(6, 2), (11, 3), (20, 5)] {
        let (counts, targets) = data(90, terms, classes);
        let rows = Rows::of_counts(&counts);
        let theirs = linfa_bayes::MultinomialNb::params()
            .alpha(0.7)
            .fit(&DatasetBase::new(dense(&counts), Array1::from(targets.clone())))
            .unwrap();
        let parameters = NaiveBayes {
            classes,
            variant: Variant::Multinomial,
            smoothing: 0.7,
            uniform: false,
            offsets: vec![0.0; classes],
        };
        let mut unwatched = |_: &'static str, _: usize, _: usize| Ok(());
        let counter = Counter { parameters: parameters.clone(), watch: RefCell::new(&mut unwatched) };
        let dataset = labelled(&rows, &targets, (0..90).collect());
        let ours = parameters.weigh(&counter.fit(&dataset).unwrap());
        let logits = predict(&ours, dataset.records());
        let probabilities = linfa_bayes::NaiveBayes::predict_log_proba(&theirs, dense(&counts).view());
        let (theirs, order) = probabilities;
        for (mut row, their_row) in logits.outer_iter().map(|row| row.to_vec()).zip(theirs.outer_iter()) {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = most + row.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln();
            row.iter_mut().for_each(|logit| *logit -= sum);
            for (their, class) in their_row.iter().zip(&order) {
                assert!((their - row[**class]).abs() < 1e-6, "{their} {row:?}");
            }
        }
    }
}

/// The penalised loss that both minimise: linfa's is a sum over rows, ours a mean.
fn loss(
    weights: &dyn Fn(usize, usize) -> f64,
    bias: &[f64],
    counts: &[Vec<u32>],
    targets: &[usize],
    l2: f64,
) -> f64 {
    let (classes, terms) = (bias.len(), counts[0].len());
    let mut total = 0.0;
    for (row, &class) in counts.iter().zip(targets) {
        let logit = |class: usize| {
            bias[class]
                + row.iter().enumerate().map(|(term, &n)| f64::from(n) * weights(term, class)).sum::<f64>()
        };
        let logits: Vec<f64> = (0..classes).map(logit).collect();
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        total += most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln() - logits[class];
    }
    let squares: f64 = (0..terms)
        .flat_map(|term| (0..classes).map(move |class| (term, class)))
        .map(|(t, c)| weights(t, c).powi(2))
        .sum();
    total / counts.len() as f64 + 0.5 * l2 * squares
}

#[test]
fn logistic_regression_has_no_higher_loss() {
    for (terms, classes, dual) in
        [(6, 2, false), (11, 3, false), (20, 7, false), (6, 2, true), (11, 3, true), (20, 7, true)]
    {
        let (counts, targets) = data(120, terms, classes);
        let rows = Rows::of_counts(&counts);
        let l2 = 0.01;
        let theirs = linfa_logistic::MultiLogisticRegression::default()
            .alpha(l2 * 120.0)
            .max_iterations(500)
            .gradient_tolerance(1e-8)
            .fit(&DatasetBase::new(dense(&counts), Array1::from(targets.clone())))
            .unwrap();
        let parameters = LogisticRegression {
            classes,
            l2: Some(l2),
            l1: 0.0,
            balanced: false,
            iterations: 500,
            tolerance: 1e-7,
            scales: vec![(terms, 1.0)],
            log_ratios: false,
            dual,
        };
        let mut unwatched = |_: &'static str, _: usize, _: usize| Ok(());
        let solver = Solver { parameters, watch: RefCell::new(&mut unwatched) };
        let (ours, outcome) = solver.fit(&labelled(&rows, &targets, (0..120).collect())).unwrap();
        assert!(outcome.converged);
        let our_loss =
            loss(&|term, class| ours.weights[term * classes + class], &ours.bias, &counts, &targets, l2);
        let (params, intercept) = (theirs.params(), theirs.intercept());
        let their_loss =
            loss(&|term, class| params[(term, class)], &intercept.to_vec(), &counts, &targets, l2);
        assert!(our_loss <= their_loss + 1e-9, "{our_loss} {their_loss}");
    }
}

#[test]
fn a_forest_is_no_less_accurate() {
    let (counts, targets) = data(3000, 12, 3);
    let presence: Vec<Vec<u32>> =
        counts.iter().map(|row| row.iter().map(|&n| u32::from(n > 1)).collect()).collect();
    let rows = Rows::of_counts(&presence);
    let (train, test): (Vec<u32>, Vec<u32>) = (0..3000).partition(|at| at % 5 > 0);
    let pick = |side: &[u32]| {
        let records: Vec<Vec<u32>> = side.iter().map(|&at| presence[at as usize].clone()).collect();
        DatasetBase::new(
            dense(&records),
            side.iter().map(|&at| targets[at as usize]).collect::<Array1<usize>>(),
        )
    };
    let tree = linfa_trees::DecisionTree::params();
    let theirs = linfa_ensemble::EnsembleLearnerParams::new(tree)
        .ensemble_size(50)
        .bootstrap_proportion(0.8)
        .fit(&pick(&train))
        .unwrap();
    let their_matrix = theirs.predict(&pick(&test)).confusion_matrix(&pick(&test)).unwrap();
    let parameters = RandomForest {
        classes: 3,
        trees: 50,
        depth: 50,
        features: 12,
        split_features: 0,
        min_leaf: 1,
        bootstrap: true,
        balanced: false,
        seed: 1,
    };
    let mut unwatched = |_: &'static str, _: usize, _: usize| Ok(());
    let grower = Grower { parameters, watch: RefCell::new(&mut unwatched) };
    let forest = grower.fit(&labelled(&rows, &targets, train.clone())).unwrap();
    let dataset = labelled(&rows, &targets, test.clone());
    let logits = predict(&forest, dataset.records());
    let label = |row: &[f64]| (0..3).fold(0, |best, class| if row[class] > row[best] { class } else { best });
    let predicted: Array1<usize> = logits.outer_iter().map(|row| label(&row.to_vec())).collect();
    // linfa's confusion matrix holds single-precision sums, and ours is what its figures should be.
    let our_matrix = predicted.confusion_matrix(dataset.targets()).unwrap();
    let mut confusion = Confusion::new(3);
    dataset
        .targets()
        .iter()
        .zip(&predicted)
        .for_each(|(&actual, &predicted)| confusion.add(actual, predicted));
    assert!((f64::from(our_matrix.accuracy()) - confusion.accuracy()).abs() < 1e-6);
    // A tenth of the labels is drawn anew, and linfa's forest differs from run to run by up to 0.02.
    assert!(our_matrix.accuracy() > 0.85, "{our_matrix:?}");
    assert!(our_matrix.accuracy() >= their_matrix.accuracy() - 0.03, "{our_matrix:?} {their_matrix:?}");
}

#[test]
fn without_a_strength_the_penalty_is_that_of_one_row() {
    let (counts, targets) = data(120, 6, 2);
    let rows = Rows::of_counts(&counts);
    let fit = |l2: Option<f64>| {
        let parameters = LogisticRegression {
            classes: 2,
            l2,
            l1: 0.0,
            balanced: false,
            iterations: 500,
            tolerance: 1e-7,
            scales: vec![(6, 1.0)],
            log_ratios: true,
            dual: false,
        };
        let mut unwatched = |_: &'static str, _: usize, _: usize| Ok(());
        let solver = Solver { parameters, watch: RefCell::new(&mut unwatched) };
        solver.fit(&labelled(&rows, &targets, (0..120).collect())).unwrap().0.weights
    };
    assert_eq!(fit(None), fit(Some(1.0 / 120.0)));
    assert_ne!(fit(None), fit(Some(0.1)));
}
