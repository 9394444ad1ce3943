//! Any bytes as a text: tokens lead back into it, probabilities are finite and sum to 1, the same each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentiment_core::{Predictor, Scratch, Text, shipped};
use std::sync::LazyLock;

static ENGLISH: LazyLock<Predictor<'static>> =
    LazyLock::new(|| Predictor::open_unchecked(shipped::all()[0].2).unwrap());

fuzz_target!(|bytes: &[u8]| {
    let mut scratch = Scratch::default();
    let tokens = ENGLISH.tokens(Text::new(bytes), &mut scratch);
    assert!(tokens.iter().all(|token| token.start < bytes.len()));
    let first: Option<Vec<f64>> = ENGLISH.read(Text::new(bytes), &mut scratch).map(|r| r.probabilities.to_vec());
    assert_eq!(first.is_none(), tokens.is_empty());
    if let Some(probabilities) = &first {
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let again = ENGLISH.read(Text::new(bytes), &mut Scratch::default()).map(|r| r.probabilities.to_vec());
    assert_eq!(first, again);
    ENGLISH.explain(Text::new(bytes), &mut scratch);
});
