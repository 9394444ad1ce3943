//! Laws that every model keeps, whatever it was trained on and whatever it is given to read.
#![allow(clippy::unwrap_used)]

mod models;

use models::{MODELS, english};
use proptest::prelude::*;
use sentiment_core::{MAX_TEXT_BYTES, Predictor, Scratch, Text};

/// Everything that a reading says, by value.
type Said = Option<(usize, Vec<u64>, Option<u64>, u64, bool)>;

fn said(predictor: &Predictor<'_>, text: &[u8], scratch: &mut Scratch) -> Said {
    let reading = predictor.read(Text::new(text), scratch)?;
    let bits = reading.probabilities.iter().map(|p| p.to_bits()).collect();
    Some((
        reading.label,
        bits,
        reading.score.map(f64::to_bits),
        reading.coverage.to_bits(),
        reading.truncated,
    ))
}

/// Checks one text against every law.
fn check(predictor: &Predictor<'_>, text: &[u8]) {
    let mut scratch = Scratch::default();
    let tokens = predictor.tokens(Text::new(text), &mut scratch);
    let reasons = predictor.explain(Text::new(text), &mut scratch);
    let Some(reading) = predictor.read(Text::new(text), &mut scratch) else {
        assert!(tokens.is_empty() && reasons.is_empty(), "nothing to score, yet something seen");
        return;
    };
    assert!(!tokens.is_empty());
    assert!(tokens.iter().all(|token| token.start < text.len()));
    assert_eq!(reading.probabilities.len(), predictor.labels().len());
    assert!(reading.probabilities.iter().all(|p| p.is_finite() && (0.0..=1.0).contains(p)));
    assert!((reading.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let largest = reading.probabilities.iter().copied().fold(0.0, f64::max);
    assert_eq!(reading.probabilities[reading.label], largest);
    assert!((0.0..=1.0).contains(&reading.coverage));
    assert!(reading.truncated || text.len() <= MAX_TEXT_BYTES);
    let expected: f64 = (0..reading.probabilities.len())
        .map(|c| reading.probabilities[c] * predictor.label_score(c).unwrap_or(0.0))
        .sum();
    assert!(reading.score.is_none_or(|score| (score - expected).abs() < 1e-12));

    // An explanation adds up to the margin between the label and the runner-up.
    let mut others = reading.probabilities.to_vec();
    others.remove(reading.label);
    let margin = (largest / others.iter().copied().fold(0.0, f64::max)).ln();
    let sum: f64 = reasons.iter().map(|reason| reason.weight).sum();
    assert!((sum - margin).abs() < 1e-6 * (1.0 + margin.abs()), "{sum} explains {margin}");
    assert_eq!(reasons.last().map(|reason| reason.term.as_str()), Some("(bias)"));
    assert!(reasons.iter().all(|reason| reason.start.is_none_or(|start| start < text.len())));

    // The same again, whatever was read in between.
    let first = said(predictor, text, &mut scratch);
    said(predictor, "something else :) entirely ünlike".as_bytes(), &mut scratch);
    assert_eq!(said(predictor, text, &mut scratch), first);
    assert_eq!(said(predictor, text, &mut Scratch::default()), first);
}

/// Pieces that messages are made of, so that random texts meet the tokenizer's branches.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z']{1,12}",
        "[0-9.,:/%-]{1,8}",
        "[#@$][a-zA-Z0-9_é]{0,10}",
        "[:;=8xX<>(){}\\[\\]DPp3_^.'*/|\\\\-]{1,6}",
        "(https?://|www\\.)[a-z./?=&]{1,20}",
        "&(amp|lt|gt|#39|#x1F600|nbsp|eacute|bogus);?",
        "\\\\u[0-9a-fA-F]{0,5}",
        "[\u{1f300}-\u{1faff}\u{200d}\u{fe0f}\u{1f3fb}-\u{1f3ff}]{1,5}",
        "[\u{1f1e6}-\u{1f1ff}]{1,5}",
        "[\u{300}-\u{36f}]{1,40}",
        "[\u{e00}-\u{e7f}\u{4e00}-\u{4eff}\u{3040}-\u{30ff}\u{ac00}-\u{acff}\u{1100}-\u{11ff}]{1,8}",
        "[\u{202a}-\u{202e}\u{200b}-\u{200f}\u{ad}\u{feff}]{1,4}",
        "[!?.,;: \t\n]{1,6}",
        "\\PC{1,8}",
    ]
}

fn message() -> impl Strategy<Value = String> {
    prop::collection::vec((piece(), "[ ]{0,1}"), 0..24)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, space)| piece + &space).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..400)) {
        MODELS.iter().for_each(|model| check(&model.predictor(), &text));
    }

    #[test]
    fn any_message(text in message()) {
        MODELS.iter().for_each(|model| check(&model.predictor(), text.as_bytes()));
    }

    #[test]
    fn a_text_cut_anywhere(text in message(), at in any::<prop::sample::Index>()) {
        let bytes = text.as_bytes();
        if !bytes.is_empty() {
            check(&english(), &bytes[at.index(bytes.len())..]);
        }
    }

    #[test]
    fn invisible_characters_change_nothing(words in prop::collection::vec("[a-z]{1,8}", 1..8)) {
        let plain = words.join(" ");
        let hidden: String = plain.chars().flat_map(|c| [c, '\u{200b}', '\u{202e}']).collect();
        let (english, mut scratch) = (english(), Scratch::default());
        let seen = |text: &str, scratch: &mut Scratch| {
            said(&english, text.as_bytes(), scratch).map(|(label, bits, ..)| (label, bits))
        };
        prop_assert_eq!(seen(&plain, &mut scratch), seen(&hidden, &mut scratch));
    }
}

#[test]
fn hostile_texts() {
    let english = english();
    for text in [
        "😀".repeat(100_000),
        "e".to_owned() + &"\u{301}".repeat(100_000),
        "a".repeat(1 << 20),
        "\u{202e}desrever\u{202c} ".repeat(1_000),
        "\u{fdfa}".repeat(50_000),
        "&amp;".repeat(50_000),
        "\\ud83d".repeat(50_000),
        "#".repeat(100_000),
        "#A".repeat(50_000),
        ":".repeat(100_000),
        "not ".repeat(50_000),
        "中".repeat(50_000),
        "!?".repeat(50_000),
        "a.b".repeat(50_000),
        "1,".repeat(50_000),
        "\u{1100}".repeat(50_000),
        "((((".repeat(20_000),
        "a.".repeat(50_000),
        "it's".repeat(50_000),
        "#".to_owned() + &"1a".repeat(50_000),
        "http://".repeat(20_000),
    ] {
        check(&english, text.as_bytes());
    }
}

#[test]
fn nothing_to_score_is_not_neutral() {
    for model in MODELS.iter() {
        for text in ["", " ", "\t\r\n", "\u{1}\u{2}\u{7f}", "\u{200b}\u{feff}", "\u{fffd}", "\u{3000}\u{a0}"]
        {
            assert!(model.predictor().read(Text::from(text), &mut Scratch::default()).is_none(), "{text:?}");
        }
    }
}

#[test]
fn a_cut_text_says_so() {
    let reading_of =
        |text: Text<'_>| english().read(text, &mut Scratch::default()).map(|reading| reading.truncated);
    assert_eq!(reading_of(Text::beginning(b"good", true)), Some(true));
    assert_eq!(reading_of(Text::beginning(b"good", false)), Some(false));
}
