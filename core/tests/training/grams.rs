//! Character n-grams are looked up where a model may have some, and nowhere else.

use super::refresh::taught;
use super::{corpus, open, options, rows, train, word};
use sentiment_core::train::{Algorithm, Options};
use sentiment_core::{Predictor, Scratch, Text};

/// Where a model's head says that it has none.
const NO_GRAMS: usize = 56;

/// Algorithms and options, and whether terms of theirs are character n-grams.
fn models() -> Vec<(Options, bool)> {
    let bayes = |variant: &str| options(Algorithm::NaiveBayes).with("variant", variant);
    vec![
        (options(Algorithm::LogisticRegression), true),
        (options(Algorithm::LogisticRegression).with("lexicon", "english"), true),
        (options(Algorithm::LogisticRegression).with("chars", false), false),
        (bayes("multinomial"), false),
        (bayes("complement"), false),
        (bayes("bernoulli"), false),
        (options(Algorithm::RandomForest), false),
    ]
}

/// Rows of as many labels, with a word each that no other row has.
fn labelled(labels: usize) -> Vec<(String, &'static str)> {
    let label = |at: usize| ["ham", "spam", "eggs", "toast"][at % labels];
    let row =
        |(at, (text, _)): (usize, (String, &str))| (format!("{} {text} {}", label(at), word(at)), label(at));
    rows().into_iter().enumerate().map(row).collect()
}

/// The model with its head saying something else.
fn saying(base: &[u8], no_grams: u8) -> Vec<u8> {
    let mut bytes = base.to_vec();
    bytes[NO_GRAMS] = no_grams;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..24]);
    hasher.update(&bytes[28..]);
    bytes[24..28].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

/// Everything that is said of a text.
fn said(predictor: &Predictor<'_>, text: &str) -> String {
    let mut scratch = Scratch::default();
    let reading = format!("{:?}", predictor.read(Text::from(text), &mut scratch));
    format!("{reading} {:?}", predictor.explain(Text::from(text), &mut scratch))
}

const TEXTS: [&str; 4] =
    ["lunchtime prizes, numberless spammy eggshells", "see you at lunch then", "not a freebie", "zzyzx"];

#[test]
fn none_are_looked_up_where_there_are_none() {
    for labels in 2..=4 {
        for (options, grams) in models() {
            let trained = train(&options, &corpus(&labelled(labels)), &mut || Ok(())).unwrap().bytes;
            assert_eq!(trained[NO_GRAMS] == 0, grams, "{options:?}");
            let (with, without) = (saying(&trained, 0), saying(&trained, 1));
            let (with, without) = (Predictor::open(&with).unwrap(), Predictor::open(&without).unwrap());
            let same = |text: &&str| said(&with, text) == said(&without, text);
            // Only what is there is missed.
            assert_eq!(TEXTS.iter().all(same), !grams, "{options:?}");
        }
    }
}

#[test]
fn refreshes_and_compactions_leave_it_so() {
    for (options, grams) in
        models().into_iter().filter(|(options, _)| options.algorithm() != Algorithm::RandomForest)
    {
        let base = train(&options, &corpus(&labelled(3)), &mut || Ok(())).unwrap().bytes;
        let mut parts = vec![base.clone()];
        for round in 0.. {
            let lesson = |at: usize| {
                let words: Vec<String> =
                    (0..20).map(|n| format!("{}{round}x{at}x{n}", word(at * n))).collect();
                (words.join(" "), ["ham", "spam", "eggs"][at % 3])
            };
            (_, parts) = taught(&parts, &(0..300).map(lesson).collect::<Vec<_>>(), &[]);
            if let [base] = parts.as_slice() {
                let (with, without) = ([saying(base, 0)], [saying(base, 1)]);
                let same = |text: &&str| said(&open(&with), text) == said(&open(&without), text);
                assert_eq!(TEXTS.iter().all(same), !grams, "{options:?}");
            }
            assert_eq!(parts[0][NO_GRAMS] == 0, grams, "{options:?}");
            if parts[0].len() > base.len() {
                break;
            }
            assert!(round < 20, "it is never compacted: {options:?}");
        }
    }
}
