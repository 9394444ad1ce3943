//! `multilingual@1`: tweets in eight languages, read by one model.

use crate::card::checksum;
use crate::data::Labelled;
use crate::measure::{Measured, measure, measure_all, metrics};
use crate::mixture::LABELS;
use sentiment_core::Predictor;
use sentiment_core::train::{Algorithm, Corpus, Lexicon, Options, Training};
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Memory that training may use.
const MEMORY: u64 = 1 << 30;

/// The languages, with the macro-F1 that fastText reaches on their test sets (Barbieri and others 2022).
const LANGUAGES: [(&str, f64); 8] = [
    ("arabic", 0.460),
    ("english", 0.509),
    ("french", 0.548),
    ("german", 0.596),
    ("hindi", 0.371),
    ("italian", 0.547),
    ("portuguese", 0.551),
    ("spanish", 0.501),
];

/// A trained model, and how many rows it has learned from.
#[derive(Debug)]
pub struct Trained {
    pub bytes: Vec<u8>,
    rows: usize,
    settings: String,
}

/// Trains the model on the training files of all languages together.
pub fn train(data: &Path, lexicon: &Lexicon) -> Result<Trained, Box<dyn Error>> {
    let mut corpus = Corpus::new(MEMORY);
    for (language, _) in LANGUAGES {
        for (label, text) in Labelled::open(&data.join(format!("umsab/{language}_train.tsv.gz")))?.rows() {
            corpus.add(text.as_bytes(), label)?;
        }
    }
    // A term of one text is kept: each language has but 1,800 of them.
    // The penalty is half the usual one, and the solver stops early: each language has an eighth of the rows.
    let options = Options::defaults(Algorithm::LogisticRegression)
        .with("solver", "lbfgs")
        .with("language", "mul")
        .with("min_texts", 1)
        .with("l2", 3e-5)
        .with("tolerance", 0.03);
    let training = Training {
        name: "multilingual",
        version: 1,
        options: &options,
        lexicon: Some(lexicon),
        own_terms: &[],
        seed: 1,
        memory: MEMORY,
        helpers: None,
        grows: false,
    };
    let mut trained = training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(()))?;
    let files = dev_files(data);
    let metrics = metrics(&Predictor::open(&trained.bytes)?, &files, "the UMSAB development sets")?;
    trained.state_metrics(&metrics)?;
    Ok(Trained { bytes: trained.bytes, rows: corpus.len(), settings: options.to_json() })
}

/// The development sets, one a language.
fn dev_files(data: &Path) -> Vec<PathBuf> {
    LANGUAGES.map(|(language, _)| data.join(format!("umsab/{language}_dev.tsv.gz"))).to_vec()
}

/// The card of the trained model, in Markdown.
pub fn card(trained: &Trained, data: &Path) -> Result<String, Box<dyn Error>> {
    let predictor = Predictor::open(&trained.bytes)?;
    let mut table = String::from(
        "| language | texts | macro-F1 | AvgRec | accuracy | calibration error | fastText, test set |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut mean = [0.0; 2];
    let mut all = Vec::new();
    let files = dev_files(data);
    for ((language, fast_text), file) in LANGUAGES.into_iter().zip(&files) {
        let measured = measure(&predictor, file)?;
        let confusion = &measured.confusion;
        let figures = [confusion.macro_f1(), confusion.macro_recall(), confusion.accuracy()];
        let [f1, recall, accuracy] = figures;
        let (rows, error) = (measured.rows, measured.calibration.error());
        writeln!(
            table,
            "| {language} | {rows} | {f1:.4} | {recall:.4} | {accuracy:.4} | {error:.4} | {fast_text:.3} |"
        )?;
        mean = [mean[0] + f1 / 8.0, mean[1] + recall / 8.0];
        all.push((language, measured));
    }
    let (size, terms, rows) = (trained.bytes.len(), predictor.terms(), trained.rows);
    let (checksum, settings, confusions) = (checksum(&trained.bytes), &trained.settings, confusions(&all)?);
    let [mean_f1, mean_recall] = mean;
    let together = measure_all(&predictor, &files)?;
    let (classes, bins) = (together.classes(), together.bins());
    Ok(format!(
        "# multilingual@1\n\n\
         Labels `negative`, `neutral`, `positive`; scores -1, 0, +1. Written by `make models DATA=...`; the same data give\n\
         the same bytes. SHA-256 `{checksum}`, {size} bytes, {terms} terms.\n\n\
         ## Trained on\n\n\
         {rows} tweets of the Unified Multilingual Sentiment Analysis Benchmark (UMSAB; Barbieri and others 2022): Arabic, English,\n\
         French, German, Hindi, Italian, Portuguese and Spanish, as many of each label in each language. The tweets fall under\n\
         Twitter's terms and are not part of this project; the model holds hashes of terms and numbers, no text. The lexicon is\n\
         that of the English models.\n\n\
         One multinomial logistic regression for all languages. Settings: `{settings}`, seed 1 (nothing is drawn by lot). They were\n\
         chosen beside a dozen others on the development sets below: the figures are a little better than those of other tweets.\n\n\
         ## Scores\n\n{table}\n\
         On average: macro-F1 {mean_f1:.4}, AvgRec {mean_recall:.4}. fastText's figures are those published for the test sets.\n\n\
         All languages together, class by class:\n\n{classes}\n\
         How sure it was and how often it was right there:\n\n{bins}\n\
         Rows by their label, and what they were read as:\n\n{confusions}\n\
         ## Known weaknesses\n\n\
         1,800 tweets a language are few: most of what it knows of a word it knows from the word's parts. Hindi here is mostly\n\
         written in Latin script, in many spellings, and is the weakest. Sarcasm and mixed feelings are read as they are written.\n\
         Languages beyond the eight get an answer, and a low `coverage` says how little of the text it rests on.\n"
    ))
}

fn confusions(all: &[(&str, Measured)]) -> Result<String, Box<dyn Error>> {
    let mut table = String::from(
        "| language | label | as negative | as neutral | as positive |\n| --- | --- | --- | --- | --- |\n",
    );
    for (language, measured) in all {
        for (at, label) in LABELS.iter().enumerate() {
            let [negative, neutral, positive] = [0, 1, 2].map(|read| measured.confusion.count(at, read));
            writeln!(table, "| {language} | {label} | {negative} | {neutral} | {positive} |")?;
        }
    }
    Ok(table)
}
