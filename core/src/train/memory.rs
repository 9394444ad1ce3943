//! How much memory a training may use.

use crate::{Error, ErrorKind, Result};

/// A limit in bytes. What is about to be held is named before it is held, so that training ends before a server swaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory(pub u64);

impl Memory {
    /// Whether so many bytes may be held; `what` says for what.
    pub fn holds(self, what: &str, bytes: usize) -> Result<()> {
        let bytes = bytes as u64;
        if bytes <= self.0 {
            return Ok(());
        }
        let (needed, limit) = (bytes.div_ceil(1024), self.0 / 1024);
        let message = format!("training needs at least {needed} kB with {what}, and may use {limit} kB");
        let hint = "Raise sentiment.train_memory, train on fewer rows, or keep fewer terms (min_texts, words, chars).";
        Err(Error::new(ErrorKind::Memory, message, hint))
    }
}
