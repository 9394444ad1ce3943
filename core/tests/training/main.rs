//! Training: repeatable, refusing what cannot be trained on, and stopped by whoever watches.
#![allow(clippy::unwrap_used)]

mod grams;
mod refresh;

use sentiment_core::train::{Algorithm, Corpus, Helpers, Options, Trained, Training};
use sentiment_core::{Error, ErrorKind, Predictor, Result, Scratch, Text};

const MEMORY: u64 = 1 << 26;

fn options(algorithm: Algorithm) -> Options {
    match algorithm {
        Algorithm::RandomForest => Options::defaults(algorithm).with("trees", 25),
        _ => Options::defaults(algorithm),
    }
}

/// A made-up word, another for each number.
fn word(at: usize) -> String {
    [at % 5, at / 5 % 5, at / 25 % 5].map(|digit| ["ba", "ko", "ri", "du", "me"][digit]).concat()
}

fn rows() -> Vec<(String, &'static str)> {
    let one = |at: usize| match at % 2 {
        0 => (format!("see you at lunch on day {} then", word(at)), "ham"),
        _ => (format!("win a free prize number {} now", word(at)), "spam"),
    };
    (0..60).map(one).collect()
}

fn corpus(rows: &[(String, &str)]) -> Corpus {
    let mut corpus = Corpus::new(MEMORY);
    rows.iter().for_each(|(text, label)| corpus.add(text.as_bytes(), label).unwrap());
    corpus
}

fn train(options: &Options, corpus: &Corpus, watch: &mut dyn FnMut() -> Result<()>) -> Result<Trained> {
    train_with(None, options, corpus, watch)
}

fn train_with(
    helpers: Option<Helpers>,
    options: &Options,
    corpus: &Corpus,
    watch: &mut dyn FnMut() -> Result<()>,
) -> Result<Trained> {
    let training = Training {
        name: "",
        version: 0,
        options,
        lexicon: None,
        own_terms: &[],
        seed: 5,
        memory: MEMORY,
        helpers,
        grows: true,
    };
    training.run(corpus, &corpus.all(), &mut |_: &'static str, _: usize, _: usize| watch())
}

fn label(parts: &[Vec<u8>], text: &str) -> String {
    let predictor = open(parts);
    let label = predictor.read(Text::from(text), &mut Scratch::default()).unwrap().label;
    predictor.labels()[label].clone()
}

/// Opens a model from its parts, the base first.
fn open(parts: &[Vec<u8>]) -> Predictor<'_> {
    let deltas: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
    Predictor::open_parts(&parts[0], &deltas).unwrap()
}

#[test]
fn any_order_gives_the_same_bytes() {
    for algorithm in Algorithm::ALL {
        let mut rows = rows();
        let first = train(&options(algorithm), &corpus(&rows), &mut || Ok(())).unwrap();
        rows.reverse();
        rows.rotate_left(17);
        let second = train(&options(algorithm), &corpus(&rows), &mut || Ok(())).unwrap();
        assert_eq!(first.bytes, second.bytes, "{algorithm:?}");
    }
}

#[test]
fn it_learns() {
    for algorithm in Algorithm::ALL {
        let trained = train(&options(algorithm), &corpus(&rows()), &mut || Ok(())).unwrap();
        let report = &trained.report;
        assert!(report.converged && report.confusion.accuracy() > 0.95, "{algorithm:?} {report:?}");
        let parts = [trained.bytes];
        assert_eq!(label(&parts, "lunch then?"), "ham", "{algorithm:?}");
        assert_eq!(label(&parts, "WIN a FREE prize!!!"), "spam", "{algorithm:?}");
        let predictor = open(&parts);
        assert_eq!((predictor.algorithm(), predictor.rows_train()), (algorithm.name(), 60));
        assert_eq!(predictor.label_score(0), None);
    }
}

/// Threads beside the test's.
fn helpers(most: usize) -> Option<Helpers> {
    Some(Helpers { most, start: |start| start() })
}

#[test]
fn helpers_change_nothing() {
    for algorithm in Algorithm::ALL {
        for folds in [1, 2, 5] {
            let (options, corpus) = (options(algorithm).with("folds", folds), corpus(&rows()));
            let alone = train(&options, &corpus, &mut || Ok(())).unwrap();
            for most in [0, 1, 3, 20] {
                let helped = train_with(helpers(most), &options, &corpus, &mut || Ok(())).unwrap();
                assert_eq!(alone.bytes, helped.bytes, "{algorithm:?}, {folds} folds, {most} helpers");
                assert_eq!(format!("{:?}", alone.report), format!("{:?}", helped.report));
            }
        }
    }
}

