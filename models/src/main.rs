//! Trains the shipped models: `sentiment-models DATA [FOLDER]` reads the data files under DATA and writes each model
//! with its card into FOLDER (`models` unless given).

mod card;
mod data;
mod emoji;
mod english;
mod lexicon;

use data::Labelled;
use sentiment_core::train::Lexicon;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(data) = arguments.next() else { return complain("usage: sentiment-models DATA [FOLDER]") };
    let folder = arguments.next().unwrap_or_else(|| PathBuf::from("models"));
    match write_english(&data, &folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

#[allow(clippy::print_stderr)]
fn complain(what: &str) -> ExitCode {
    eprintln!("sentiment-models: {what}");
    ExitCode::FAILURE
}

fn write_english(data: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let lexicon = write_lexicon(data, folder)?;
    let trained = english::train(data, &Lexicon::parse(&lexicon))?;
    let card = card::english(&trained, data)?;
    std::fs::write(folder.join("english-1.bin"), &trained.bytes)?;
    std::fs::write(folder.join("english-1.md"), card)?;
    Ok(())
}

/// Writes the lexicon of the words that occur in the tweets.
fn write_lexicon(data: &Path, folder: &Path) -> Result<String, Box<dyn Error>> {
    let labelled = Labelled::open(&data.join("en/tweets_train.tsv.gz"))?;
    let unlabelled = data::lines(&data.join("en/tweets_unlabelled.txt.gz"))?;
    let texts = labelled.rows().map(|(_, text)| text).chain(unlabelled.iter().map(String::as_str));
    let lines = lexicon::of_words(texts);
    std::fs::write(folder.join("english-lexicon.tsv"), &lines)?;
    Ok(lines)
}
