//! `english@1`: tweets of SemEval 2013 to 2016.

use crate::data::Labelled;
use sentiment_core::train::{Algorithm, Corpus, Lexicon, Options, Report, Training};
use std::error::Error;
use std::path::Path;

/// Memory that training may use.
const MEMORY: u64 = 1 << 30;

/// A trained model and what is to be said of it.
#[derive(Debug)]
pub struct Trained {
    pub bytes: Vec<u8>,
    pub report: Report,
    pub rows: usize,
    pub settings: String,
}

/// Trains the model from the data folder.
pub fn train(data: &Path, lexicon: &Lexicon) -> Result<Trained, Box<dyn Error>> {
    let labelled = Labelled::open(&data.join("en/tweets_train.tsv.gz"))?;
    let mut corpus = Corpus::new(MEMORY);
    for (label, text) in labelled.rows() {
        corpus.add(text.as_bytes(), label)?;
    }
    let options = settings();
    let training = Training {
        name: "english",
        version: 1,
        options: &options,
        lexicon: Some(lexicon),
        own_terms: &[],
        seed: 1,
        memory: MEMORY,
        helpers: None,
        grows: false,
    };
    let mut unwatched = |_, _, _| Ok(());
    let trained = training.run(&corpus, &corpus.all(), &mut unwatched)?;
    let settings = options.to_json();
    Ok(Trained { bytes: trained.bytes, report: trained.report, rows: corpus.len(), settings })
}

/// Chosen by two-fold cross-validation on the training rows. The classes are balanced, for the measure that counts
/// (AvgRec) gives each class the same weight, whatever its share.
fn settings() -> Options {
    Options::defaults(Algorithm::LogisticRegression)
        .with("solver", "lbfgs")
        .with("language", "en")
        .with("words", 3)
        .with("folds", 5)
        .with("calibration", "temperature")
        .with("term_scale", "none")
        .with("l2", 5e-5)
}
