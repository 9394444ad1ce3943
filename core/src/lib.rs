//! Sentiment of short texts: text in, label out.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod bundle;
mod compaction;
mod delta;
pub mod drift;
mod error;
mod forest;
mod hash;
pub mod memory;
mod model;
mod network;
mod predictor;
pub mod refresh;
mod shape;
pub mod shipped;
mod terms;
mod text;
pub mod train;

pub use error::{Error, ErrorKind, Result};
pub use predictor::{Predictor, Reading, Reason, Scratch, TokenView};
pub use text::{MAX_TEXT_BYTES, TOKENIZER_VERSION, Text, TokenKind};
