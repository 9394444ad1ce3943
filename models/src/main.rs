//! Trains the shipped models: `sentiment-models DATA [FOLDER]` reads the data files under DATA and writes each model
//! with its card into FOLDER (`models` unless given). `sentiment-models accuracy DATA` trains on the training tweets alone
//! and prints what that reaches on others.

mod accuracy;
mod calibration;
mod card;
mod convolution;
mod data;
mod eigen;
mod embedding;
mod emoji;
mod english;
mod lexicon;
mod measure;
mod mixture;
mod multilingual;
mod random;

use data::Labelled;
use mixture::{Row, Trainer};
use sentiment_core::Predictor;
use sentiment_core::train::Lexicon;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from).peekable();
    let accuracy = arguments.next_if(|first| first.as_os_str() == "accuracy").is_some();
    let Some(data) = arguments.next() else {
        return complain("usage: sentiment-models [accuracy] DATA [FOLDER]");
    };
    let folder = arguments.next().unwrap_or_else(|| PathBuf::from("models"));
    let done = if accuracy { print_accuracy(&data) } else { write_all(&data, &folder) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

#[allow(clippy::print_stdout)]
fn print_accuracy(data: &Path) -> Result<(), Box<dyn Error>> {
    let lexicon = lexicon_lines(data)?;
    print!("{}", accuracy::table(data, &Lexicon::parse(&lexicon))?);
    Ok(())
}

#[allow(clippy::print_stderr)]
fn complain(what: &str) -> ExitCode {
    eprintln!("sentiment-models: {what}");
    ExitCode::FAILURE
}

fn write_all(data: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let lexicon = lexicon_lines(data)?;
    std::fs::write(folder.join("english-lexicon.tsv"), &lexicon)?;
    let lexicon = Lexicon::parse(&lexicon);
    let trained = english::train(data, &lexicon)?;
    let card = card::english(&trained, data)?;
    std::fs::write(folder.join("english-1.bin"), &trained.bytes)?;
    std::fs::write(folder.join("english-1.md"), card)?;
    let trained = multilingual::train(data, &lexicon)?;
    let card = multilingual::card(&trained, data)?;
    std::fs::write(folder.join("multilingual-1.bin"), &trained.bytes)?;
    std::fs::write(folder.join("multilingual-1.md"), card)?;
    write_english_2(data, folder, &lexicon)
}

/// Measures on the tweets that are held out, and then learns from them as well.
fn write_english_2(data: &Path, folder: &Path, lexicon: &Lexicon) -> Result<(), Box<dyn Error>> {
    let trainer = Trainer::new(data, lexicon)?;
    let mut rows = mixture::rows(&data.join("en/tweets_train.tsv.gz"))?;
    let calibrated = trainer.calibrate(&rows)?;
    let train = |rows: &[Row], metrics: &str| -> Result<Vec<u8>, Box<dyn Error>> {
        trainer.write(&trainer.train(&rows.iter().collect::<Vec<_>>(), 2)?, &calibrated, metrics)
    };
    let measured = train(&rows, "{}")?;
    let dev = data.join("en/tweets_dev.tsv.gz");
    let measured_on = "tweets of the SemEval 2016 task 4A test, before it learned from them";
    let metrics = measure::metrics(&Predictor::open(&measured)?, std::slice::from_ref(&dev), measured_on)?;
    rows.extend(mixture::rows(&dev)?);
    let shipped = train(&rows, &metrics)?;
    let card = card::english_2(&shipped, &measured, &calibrated, data)?;
    std::fs::write(folder.join("english-2.bin"), &shipped)?;
    std::fs::write(folder.join("english-2.md"), card)?;
    Ok(())
}

/// The lexicon of the words that occur in the tweets.
fn lexicon_lines(data: &Path) -> Result<String, Box<dyn Error>> {
    let labelled = Labelled::open(&data.join("en/tweets_train.tsv.gz"))?;
    let unlabelled = data::lines(&data.join("en/tweets_unlabelled.txt.gz"))?;
    let texts = labelled.rows().map(|(_, text)| text).chain(unlabelled.iter().map(String::as_str));
    Ok(lexicon::of_words(texts))
}
