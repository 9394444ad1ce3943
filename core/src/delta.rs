//! What a refresh changes, kept beside the model that it changes.
//!
//! A delta names its base by checksum and holds, for the terms that were learned from, their new values: weights for
//! logistic regression, counts for naive Bayes. Later values take the place of earlier ones, so deltas can be merged
//! without the base.

use crate::model::damaged;
use crate::train::{OwnTerm, TermMap, Totals};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 8] = *b"\x89SDELT\r\n";
const FORMAT_VERSION: u32 = 1;
/// Magic, format version, the base's checksum, CRC-32 of what follows.
const HEADER: usize = 20;
/// The most bytes that a delta is decoded to.
const LIMIT: usize = 1 << 28;

/// What was learned since the base was written. Merged, its values are those of now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delta {
    /// Examples learned from.
    pub rows: u64,
    /// One a class; empty for those of the base.
    pub bias: Vec<f64>,
    /// Of a naive Bayes model.
    pub totals: Option<Totals>,
    /// The user's own terms; `None` for those of the base.
    pub own_terms: Option<Vec<OwnTerm>>,
    /// By ascending hash.
    pub terms: Vec<TermValues>,
}

/// A term's new values, one a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TermValues {
    pub hash: u64,
    pub values: Vec<f32>,
}

impl Delta {
    /// The bytes of a delta to this base.
    pub fn write(&self, base: u32) -> Result<Vec<u8>> {
        let body =
            bincode::serde::encode_to_vec(self, bincode::config::standard()).map_err(|_| too_large())?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend(base.to_le_bytes());
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
        Ok(bytes)
    }

    /// Opens the untrusted bytes of a delta to this base.
    pub fn open(bytes: &[u8], base: u32) -> Result<Self> {
        let Some((header, body)) =
            bytes.split_first_chunk::<HEADER>().filter(|(header, _)| header[..8] == MAGIC)
        else {
            return Err(damaged("a delta does not begin as one does"));
        };
        let number =
            |at: usize| header[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        if number(8) != FORMAT_VERSION {
            let message = format!(
                "the model's delta has format version {}, this library reads {FORMAT_VERSION}",
                number(8)
            );
            return Err(Error::new(
                ErrorKind::Unsupported,
                message,
                "Update the extension, or train the model again.",
            ));
        }
        if number(16) != crc32fast::hash(body) {
            return Err(damaged("a delta's checksum does not match"));
        }
        if number(12) != base {
            return Err(damaged("a delta is not of this model"));
        }
        let config = bincode::config::standard().with_limit::<LIMIT>();
        let (delta, read): (Self, usize) =
            bincode::serde::decode_from_slice(body, config).map_err(|_| damaged("a delta is unreadable"))?;
        if read == body.len() { Ok(delta) } else { Err(damaged("a delta is longer than it says")) }
    }

    /// Opens deltas, oldest first, and merges them. `None` if there are none.
    pub fn open_all(deltas: &[&[u8]], base: u32) -> Result<Option<Self>> {
        let mut opened = deltas.iter().map(|bytes| Self::open(bytes, base));
        let Some(first) = opened.next() else { return Ok(None) };
        opened.try_fold(first?, |older, newer| Ok(older.followed_by(newer?))).map(Some)
    }

    /// This one and a newer one as one.
    pub fn followed_by(self, newer: Self) -> Self {
        let mut terms: TermMap<TermValues> = self.terms.into_iter().map(|term| (term.hash, term)).collect();
        terms.extend(newer.terms.into_iter().map(|term| (term.hash, term)));
        let mut terms: Vec<TermValues> = terms.into_values().collect();
        terms.sort_unstable_by_key(|term| term.hash);
        Self {
            rows: newer.rows,
            bias: if newer.bias.is_empty() { self.bias } else { newer.bias },
            totals: newer.totals.or(self.totals),
            own_terms: newer.own_terms.or(self.own_terms),
            terms,
        }
    }

    /// All numbers are finite and as many as there are classes.
    pub fn check(&self, classes: usize) -> Result<()> {
        let fits = |values: &[f64]| values.len() == classes && values.iter().all(|value| value.abs() <= 1e9);
        let totals = self.totals.as_ref().is_none_or(|totals| fits(&totals.texts) && fits(&totals.counts));
        let terms = self
            .terms
            .iter()
            .all(|term| term.values.len() == classes && term.values.iter().all(|value| value.abs() <= 1e9));
        if (self.bias.is_empty() || fits(&self.bias)) && totals && terms {
            return Ok(());
        }
        Err(damaged("a delta does not fit its model"))
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::Limit, "the model's delta is too large", "Train the model again.")
}
