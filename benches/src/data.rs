//! The texts that are read: those of DATA, else the demo's sample messages.

use crate::Result;
use flate2::read::GzDecoder;
use sentiment_tests::repository;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// A label and a text.
pub type Row = (String, String);

/// The texts to measure with.
#[derive(Debug)]
pub struct Data {
    /// What the cost of a row is measured on.
    pub texts: Vec<String>,
    /// Texts of another kind, from which nothing that is shipped has learned.
    pub sms: Vec<String>,
    /// Texts of which the English model knows few words.
    pub foreign: Vec<String>,
    /// Labelled texts to train on.
    pub labelled: Vec<Row>,
    /// Further labelled texts, to go on learning from.
    pub further: Vec<Row>,
    /// What `texts` are, for the report.
    pub about: &'static str,
}

impl Data {
    /// Reads what there is.
    pub fn read() -> Result<Self> {
        let further = rows("en/tweets_dev.tsv.gz")?;
        let (texts, about) = match further.is_empty() {
            true => (demo()?, "the demo's sample messages, for there is no DATA"),
            false => (bodies(&further), "tweets; the shipped model has learned from these too"),
        };
        Ok(Self {
            texts,
            sms: bodies(&rows("en/sms_dev.tsv")?),
            foreign: bodies(&rows("umsab/spanish_dev.tsv.gz")?),
            labelled: rows("en/tweets_train.tsv.gz")?,
            further,
            about,
        })
    }
}

fn bodies(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.1.clone()).collect()
}

fn demo() -> Result<Vec<String>> {
    let content = std::fs::read_to_string(repository().join("demo/messages.tsv"))?;
    Ok(content.lines().filter_map(|line| line.rsplit('\t').next()).map(str::to_owned).collect())
}

/// The rows of a file below DATA, which begins with a header; none if it is not there.
fn rows(path: &str) -> Result<Vec<Row>> {
    let data = std::env::var_os("DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let Ok(mut file) = File::open(repository().join(data).join(path)) else { return Ok(Vec::new()) };
    let mut content = String::new();
    match path.ends_with(".gz") {
        true => GzDecoder::new(file).read_to_string(&mut content)?,
        false => file.read_to_string(&mut content)?,
    };
    let row = |line: &str| line.split_once('\t').map(|(label, text)| (label.to_owned(), text.to_owned()));
    Ok(content.lines().skip(1).filter_map(row).collect())
}
