//! What a training holds at most, as the kernel counts it. Each training has a process of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::process::Command;

use sentiment_core::ErrorKind;
use sentiment_core::train::{Algorithm, Corpus, Options, Training};

/// The most megabytes that the process has held.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() / 1024
}

/// Texts of made-up words, hardly two of them the same, in so many megabytes; whether they do.
fn train(algorithm: Algorithm, options: &str, (texts, words): (usize, usize), megabytes: u64) -> bool {
    let mut state = 88_172_645_463_325_252_u64;
    let mut below = |most: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % most
    };
    let mut corpus = Corpus::new(megabytes << 20);
    for at in 0..texts {
        let mut text = String::new();
        for _ in 0..words {
            (0..3 + below(7)).for_each(|_| text.push(char::from(b'a' + u8::try_from(below(26)).unwrap())));
            text.push(' ');
        }
        if let Err(error) = corpus.add(text.as_bytes(), ["a", "b", "c"][at % 3]) {
            assert_eq!(error.kind(), ErrorKind::Memory);
            return false;
        }
    }
    let training = Training {
        name: "",
        version: 0,
        options: &Options::parse(algorithm, options).unwrap(),
        lexicon: None,
        own_terms: &[],
        seed: 3,
        memory: megabytes << 20,
        helpers: None,
        grows: true,
    };
    match training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(())) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Memory);
            false
        }
    }
}

/// A training, whether its memory does, and how many megabytes that is.
type Case = (Algorithm, &'static str, (usize, usize), bool, u64);

const LONG: (usize, usize) = (100, 6_000);
const SHORT: (usize, usize) = (8_000, 15);
const ALL_TERMS: &str = r#"{"words": 3, "min_texts": 1}"#;

const CASES: [Case; 6] = [
    (Algorithm::NaiveBayes, ALL_TERMS, SHORT, false, 20),
    (Algorithm::LogisticRegression, "{}", LONG, false, 30),
    (Algorithm::LogisticRegression, "{}", LONG, false, 60),
    (Algorithm::NaiveBayes, "{}", LONG, false, 45),
    (Algorithm::RandomForest, r#"{"trees": 2}"#, SHORT, true, 60),
    (Algorithm::NaiveBayes, ALL_TERMS, SHORT, true, 90),
];

/// What the process itself takes, buffers of one text, and what is free but not given back.
const BESIDE: u64 = 8;

/// Says to the test, run once more, which case it is to try: what a training leaves behind counts for the next.
const VARIABLE: &str = "SENTIMENT_MEMORY_CASE";

#[test]
fn a_training_stays_within_its_memory() {
    if let Ok(number) = std::env::var(VARIABLE) {
        let (algorithm, options, texts, does, megabytes) = CASES[number.parse::<usize>().unwrap()];
        assert_eq!(train(algorithm, options, texts, megabytes), does);
        let peak = peak();
        return assert!(peak <= megabytes + BESIDE, "{peak} of {megabytes} MB");
    }
    for (number, case) in CASES.iter().enumerate() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.env(VARIABLE, number.to_string()).output().unwrap();
        assert!(output.status.success(), "{case:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
