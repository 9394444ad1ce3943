//! The shipped English model reads what nobody would read otherwise. (Its scores are on its card.)
#![allow(clippy::unwrap_used)]

use sentiment_core::{Predictor, Scratch, Text, shipped};

#[test]
fn repetition_keeps_the_label() {
    for &(_, _, bytes) in shipped::all() {
        keeps_the_label(&Predictor::open(bytes).unwrap());
    }
}

fn keeps_the_label(predictor: &Predictor<'_>) {
    let mut scratch = Scratch::default();
    for (wanted, text) in [
        ("negative", "so bad "),
        ("negative", "I hate it! "),
        ("positive", "so good "),
        ("positive", "I love it! "),
    ] {
        for times in [1, 2, 5, 20, 50, 200, 1_000, 5_000] {
            let label = predictor.read(Text::from(text.repeat(times).as_str()), &mut scratch).unwrap().label;
            assert_eq!(predictor.labels()[label], wanted, "{text:?} {times} times");
        }
    }
}

#[test]
fn plain_cases() {
    for &(_, _, bytes) in shipped::all() {
        reads_plain_cases(&Predictor::open(bytes).unwrap());
    }
}

fn reads_plain_cases(predictor: &Predictor<'_>) {
    let mut scratch = Scratch::default();
    for (wanted, texts) in [
        (
            "positive",
            &[
                "I love this phone",
                "what a great day, so happy :)",
                "Thank you so much, you made my week!!!",
                "best concert EVER 😍😍",
                "luv u, gr8 nite :)",
                "Not bad at all, really enjoyed it",
                "😂❤",
            ][..],
        ),
        (
            "negative",
            &[
                "I hate waiting for this bus",
                "worst service ever, never again",
                "this is not good :(",
                "so sad and angry right now 😡",
                "dont like it at all, what a waste of money",
                "😭💔",
                "I am very disappointed with the delivery",
            ],
        ),
        (
            "neutral",
            &[
                "The meeting is on Tuesday at 10",
                "The train leaves at 7:45 from platform 3",
                "Where are you? I am at the station",
            ],
        ),
    ] {
        for text in texts {
            let label = predictor.read(Text::from(*text), &mut scratch).unwrap().label;
            assert_eq!(predictor.labels()[label], wanted, "{text}");
        }
    }
}
