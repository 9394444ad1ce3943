//! Any bytes as a model: opened or refused, and what opens reads a text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentiment_core::{Predictor, Scratch, Text};

fuzz_target!(|bytes: &[u8]| {
    let _ = Predictor::open(bytes);
    if let Ok(predictor) = Predictor::open_unchecked(bytes) {
        let mut scratch = Scratch::default();
        let text = Text::from("I don't love this phone :( but the camera is great!!");
        let finite = predictor.read(text, &mut scratch).is_none_or(|r| r.probabilities.iter().all(|p| p.is_finite()));
        assert!(finite);
        predictor.explain(text, &mut scratch);
        predictor.tokens(text, &mut scratch);
    }
});
