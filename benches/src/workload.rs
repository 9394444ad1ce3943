//! What instructions are counted in: the parts of reading a text, each over the same texts.

use crate::Result;
use crate::workload::texts::{made_up, messages, trained};
use sentiment_core::train::{Algorithm, Corpus};
use sentiment_core::{Predictor, Scratch, Text, shipped};
use std::hint::black_box;

#[path = "../../core/benches/support/texts.rs"]
mod texts;

/// Made-up texts that models are trained on, and those that they read.
const TRAINED_ON: usize = 1_500;
const READ: usize = 400;

/// The parts, in the order in which they are reported.
pub const PARTS: &[&str] =
    &["tokenizing", "english", "multilingual", "naive_bayes", "logistic_regression", "random_forest"];

/// The one function in which instructions are counted: a counter knows it by this name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// Does a part's work twice, of which the second time is counted: buffers have grown then. Prints the number of texts.
pub fn run(part: &str) -> Result<()> {
    let rows = made_up(TRAINED_ON);
    let (texts, bytes) = match part {
        "tokenizing" => return tokenize(&messages()),
        "english" | "multilingual" => (messages(), newest(part)?.to_vec()),
        algorithm => {
            let texts = rows.iter().take(READ).map(|row| row.0.as_str()).collect();
            (texts, trained(Algorithm::named(algorithm)?, &rows)?)
        }
    };
    let predictor = Predictor::open(&bytes)?;
    let mut scratch = Scratch::default();
    let mut work = || {
        for text in &texts {
            black_box(predictor.read(Text::from(black_box(*text)), &mut scratch));
        }
    };
    work();
    measured(&mut work);
    println!("{}", texts.len());
    Ok(())
}

/// A corpus tokenizes what it is given; the copy and the hash that it keeps are next to nothing beside that.
fn tokenize(texts: &[&str]) -> Result<()> {
    let mut failed = Ok(());
    let mut work = || {
        let mut corpus = Corpus::new(1 << 32);
        let mut add = |text: &&str| corpus.add(black_box(text.as_bytes()), "label");
        failed = texts.iter().try_for_each(&mut add);
    };
    work();
    measured(&mut work);
    println!("{}", texts.len());
    Ok(failed?)
}

fn newest(name: &str) -> Result<&'static [u8]> {
    let model = shipped::all().iter().rfind(|model| model.0 == name);
    Ok(model.ok_or_else(|| format!("{name} is not shipped"))?.2)
}