#[test]
fn helpers_are_stopped_too() {
    for algorithm in Algorithm::ALL {
        let (options, corpus) = (options(algorithm), corpus(&rows()));
        for patience in [0, 60, 150, 200] {
            let mut calls = 0;
            let outcome = train_with(helpers(2), &options, &corpus, &mut || {
                calls += 1;
                if calls > patience { Err(Error::new(ErrorKind::Cancelled, "enough", "")) } else { Ok(()) }
            });
            // With so much help this thread may have had nothing left to ask about.
            assert!(
                outcome.is_ok_and(|_| calls <= patience) || calls == patience + 1,
                "{calls} of {patience}"
            );
        }
    }
}

#[test]
fn a_solver_that_is_stopped_says_so() {
    let options = options(Algorithm::LogisticRegression).with("iterations", 2).with("tolerance", 1e-9);
    assert!(!train(&options, &corpus(&rows()), &mut || Ok(())).unwrap().report.converged);
}

#[test]
fn memory_that_does_not_do_is_refused() {
    for algorithm in Algorithm::ALL {
        let (options, corpus) = (options(algorithm), corpus(&rows()));
        let training = Training {
            name: "",
            version: 0,
            options: &options,
            lexicon: None,
            own_terms: &[],
            seed: 5,
            memory: 6_000,
            helpers: None,
            grows: true,
        };
        let error = training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory, "{algorithm:?}");
    }
}

#[test]
fn whoever_watches_stops_it_at_once() {
    for algorithm in Algorithm::ALL {
        let (options, corpus) = (options(algorithm), corpus(&rows()));
        for patience in [0, 1, 59, 60, 150, 200] {
            let mut calls = 0;
            let outcome = train(&options, &corpus, &mut || {
                calls += 1;
                if calls > patience { Err(Error::new(ErrorKind::Cancelled, "stopped", "")) } else { Ok(()) }
            });
            assert_eq!(outcome.map(|_| ()).unwrap_err().kind(), ErrorKind::Cancelled);
            assert_eq!(calls, patience + 1);
        }
    }
}

#[test]
fn a_model_says_what_it_is_told_to_say() {
    for algorithm in Algorithm::ALL {
        let mut trained = train(&options(algorithm), &corpus(&rows()), &mut || Ok(())).unwrap();
        let before = [trained.bytes.clone()];
        let metrics = format!("{{\"note\": \"{}\"}}", "long ".repeat(100));
        trained.state_metrics(&metrics).unwrap();
        let after = [trained.bytes];
        assert_eq!(open(&after).metrics(), metrics);
        for text in ["lunch", "a prize", "day"] {
            let said = |parts: &[Vec<u8>]| {
                open(parts).read(Text::from(text), &mut Scratch::default()).unwrap().probabilities.to_vec()
            };
            assert_eq!(said(&before), said(&after));
        }
    }
}

/// An empty field of a file is no label that somebody has given.
#[test]
fn rows_with_a_blank_label_are_skipped() {
    let labels = ["positive", "", "negative", " \t\u{a0}"];
    let rows: Vec<_> = (0..40).map(|at| (format!("day {at}"), labels[at % 4])).collect();
    let corpus = corpus(&rows);
    assert_eq!((corpus.labels(), corpus.skipped()), (vec!["negative".to_owned(), "positive".to_owned()], 20));
    assert!(!corpus.has_label(""));
}

/// Rows that say next to nothing have held-out logits that are almost the same.
#[test]
fn whatever_is_trained_can_be_opened() {
    let same: Vec<(String, &str)> = (0..6)
        .map(|at| {
            let (word, label) = [("good ", "positive"), ("bad ", "negative")][at % 2];
            (word.repeat(2000 + 10 * at), label)
        })
        .collect();
    let plain: Vec<(String, &str)> = (0..40)
        .map(|at| {
            [(format!("good day {at}"), "positive"), (format!("bad day {at}"), "negative")][at % 2].clone()
        })
        .collect();
    for (rows, smoothing) in [(&same, 1.0), (&plain, 1e6), (&plain, 1e3), (&plain, 1e-6)] {
        let options = options(Algorithm::NaiveBayes).with("smoothing", smoothing);
        for seed in 0..20 {
            let training = Training {
                name: "",
                version: 0,
                options: &options,
                lexicon: None,
                own_terms: &[],
                seed,
                memory: MEMORY,
                helpers: None,
                grows: true,
            };
            let corpus = corpus(rows);
            let trained = training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(())).unwrap();
            Predictor::open(&trained.bytes).unwrap();
        }
    }
}
