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

    /// Watches over collections that grow beside `held` bytes of other things. What they hold already is among these.
    pub fn growth(self, what: &'static str, held: usize) -> Growth {
        Growth { memory: self, what, held }
    }
}

/// Bytes of a map: one of eight slots stays free, and each has a byte beside what it holds.
pub(crate) fn map_size<T>(map: &TermMap<T>) -> usize {
    map.capacity().div_ceil(7) * slot_size::<T>()
}

/// Bytes of eight slots.
const fn slot_size<T>() -> usize {
    8 * (size_of::<(u64, T)>() + 1)
}

/// Collections that grow, twofold at a time, each of them after it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    memory: Memory,
    what: &'static str,
    held: usize,
}

impl Growth {
    /// Makes room for so many more in a vector.
    #[inline]
    pub fn vec<T>(&mut self, vec: &mut Vec<T>, more: usize) -> Result<()> {
        if vec.capacity() - vec.len() >= more {
            return Ok(());
        }
        let capacity = self.next(vec.len() + more, vec.capacity(), size_of::<T>())?;
        memory::resize(vec, capacity)
    }

    /// Makes room for so many more bytes in a string.
    #[inline]
    pub fn string(&mut self, string: &mut String, more: usize) -> Result<()> {
        if string.capacity() - string.len() >= more {
            return Ok(());
        }
        let capacity = self.next(string.len() + more, string.capacity(), 1)?;
        memory::resize_string(string, capacity)
    }

    /// What the capacity of a vector becomes which has to hold `least`. The old one is not counted beside it: what was in there
    /// is all of the new one that is written to while both are held, and together they are no more than the new one alone.
    #[cold]
    fn next(&mut self, least: usize, capacity: usize, size: usize) -> Result<usize> {
        let next = least.max(2 * capacity);
        let held = self.held - capacity * size + next * size;
        self.memory.holds(self.what, held)?;
        self.held = held;
        Ok(next)
    }

    /// Makes room for one more in a map.
    #[inline]
    pub fn map<T>(&mut self, map: &mut TermMap<T>) -> Result<()> {
        if map.len() < map.capacity() { Ok(()) } else { self.widen(map) }
    }

    /// Makes a map twice as large. What it holds lies scattered all over its slots, so that all of the new ones are written to
    /// while the old ones are held.
    #[cold]
    fn widen<T>(&mut self, map: &mut TermMap<T>) -> Result<()> {
        let old = map_size(map);
        self.memory.holds(self.what, self.held + (2 * old).max(slot_size::<T>()))?;
        memory::widen(map)?;
        self.held = self.held - old + map_size(map);
        Ok(())
    }

    /// What was held of `before` bytes is `after` now.
    pub fn becomes(&mut self, before: usize, after: usize) {
        self.held = self.held - before + after;
    }

    /// Gives back what a vector holds.
    pub fn free<T>(&mut self, vec: &mut Vec<T>) {
        self.held -= vec.capacity() * size_of::<T>();
        *vec = Vec::new();
    }
}
