//! The models that the laws are tried on: the shipped one and two trained here, so that no count of classes, no
//! missing score and no script is taken for granted.

use sentiment_core::train::{Example, Lexicon, LogisticRegression, Scales, Thresholds, Training};
use sentiment_core::{Predictor, shipped};
use std::sync::LazyLock;

/// A model's bytes.
pub struct Model(Vec<u8>);

impl Model {
    pub fn predictor(&self) -> Predictor<'_> {
        Predictor::open_unchecked(&self.0).unwrap()
    }
}

pub static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let shipped = shipped::all().iter().map(|&(_, _, bytes)| Model(bytes.to_vec()));
    shipped
        .chain([
            Model(train(&["bad", "good"], &[Some(-1.0), Some(1.0)])),
            Model(train(&["a", "b", "c", "d", "e"], &[None; 5])),
        ])
        .collect()
});

pub fn english() -> Predictor<'static> {
    let (_, _, bytes) = shipped::all()[0];
    Predictor::open_unchecked(bytes).unwrap()
}

/// Trains on made-up texts in which each label has words of its own.
fn train(labels: &[&str], label_scores: &[Option<f64>]) -> Vec<u8> {
    let texts: Vec<(String, usize)> = (0..200)
        .map(|at| {
            let label = at % labels.len();
            (
                format!("{} word{label} not shared{} 中文 😀 :) #Tag{label} n{at}", labels[label], at % 7),
                label,
            )
        })
        .collect();
    let examples: Vec<Example<'_>> =
        texts.iter().map(|(text, label)| Example { text, label: *label }).collect();
    let lexicon = Lexicon::new([("good", 2.0), ("bad", -2.0), (":)", 2.0)]);
    let training = Training {
        name: "made_up",
        version: 3,
        language: "und",
        labels,
        label_scores,
        thresholds: Thresholds { unit: 2, gram: 2, pair: 2, triple: 2 },
        scales: Scales { unit: 1.0, gram: 0.3, pair: 0.7, triple: 0.5, shape: 1.0 },
        algorithm: LogisticRegression { iterations: 50, ..LogisticRegression::default() },
        folds: 3,
        lexicon: &lexicon,
    };
    training.run(&examples, || Ok(())).unwrap().0
}
