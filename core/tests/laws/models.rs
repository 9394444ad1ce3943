//! The models that the laws are tried on: the shipped one and some trained here, so that no algorithm, count of classes,
//! missing score and script is taken for granted, fresh ones as well as refreshed ones.

use sentiment_core::refresh::{Lesson, RefreshedPart, refresh};
use sentiment_core::train::{Algorithm, Corpus, Options, Training};
use sentiment_core::{Predictor, shipped};
use std::sync::LazyLock;

/// A model's bytes, and what refreshes made of them.
pub struct Model {
    pub base: Vec<u8>,
    pub deltas: Vec<Vec<u8>>,
}

impl Model {
    pub fn predictor(&self) -> Predictor<'_> {
        let deltas: Vec<&[u8]> = self.deltas.iter().map(Vec::as_slice).collect();
        Predictor::open_parts(&self.base, &deltas).unwrap()
    }

    /// The same after a refresh.
    pub fn refreshed(&self) -> Self {
        let labels = self.predictor().labels().to_vec();
        let texts: Vec<String> =
            (0..40).map(|at| format!("brandnew{} word0 with not {at} 😀", at % 3)).collect();
        let lessons = texts
            .iter()
            .enumerate()
            .map(|(at, text)| Lesson { text: text.as_bytes(), label: &labels[at % 3 % labels.len()] });
        let own_terms = match self.predictor().label_score(0) {
            Some(_) => vec![("shared1".to_owned(), 0.5), ("two words".to_owned(), -1.0)],
            None => Vec::new(),
        };
        let lessons: Vec<Lesson<'_>> = lessons.collect();
        let refreshed = refresh(&self.base, &[], &lessons, Some(&own_terms), &mut |_, _, _| Ok(())).unwrap();
        assert_eq!(refreshed.rows_used, 40);
        let bytes = refreshed.parts.unwrap().into_iter().map(|part| match part {
            RefreshedPart::New(bytes) => bytes,
            RefreshedPart::Kept(at) => [&self.base][at].clone(),
        });
        let mut parts: Vec<Vec<u8>> = bytes.collect();
        Self { base: parts.remove(0), deltas: parts }
    }
}

/// Algorithm and options of the models that are trained here.
const TRAINED: &[(&str, &str)] = &[
    ("naive_bayes", "{}"),
    ("naive_bayes", r#"{"variant": "complement", "words": 3}"#),
    ("naive_bayes", r#"{"variant": "bernoulli", "prior": "fitted"}"#),
    ("logistic_regression", "{}"),
    ("logistic_regression", r#"{"l1": 0.001, "words": 3, "lexicon": "english", "class_weight": "none"}"#),
    ("random_forest", r#"{"trees": 20, "words": 2}"#),
    ("random_forest", r#"{"trees": 5, "bootstrap": false, "depth": 3, "features": 7}"#),
];

pub static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let shipped = shipped::all().iter();
    let mut models: Vec<Model> =
        shipped.map(|&(_, _, bytes)| Model { base: bytes.to_vec(), deltas: Vec::new() }).collect();
    for &(algorithm, options) in TRAINED {
        for labels in [&["negative", "positive"][..], &["a", "b", "c", "d", "e"]] {
            let fresh = Model { base: train(algorithm, options, labels), deltas: Vec::new() };
            if algorithm != "random_forest" {
                models.push(fresh.refreshed());
            }
            models.push(fresh);
        }
    }
    models
});

pub fn english() -> Predictor<'static> {
    let (_, _, bytes) = shipped::all().last().unwrap();
    Predictor::open_unchecked(bytes).unwrap()
}

/// Trains on made-up texts in which each label has words of its own.
fn train(algorithm: &str, options: &str, labels: &[&str]) -> Vec<u8> {
    let mut corpus = Corpus::new(1 << 26);
    for at in 0..200 {
        let label = at % labels.len();
        let text = format!("{} word{label} not shared{} 中文 😀 :) #Tag{label} n{at}", labels[label], at % 7);
        corpus.add(text.as_bytes(), labels[label]).unwrap();
    }
    let options = Options::parse(Algorithm::named(algorithm).unwrap(), options).unwrap();
    let training = Training {
        name: "",
        version: 0,
        options: &options,
        lexicon: None,
        own_terms: &[],
        seed: 3,
        memory: 1 << 26,
        helpers: None,
        grows: true,
    };
    training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(())).unwrap().bytes
}
