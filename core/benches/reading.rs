//! How many bytes a second are read, by what is done with them: `cargo bench -p sentiment-core`.
//!
//! Each sample reads all texts once: the demo's messages, or made-up ones for the models that were trained on such.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use sentiment_core::train::{Algorithm, Corpus};
use sentiment_core::{Predictor, Scratch, Text, shipped};

#[path = "support/texts.rs"]
mod texts;

fn main() {
    divan::main();
}

/// Reads all texts by a model, over and over.
fn read(bencher: Bencher<'_, '_>, bytes: &[u8], texts: &[&str]) {
    let predictor = Predictor::open(bytes).unwrap();
    let mut scratch = Scratch::default();
    bencher.counter(total(texts)).counter(ItemsCount::new(texts.len())).bench_local(|| {
        for text in texts {
            black_box(predictor.read(Text::from(black_box(*text)), &mut scratch));
        }
    });
}

fn total(texts: &[&str]) -> BytesCount {
    BytesCount::new(texts.iter().map(|text| text.len()).sum::<usize>())
}

fn newest(name: &str) -> &'static [u8] {
    shipped::all().iter().rfind(|model| model.0 == name).unwrap().2
}

/// Texts to tokens. A corpus keeps a copy of the text and one hash over its tokens besides, which is next to nothing.
#[divan::bench]
fn tokenizer(bencher: Bencher<'_, '_>) {
    let texts = texts::messages();
    bencher.counter(total(&texts)).counter(ItemsCount::new(texts.len())).bench_local(|| {
        let mut corpus = Corpus::new(1 << 32);
        for text in &texts {
            corpus.add(black_box(text.as_bytes()), "label").unwrap();
        }
        corpus
    });
}

/// Tokens, look-ups and the network of the shipped models.
#[divan::bench(args = ["english", "multilingual"])]
fn shipped_model(bencher: Bencher<'_, '_>, name: &str) {
    read(bencher, newest(name), &texts::messages());
}

/// Tokens, look-ups and what each algorithm makes of them.
#[divan::bench(args = ["naive_bayes", "logistic_regression", "random_forest"])]
fn trained_model(bencher: Bencher<'_, '_>, algorithm: &str) {
    let rows = texts::made_up(3_000);
    let bytes = texts::trained(Algorithm::named(algorithm).unwrap(), &rows).unwrap();
    let texts: Vec<&str> = rows.iter().take(400).map(|row| row.0.as_str()).collect();
    read(bencher, &bytes, &texts);
}

/// Why a text was given its label.
#[divan::bench]
fn explain(bencher: Bencher<'_, '_>) {
    let texts = texts::messages();
    let predictor = Predictor::open(newest("english")).unwrap();
    let mut scratch = Scratch::default();
    bencher.counter(total(&texts)).counter(ItemsCount::new(texts.len())).bench_local(|| {
        for text in &texts {
            black_box(predictor.explain(Text::from(*text), &mut scratch));
        }
    });
}

/// Opening a model of unknown origin: its checksum is counted.
#[divan::bench]
fn open(bencher: Bencher<'_, '_>) {
    let bytes = newest("english");
    bencher.counter(BytesCount::new(bytes.len())).bench(|| Predictor::open(black_box(bytes)).is_ok());
}
