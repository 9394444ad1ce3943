//! Model bytes are untrusted input: whatever was done to them, opening them answers, and never panics.

use proptest::prelude::*;
use sentiment_core::{ErrorKind, Predictor, Scratch, Text, shipped};
use std::sync::LazyLock;

static ENGLISH: LazyLock<Vec<u8>> =
    LazyLock::new(|| shipped::all().last().map(|model| model.2.to_vec()).unwrap_or_default());

/// Bytes whose checksum is not looked at may score wrongly, but score they must.
fn use_unchecked(bytes: &[u8]) {
    if let Ok(predictor) = Predictor::open_unchecked(bytes) {
        let mut scratch = Scratch::default();
        let text = || Text::from("I don't love this phone :( but the camera is great!!");
        let finite = predictor
            .read(text(), &mut scratch)
            .is_none_or(|r| r.probabilities.iter().all(|p| p.is_finite()));
        assert!(finite);
        predictor.explain(text(), &mut scratch);
    }
}

#[test]
fn the_shipped_models_open() {
    for &(name, version, bytes) in shipped::all() {
        let predictor = Predictor::open(bytes).unwrap();
        assert_eq!((predictor.name(), predictor.version(), predictor.size()), (name, version, bytes.len()));
        assert!(predictor.terms() > 1_000 && predictor.rows_train() > 1_000);
    }
}

#[test]
fn what_is_no_model_is_refused() {
    for bytes in [&b""[..], b"x", &[0; 64], &[0xff; 4096], b"\x89SENTI\r\n", b"PK\x03\x04 some other file"] {
        assert_eq!(Predictor::open(bytes).unwrap_err().kind(), ErrorKind::Damaged);
    }
}

#[test]
fn other_versions_are_not_supported() {
    for (at, newer, read) in [(8, 3, "reads up to 2"), (12, 2, "reads up to 1")] {
        let mut bytes = ENGLISH.clone();
        bytes[at] = newer;
        let error = Predictor::open(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(&format!("version {newer}")) && error.message().contains(read));
    }
}

#[test]
fn cut_at_every_length_of_the_head() {
    for length in (0..4096).chain([ENGLISH.len() / 2, ENGLISH.len() - 1]) {
        assert_eq!(Predictor::open(&ENGLISH[..length]).unwrap_err().kind(), ErrorKind::Damaged, "{length}");
        use_unchecked(&ENGLISH[..length]);
    }
    let mut longer = ENGLISH.clone();
    longer.push(0);
    assert_eq!(Predictor::open(&longer).unwrap_err().kind(), ErrorKind::Damaged);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_found(at in any::<prop::sample::Index>(), in_head in any::<bool>(), bit in 0..8u8) {
        let mut bytes = ENGLISH.clone();
        let at = at.index(if in_head { 1024 } else { bytes.len() });
        bytes[at] ^= 1 << bit;
        prop_assert!(Predictor::open(&bytes).is_err());
        use_unchecked(&bytes);
    }

    #[test]
    fn any_head_is_survived(head in prop::collection::vec(any::<u8>(), 56), rest in 0..4096usize) {
        let mut bytes = ENGLISH[..8].to_vec();
        bytes.extend(head);
        bytes.extend(&ENGLISH[64..64 + rest]);
        // The versions and the length right, so that the rest of the head is reached.
        bytes[8..16].copy_from_slice(&ENGLISH[8..16]);
        let length = bytes.len() as u64;
        bytes[16..24].copy_from_slice(&length.to_le_bytes());
        prop_assert!(Predictor::open(&bytes).is_err());
        use_unchecked(&bytes);
    }
}
