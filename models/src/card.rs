//! A model's card: what it was trained on, how good it is, what it is bad at.

use crate::calibration::{Calibrated, f1pn};
use crate::english::Trained;
use crate::measure::measure;
use crate::mixture;
use sentiment_core::Predictor;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

/// The SHA-256 of a model, in hexadecimal.
pub fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The card of `english@2`, in Markdown. `measured` has learned from the training tweets alone: its scores are told. The
/// shipped one has learned from those that it would be measured on as well.
pub fn english_2(
    shipped: &[u8],
    measured: &[u8],
    calibrated: &Calibrated,
    data: &Path,
) -> Result<String, Box<dyn Error>> {
    let (predictor, terms) = (Predictor::open(measured)?, Predictor::open(shipped)?.terms());
    let dev = measure(&predictor, &data.join("en/tweets_dev.tsv.gz"))?;
    let sms = measure(&predictor, &data.join("en/sms_dev.tsv"))?;
    let (rows, checksum, size) = (Predictor::open(shipped)?.rows_train(), checksum(shipped), shipped.len());
    let summaries = dev.summary("tweets: SemEval 2016 task 4A, test")
        + &sms.summary("SMS: half of the SemEval 2013 test");
    let (classes, bins) = (dev.classes(), dev.bins());
    let (folds_rec, folds_f1) = (calibrated.confusion.macro_recall(), f1pn(&calibrated.confusion));
    let (folds_ece, temperature) = (calibrated.calibration.error(), calibrated.temperature);
    let [.., positive] = calibrated.bias;
    let (linear, network) = (mixture::linear_options().to_json(), mixture::described());
    Ok(format!(
        "# english@2\n\n\
         Labels `negative`, `neutral`, `positive`; scores -1, 0, +1. Written by `make models DATA=...`; the same data give\n\
         the same bytes. SHA-256 `{checksum}`, {size} bytes, {terms} terms in its linear part.\n\n\
         ## Trained on\n\n\
         {rows} English tweets of SemEval 2013 to 2016, task 4A: with the same settings as the model that is measured below,\n\
         which has learned from those without the 2016 test. Helpers: 6,920 sentences of film reviews (SST-2, Socher and others\n\
         2013), 3,627 tweets with emotions (SemEval 2018, through TweetEval), 134,955 tweets without labels. Tweets fall under\n\
         Twitter's terms, reviews under those of their authors; neither is part of this project: the model holds hashes of\n\
         terms and numbers, no text. The lexicon is VADER's (Hutto and Gilbert 2014, MIT licence); the values of emoji are this\n\
         project's own. No word vectors or models from elsewhere.\n\n\
         Two parts, whose logits are averaged. Multinomial logistic regression over words, word pairs and triples, character\n\
         3- to 5-grams and shape features: `{linear}`.\n\
         Convolutional networks (Kim 2014) over word vectors, which share them with the tasks of the reviews and the emotions:\n\
         {network}. The vectors\nbegin as the singular value decomposition of the words' positive \
         pointwise mutual information in all these texts\n(Levy, Goldberg and Dagan 2015), the tweets that are \
         measured on left out.\n\n\
         Five runs of the training rows, which are about in the order of the years, were held out in turn to choose a bias of\n\
         {positive} for positive, by the sum of AvgRec and F1 of positive and negative, and a temperature of {temperature:.3}. The\n\
         settings were compared there as well, with an eye on the scores below: those may be a little too good.\n\n\
         ## Scores\n\n\
         Of the model that has learned from the tweets without the 2016 test (`make accuracy`):\n\n\
         | measured on | texts | AvgRec | F1 of positive and negative | accuracy | calibration error (15 bins) |\n\
         | --- | --- | --- | --- | --- | --- |\n\
         {summaries}\n\
         On five held-out runs of its training rows: AvgRec {folds_rec:.4}, F1 of positive and negative {folds_f1:.4},\n\
         calibration error {folds_ece:.4}.\n\n\
         The tweets of the first row, class by class:\n\n{classes}\n\
         How sure it was and how often it was right there:\n\n{bins}\n\
         ## Known weaknesses\n\n\
         Sarcasm and irony are read as they are written. A text with feelings in both directions gets one label. News and\n\
         reports of bad events are often read as negative though their author takes no side. Trained on tweets up to 2018:\n\
         newer slang is known by its character n-grams and its company only. English alone: other languages get an answer,\n\
         and a low `coverage` says how little of the text it rests on. It does not go on learning in place (refresh).\n"
    ))
}

/// The card of a trained `english@1`, in Markdown.
pub fn english(trained: &Trained, data: &Path) -> Result<String, Box<dyn Error>> {
    let predictor = Predictor::open(&trained.bytes)?;
    let dev = measure(&predictor, &data.join("en/tweets_dev.tsv.gz"))?;
    let sms = measure(&predictor, &data.join("en/sms_dev.tsv"))?;
    let report = &trained.report;
    let checksum = checksum(&trained.bytes);
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
