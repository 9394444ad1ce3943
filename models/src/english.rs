//! `english@1`: tweets of SemEval 2013 to 2016.

use crate::data::{self, Labelled};
use crate::lexicon;
use sentiment_core::train::{Example, Lexicon, LogisticRegression, Report, Scales, Thresholds, Training};
use std::error::Error;
use std::path::Path;

/// The labels in class order, with their values in the score.
pub const LABELS: [&str; 3] = ["negative", "neutral", "positive"];
const LABEL_SCORES: [Option<f64>; 3] = [Some(-1.0), Some(0.0), Some(1.0)];

/// A trained model and what is to be said of it.
#[derive(Debug)]
pub struct Trained {
    pub bytes: Vec<u8>,
    pub report: Report,
    pub rows: usize,
    pub settings: String,
}

/// The class of a label.
pub fn class(label: &str) -> Option<usize> {
    LABELS.iter().position(|&known| known == label)
}

/// Trains the model from the data folder.
pub fn train(data: &Path) -> Result<Trained, Box<dyn Error>> {
    let labelled = Labelled::open(&data.join("en/tweets_train.tsv.gz"))?;
    let unlabelled = data::lines(&data.join("en/tweets_unlabelled.txt.gz"))?;
    let rows = labelled.rows().filter_map(|(label, text)| class(label).map(|label| Example { text, label }));
    let examples: Vec<Example<'_>> = rows.collect();
    let texts = examples.iter().map(|example| example.text).chain(unlabelled.iter().map(String::as_str));
    let lexicon = lexicon::of_words(texts);
    let training = settings(&lexicon);
    let (bytes, report) = training.run(&examples, || Ok(()))?;
    let settings = format!("{:?}, {:?}, {:?}", training.thresholds, training.scales, training.algorithm);
    Ok(Trained { bytes, report, rows: examples.len(), settings })
}

/// Chosen by two-fold cross-validation on the training rows. The classes are balanced, for the measure that counts
/// (AvgRec) gives each class the same weight, whatever its share.
fn settings(lexicon: &Lexicon) -> Training<'_> {
    Training {
        name: "english",
        version: 1,
        language: "en",
        labels: &LABELS,
        label_scores: &LABEL_SCORES,
        thresholds: Thresholds { unit: 2, gram: 5, pair: 2, triple: 2 },
        scales: Scales { unit: 1.0, gram: 0.3, pair: 0.7, triple: 0.5, shape: 1.0 },
        algorithm: LogisticRegression { l2: 5e-5, balance: 1.0, iterations: 100, tolerance: 3e-3 },
        folds: 5,
        lexicon,
    }
}
