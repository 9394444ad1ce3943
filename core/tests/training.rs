//! Training: repeatable, refusing what cannot be trained on, and stopped by its callback.

use sentiment_core::train::{Example, Lexicon, LogisticRegression, Scales, Thresholds, Training};
use sentiment_core::{Error, ErrorKind, Predictor, Scratch, Text};

const LABELS: [&str; 2] = ["ham", "spam"];

fn training(lexicon: &Lexicon) -> Training<'_> {
    Training {
        name: "mail",
        version: 7,
        language: "en",
        labels: &LABELS,
        label_scores: &[None, None],
        thresholds: Thresholds { unit: 1, gram: 2, pair: 2, triple: 2 },
        scales: Scales { unit: 1.0, gram: 0.3, pair: 0.7, triple: 0.5, shape: 1.0 },
        algorithm: LogisticRegression::default(),
        folds: 2,
        lexicon,
    }
}

fn texts() -> Vec<(String, usize)> {
    let one = |at: usize| match at % 2 {
        0 => (format!("see you at lunch on day {} then", at / 2), 0),
        _ => (format!("win a free prize number {} now", at / 2), 1),
    };
    (0..60).map(one).collect()
}

fn examples(texts: &[(String, usize)]) -> Vec<Example<'_>> {
    texts.iter().map(|(text, label)| Example { text, label: *label }).collect()
}

#[test]
fn any_order_gives_the_same_bytes() {
    let (texts, lexicon) = (texts(), Lexicon::default());
    let mut examples = examples(&texts);
    let (first, _) = training(&lexicon).run(&examples, || Ok(())).unwrap();
    examples.reverse();
    examples.rotate_left(17);
    let (second, _) = training(&lexicon).run(&examples, || Ok(())).unwrap();
    assert_eq!(first, second);
}

#[test]
fn it_learns() {
    let (texts, lexicon) = (texts(), Lexicon::default());
    let (bytes, report) = training(&lexicon).run(&examples(&texts), || Ok(())).unwrap();
    assert!(report.converged && report.confusion.accuracy() == 1.0);
    let predictor = Predictor::open(&bytes).unwrap();
    let label = |text: &str| {
        let label = predictor.read(Text::from(text), &mut Scratch::default()).unwrap().label;
        predictor.labels()[label].clone()
    };
    assert_eq!(label("lunch tomorrow?"), "ham");
    assert_eq!(label("FREE PRIZES to win!!!"), "spam");
    assert_eq!((predictor.name(), predictor.version(), predictor.rows_train()), ("mail", 7, 60));
    assert_eq!(predictor.label_score(0), None);
}

#[test]
fn too_few_classes_are_refused() {
    let (texts, lexicon) = (texts(), Lexicon::default());
    let refused = |examples: &[Example<'_>]| training(&lexicon).run(examples, || Ok(())).unwrap_err().kind();
    assert_eq!(refused(&[]), ErrorKind::Parameter);
    let ham: Vec<Example<'_>> = examples(&texts).into_iter().filter(|example| example.label == 0).collect();
    assert_eq!(refused(&ham), ErrorKind::Parameter);
    assert_eq!(refused(&[Example { text: "x", label: 2 }]), ErrorKind::Parameter);
}

#[test]
fn the_callback_stops_it_at_once() {
    let (texts, lexicon) = (texts(), Lexicon::default());
    for patience in [0, 1, 59, 60, 150, 400, 1_000] {
        let mut calls = 0;
        let outcome = training(&lexicon).run(&examples(&texts), || {
            calls += 1;
            if calls > patience { Err(Error::new(ErrorKind::Cancelled, "stopped", "")) } else { Ok(()) }
        });
        assert_eq!(outcome.map(|_| ()).unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(calls, patience + 1);
    }
}
