//! Training: repeatable, refusing what cannot be trained on, and stopped by whoever watches.
#![allow(clippy::unwrap_used)]

use sentiment_core::refresh::{DeltaPart, Lesson, Refreshed, refresh};
use sentiment_core::train::{Algorithm, Corpus, Options, Trained, Training};
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
    let training =
        Training { name: "", version: 0, options, lexicon: None, own_terms: &[], seed: 5, memory: MEMORY };
    training.run(corpus, &corpus.all(), &mut |_: &'static str, _: usize, _: usize| watch())
}

fn label(base: &[u8], deltas: &[&[u8]], text: &str) -> String {
    let predictor = Predictor::open_parts(base, deltas).unwrap();
    let label = predictor.read(Text::from(text), &mut Scratch::default()).unwrap().label;
    predictor.labels()[label].clone()
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
        assert_eq!(label(&trained.bytes, &[], "lunch then?"), "ham", "{algorithm:?}");
        assert_eq!(label(&trained.bytes, &[], "WIN a FREE prize!!!"), "spam", "{algorithm:?}");
        let predictor = Predictor::open(&trained.bytes).unwrap();
        assert_eq!((predictor.algorithm(), predictor.rows_train()), (algorithm.name(), 60));
        assert_eq!(predictor.label_score(0), None);
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

/// Refreshes, and puts the deltas together as a registry does.
fn taught(
    base: &[u8],
    deltas: &[Vec<u8>],
    lessons: &[(&str, &str)],
    own: &[(String, f64)],
) -> (Refreshed, Vec<Vec<u8>>) {
    let lessons: Vec<Lesson<'_>> =
        lessons.iter().map(|(text, label)| Lesson { text: text.as_bytes(), label }).collect();
    let before: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
    let refreshed = refresh(base, &before, &lessons, own, &mut |_, _, _| Ok(())).unwrap();
    let parts = refreshed.deltas.iter().flatten().map(|part| match part {
        DeltaPart::Kept(at) => deltas[*at].clone(),
        DeltaPart::New(bytes) => bytes.clone(),
    });
    let after = parts.collect();
    (refreshed, after)
}

#[test]
fn it_goes_on_learning() {
    for algorithm in [Algorithm::NaiveBayes, Algorithm::LogisticRegression] {
        for variant in ["multinomial", "complement", "bernoulli"] {
            let options = match algorithm {
                // Few rows ask for less smoothing.
                Algorithm::NaiveBayes => options(algorithm).with("variant", variant).with("smoothing", 0.5),
                _ => options(algorithm),
            };
            let base = train(&options, &corpus(&rows()), &mut || Ok(())).unwrap().bytes;
            let lessons =
                [("crypto airdrop today", "spam"), ("gym session today", "ham"), ("what", "unheard of")];
            let mut deltas = Vec::new();
            for _ in 0..9 {
                let (refreshed, after) = taught(&base, &deltas, &lessons, &[]);
                assert_eq!((refreshed.rows_used, refreshed.rows_skipped), (2, 1));
                deltas = after;
            }
            assert!(deltas.len() <= 4, "deltas are merged");
            let parts: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
            assert_eq!(label(&base, &parts, "an airdrop of crypto"), "spam", "{algorithm:?} {variant}");
            assert_eq!(label(&base, &parts, "gym?"), "ham", "{algorithm:?} {variant}");
            assert_eq!(label(&base, &parts, "free prize"), "spam", "{algorithm:?} {variant}");
            assert_eq!(Predictor::open_parts(&base, &parts).unwrap().rows_train(), 78);
            assert!(taught(&base, &deltas, &[], &[]).0.deltas.is_none(), "nothing new, nothing written");
            let other =
                train(&options.clone().with("language", "de"), &corpus(&rows()), &mut || Ok(())).unwrap();
            assert_eq!(Predictor::open_parts(&other.bytes, &parts).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }
}

/// Counts that go on are the counts of all rows at once.
#[test]
fn naive_bayes_refreshed_is_naive_bayes_trained_on_all() {
    let rows: Vec<(String, &str)> = (0..400)
        .map(|at: usize| {
            let class = (at * at / 7) % 2;
            (format!("w{} w{} w{}", at % 13, at % 7, (at * (class + 1)) % 5), ["negative", "positive"][class])
        })
        .collect();
    let options = options(Algorithm::NaiveBayes)
        .with("words", 1)
        .with("min_texts", 1)
        .with("calibration", "temperature");
    let (some, rest) = rows.split_at(300);
    let base = train(&options, &corpus(some), &mut || Ok(())).unwrap();
    let all = train(&options, &corpus(&rows), &mut || Ok(())).unwrap();
    let lessons: Vec<(&str, &str)> = rest.iter().map(|(text, label)| (text.as_str(), *label)).collect();
    let (_, deltas) = taught(&base.bytes, &[], &lessons, &[]);
    let parts: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
    let refreshed = Predictor::open_parts(&base.bytes, &parts).unwrap();
    let whole = Predictor::open(&all.bytes).unwrap();
    let (mut a, mut b) = (Scratch::default(), Scratch::default());
    for (text, _) in &rows {
        let odds = |p: &[f64]| (p[1] / p[0]).ln();
        let one = odds(refreshed.read(Text::from(text.as_str()), &mut a).unwrap().probabilities);
        let two = odds(whole.read(Text::from(text.as_str()), &mut b).unwrap().probabilities);
        // Each was calibrated on its own rows, and weights are rounded to 8 bits.
        let ratio = base.report.temperature / all.report.temperature;
        assert!((one * ratio - two).abs() < 0.05 * (1.0 + two.abs()), "{text}: {one} {two}");
    }
}

#[test]
fn a_users_own_terms() {
    let rows: Vec<(String, &str)> = (0..80)
        .map(|at| (format!("text {} of {}", word(at), at % 9), ["negative", "positive"][at % 2]))
        .collect();
    for algorithm in [Algorithm::NaiveBayes, Algorithm::LogisticRegression] {
        let base = train(&options(algorithm), &corpus(&rows), &mut || Ok(())).unwrap().bytes;
        let own = [("lit".to_owned(), 1.0), ("low key bad".to_owned(), -1.0), ("🗿".to_owned(), -0.8)];
        let (_, deltas) = taught(&base, &[], &[], &own);
        let parts: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
        for (text, wanted) in [
            ("this is lit", "positive"),
            ("it is low key bad", "negative"),
            ("🗿", "negative"),
            ("not lit", "negative"),
        ] {
            assert_eq!(label(&base, &parts, text), wanted, "{text} by {algorithm:?}");
        }
        let (_, gone) = taught(&base, &deltas, &[], &[]);
        let parts: Vec<&[u8]> = gone.iter().map(Vec::as_slice).collect();
        let (before, after) =
            (Predictor::open(&base).unwrap(), Predictor::open_parts(&base, &parts).unwrap());
        let (mut a, mut b) = (Scratch::default(), Scratch::default());
        let score = |p: &Predictor<'_>, s: &mut Scratch| p.read(Text::from("text is lit"), s).unwrap().score;
        assert_eq!(score(&before, &mut a), score(&after, &mut b));
    }
    for (term, score) in [("", 0.5), ("one two three four", 0.5), ("fine", 1.5), ("fine", f64::NAN)] {
        assert_eq!(sentiment_core::train::check_term(term, score).unwrap_err().kind(), ErrorKind::Parameter);
    }
}

#[test]
fn a_forest_does_not_go_on_learning() {
    let base = train(&options(Algorithm::RandomForest), &corpus(&rows()), &mut || Ok(())).unwrap().bytes;
    let error = refresh(&base, &[], &[], &[], &mut |_, _, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Rows of two labels, one four times as frequent, that are told apart by a word which is wrong one time in five.
fn skewed() -> Vec<(String, &'static str)> {
    let one = |at: usize| {
        let rare = at.is_multiple_of(5);
        let told = if (at / 5).is_multiple_of(5) { !rare } else { rare };
        let sign = if told { "late" } else { "fine" };
        (format!("{} it is {sign} {}", word(at), word(at * 7 + 3)), if rare { "complaint" } else { "other" })
    };
    (0..600).map(one).collect()
}

/// Log odds of the first label.
fn odds(base: &[u8], deltas: &[&[u8]], text: &str) -> f64 {
    let mut scratch = Scratch::default();
    let predictor = Predictor::open_parts(base, deltas).unwrap();
    let probabilities = predictor.read(Text::from(text), &mut scratch).unwrap().probabilities;
    (probabilities[0] / probabilities[1]).ln()
}

#[test]
fn calibration_sets_a_bias_that_refreshes_keep_and_explanations_show() {
    let text = "it is late";
    for algorithm in Algorithm::ALL {
        let corpus = corpus(&skewed());
        let train_by = |calibration: &str| {
            train(&options(algorithm).with("calibration", calibration), &corpus, &mut || Ok(())).unwrap()
        };
        let (vector, temperature) = (train_by("vector"), train_by("temperature"));
        let predictor = Predictor::open(&vector.bytes).unwrap();
        let explained: f64 = predictor
            .explain(Text::from(text), &mut Scratch::default())
            .iter()
            .map(|reason| reason.weight)
            .sum();
        let before = odds(&vector.bytes, &[], text);
        assert!((explained - before.abs()).abs() < 1e-9, "{algorithm:?} {explained} {before}");
        assert!((before - odds(&temperature.bytes, &[], text)).abs() > 0.01, "{algorithm:?}");
        // The classes count the same, and are told right about as often.
        let recall = |trained: &Trained| trained.report.confusion.macro_recall();
        assert!(recall(&vector) >= recall(&temperature) - 0.05, "{algorithm:?} {}", recall(&temperature));
        if algorithm != Algorithm::RandomForest {
            let (_, deltas) = taught(&vector.bytes, &[], &[("unheard", "other")], &[]);
            let parts: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
            assert!((odds(&vector.bytes, &parts, text) - before).abs() < 0.01, "{algorithm:?}");
        }
    }
}
