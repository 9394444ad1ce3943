//! Any text as options of training: refused, or options that are read back as they were.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentiment_core::train::{Algorithm, Options};

fuzz_target!(|text: &str| {
    for algorithm in Algorithm::ALL {
        if let Ok(options) = Options::parse(algorithm, text) {
            let json = options.to_json();
            assert_eq!(Options::parse(algorithm, &json).map(|again| again.to_json()).unwrap_or_default(), json);
        }
    }
});
