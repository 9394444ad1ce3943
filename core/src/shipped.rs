//! The models compiled into the library. They lie in its read-only data, so that every process of a machine shares
//! one copy of them and opening one costs next to nothing.

use crate::train::Lexicon;
use std::sync::LazyLock;

/// Aligned to a cache line, so that each bucket of a table is exactly one.
#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

static ENGLISH_1: &Aligned<[u8]> = &Aligned(*include_bytes!("../../models/english-1.bin"));
static ENGLISH_2: &Aligned<[u8]> = &Aligned(*include_bytes!("../../models/english-2.bin"));

static MULTILINGUAL_1: &Aligned<[u8]> = &Aligned(*include_bytes!("../../models/multilingual-1.bin"));

/// Every shipped version as `(name, number, bytes)`; of one name, the newest last.
pub fn all() -> &'static [(&'static str, u32, &'static [u8])] {
    static ALL: &[(&str, u32, &[u8])] =
        &[("english", 1, &ENGLISH_1.0), ("english", 2, &ENGLISH_2.0), ("multilingual", 1, &MULTILINGUAL_1.0)];
    ALL
}

/// The English lexicon that the shipped model was trained with.
pub fn lexicon() -> &'static Lexicon {
    static LEXICON: LazyLock<Lexicon> =
        LazyLock::new(|| Lexicon::parse(include_str!("../../models/english-lexicon.tsv")));
    &LEXICON
}
