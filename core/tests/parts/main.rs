//! Imported models are untrusted input: whatever was done to them, and however cleverly, nothing panics.
#![allow(clippy::unwrap_used)]

mod tampering;

use proptest::prelude::*;
use sentiment_core::bundle;
use tampering::survive;

#[test]
fn what_nobody_has_changed_is_whole() {
    for model in 0..7 {
        survive(model, &[], 9);
        survive(model, &[], 6_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn changed_on_purpose(model in 0..7usize, changes in prop::collection::vec(any::<(u16, u8)>(), 1..12)) {
        survive(model, &changes, 20);
    }

    #[test]
    fn any_bundle(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _whole = bundle::read(&bytes);
        let mut marked = b"\x89SBNDL\r\n".to_vec();
        marked.extend(&bytes);
        let _parts = bundle::read(&marked);
    }
}
