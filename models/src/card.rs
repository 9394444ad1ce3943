//! A model's card: what it was trained on, how good it is, what it is bad at.

use crate::english::Trained;
use crate::measure::measure;
use sentiment_core::Predictor;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

/// The card of a trained `english@1`, in Markdown.
pub fn english(trained: &Trained, data: &Path) -> Result<String, Box<dyn Error>> {
    let predictor = Predictor::open(&trained.bytes)?;
    let dev = measure(&predictor, &data.join("en/tweets_dev.tsv.gz"))?;
    let sms = measure(&predictor, &data.join("en/sms_dev.tsv"))?;
    let report = &trained.report;
    let checksum = Sha256::digest(&trained.bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let (rows, terms, size) = (trained.rows, predictor.terms(), trained.bytes.len());
    let (folds_rec, folds_ece) = (report.confusion.macro_recall(), report.calibration.error());
    let summaries = dev.summary("tweets: SemEval 2016 task 4A, test")
        + &sms.summary("SMS: half of the SemEval 2013 test");
    let (classes, bins, settings) = (dev.classes(), dev.bins(), &trained.settings);
    let (temperature, iterations) = (report.temperature, report.iterations);
    let ended = if report.converged { "converged" } else { "was stopped" };
    Ok(format!(
        "# english@1\n\n\
         Labels `negative`, `neutral`, `positive`; scores -1, 0, +1. Written by `make models DATA=...`; the same data give\n\
         the same bytes. SHA-256 `{checksum}`, {size} bytes, {terms} terms.\n\n\
         ## Trained on\n\n\
         {rows} English tweets of SemEval 2013 to 2016, task 4A (train, dev and test sets; without the 2016 test). The tweets\n\
         fall under Twitter's terms and are not part of this project; the model holds hashes of terms and numbers, no text.\n\
         The lexicon is VADER's (Hutto and Gilbert 2014, MIT licence) for the words that occur in these tweets and in 134,955\n\
         unlabelled ones; the values of emoji are this project's own.\n\n\
         Multinomial logistic regression over words, word pairs and triples, character 3- to 5-grams and shape features; no\n\
         random numbers: folds are drawn by a text's hash. Settings: `{settings}`; the solver {ended} after {iterations}\n\
         iterations. Probabilities are calibrated by a temperature of {temperature:.3} fitted on five held-out folds.\n\n\
         ## Scores\n\n\
         | measured on | texts | AvgRec | F1 of positive and negative | accuracy | calibration error (15 bins) |\n\
         | --- | --- | --- | --- | --- | --- |\n\
         {summaries}\n\
         On five held-out folds of the training rows: AvgRec {folds_rec:.4}, calibration error {folds_ece:.4}.\n\n\
         The tweets of the first row, class by class:\n\n{classes}\n\
         How sure it was and how often it was right there:\n\n{bins}\n\
         ## Known weaknesses\n\n\
         Sarcasm and irony are read as they are written. A text with feelings in both directions gets one label. News and\n\
         reports of bad events are often read as negative though their author takes no side. Trained on tweets up to 2016:\n\
         newer slang is known by its character n-grams and its company only. English alone: other languages get\n\
         an answer, and a low `coverage` says how little of the text it rests on.\n"
    ))
}
