//! How much memory a training may use.

use super::TermMap;
use crate::{Error, ErrorKind, Result, memory};

/// A limit in bytes. What is about to be held is named before it is held, so that training ends before a server swaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory(pub u64);

/// A byte is lost for so many that are in use: an allocator has some of its own, and there are holes that nothing fits into.
const LOST: u64 = 16;

impl Memory {
    /// Whether so many bytes may be held; `what` says for what.
    pub fn holds(self, what: &str, bytes: usize) -> Result<()> {
        let bytes = bytes as u64 + bytes as u64 / LOST;
        if bytes <= self.0 {
            return Ok(());
        }
        let (needed, limit) = (bytes.div_ceil(1024), self.0 / 1024);
        let message = format!("training needs at least {needed} kB with {what}, and may use {limit} kB");
        let hint = "Raise sentiment.train_memory, train on fewer rows, or keep fewer terms (min_texts, words, chars).";
        Err(Error::new(ErrorKind::Memory, message, hint))
    }

    /// Whether `more` bytes may be held beside `held` ones, and are there.
    pub fn takes(self, what: &str, held: usize, more: usize) -> Result<()> {
        self.holds(what, held + more)?;
        memory::probe(more)
    }

    /// Watches over something that grows beside `held` bytes of other things.
    pub fn growth(self, what: &'static str, held: usize) -> Growth {
        Growth { memory: self, what, held, size: 0 }
    }
}

/// Bytes of a map: one of eight slots stays free, and each has a byte beside what it holds.
pub(crate) fn map_size<T>(map: &TermMap<T>) -> usize {
    map.capacity().div_ceil(7) * 8 * (size_of::<(u64, T)>() + 1)
}

/// Something that grows, twofold at a time as collections do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    memory: Memory,
    what: &'static str,
    held: usize,
    size: usize,
}

impl Growth {
    /// Whether it may have come to so many bytes, and could grow on.
    pub fn to(&mut self, size: usize) -> Result<()> {
        if size == self.size {
            return Ok(());
        }
        self.memory.holds(self.what, self.held + size)?;
        self.size = size;
        // A collection that grows has its old bytes beside twice as many new ones.
        memory::probe(2 * size)
    }
}
