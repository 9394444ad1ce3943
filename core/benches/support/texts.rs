//! The texts that benches read: the demo's messages, and labelled ones that are made up. The same ones each time.

use sentiment_core::Result;
use sentiment_core::train::{Algorithm, Corpus, Options, Training};

/// The demo's messages.
pub fn messages() -> Vec<&'static str> {
    let lines = include_str!("../../../demo/messages.tsv").lines();
    lines.filter_map(|line| line.rsplit('\t').next()).collect()
}

/// Made-up texts with their labels. Words are frequent as in a language (the n-th is n times as rare as the first), and one
/// in six leans to a label.
pub fn made_up(rows: usize) -> Vec<(String, &'static str)> {
    const LABELS: [&str; 3] = ["negative", "neutral", "positive"];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = move |below: u64| {
        // Knuth's multiplier; the upper half of the state is what is random about it.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = |label: u64| {
        let words = 6 + draw(20);
        let mut word = |_| {
            let rank = 4_000 / (1 + draw(4_000));
            if draw(6) == 0 { spelled(3 * rank + label + 10_000) } else { spelled(rank * 8 + draw(8)) }
        };
        (0..words).map(&mut word).collect::<Vec<_>>().join(" ")
    };
    let labels = (0..3_u64).zip(LABELS).cycle().take(rows);
    labels.map(|(label, name)| (text(label), name)).collect()
}

/// A number as a word that can be said.
fn spelled(mut number: u64) -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprst";
    const VOWELS: &[u8] = b"aeiou";
    let mut word = String::new();
    let pick = |letters: &[u8], number: &mut u64| {
        let count = letters.len() as u64;
        let at = usize::try_from(*number % count).unwrap_or(0);
        *number /= count;
        char::from(letters[at])
    };
    while word.is_empty() || number > 0 {
        word.push(pick(CONSONANTS, &mut number));
        word.push(pick(VOWELS, &mut number));
    }
    word
}

/// The bytes of a model that was trained on such texts with the options' defaults.
///
/// # Errors
/// None: there are texts of each label.
pub fn trained(algorithm: Algorithm, texts: &[(String, &str)]) -> Result<Vec<u8>> {
    let memory = 1 << 32;
    let mut corpus = Corpus::new(memory);
    for (text, label) in texts {
        corpus.add(text.as_bytes(), label)?;
    }
    let options = Options::defaults(algorithm);
    let training = Training {
        name: "",
        version: 0,
        options: &options,
        lexicon: None,
        own_terms: &[],
        seed: 1,
        memory,
        helpers: None,
        grows: true,
    };
    Ok(training.run(&corpus, &corpus.all(), &mut |_: &'static str, _, _| Ok(()))?.bytes)
}
