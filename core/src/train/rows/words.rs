//! Words with their character n-grams.

use crate::Result;
use crate::train::cache::fetch_lines;
use crate::train::memory::Growth;

/// N-grams that are copied at a time: hardly a word has more, so that no step depends on how many there are.
const CHUNK: usize = 32;

/// The character n-grams of words.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The hash of each word.
    hashes: Vec<u64>,
    ends: Vec<usize>,
    grams: Vec<u32>,
}

impl Words {
    /// How many words there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes in use.
    pub fn size(&self) -> usize {
        (self.hashes.capacity() + self.ends.capacity()) * 8 + self.grams.capacity() * 4
    }

    /// Each word's hash and the numbers of its n-grams.
    pub fn each(&self) -> impl Iterator<Item = (u64, &[u32])> + Clone {
        self.hashes.iter().enumerate().map(|(word, &hash)| (hash, self.grams(word)))
    }

    /// The term numbers of a word's n-grams.
    pub fn grams(&self, word: usize) -> &[u32] {
        &self.grams[self.start(word)..self.ends[word]]
    }

    fn start(&self, word: usize) -> usize {
        if word == 0 { 0 } else { self.ends[word - 1] }
    }

    /// Has what is copied first of a word's n-grams brought into the cache: of most words that is all.
    pub fn fetch(&self, word: usize) {
        let start = self.start(word);
        fetch_lines(self.grams.get(start..start + CHUNK).unwrap_or_default());
    }

    /// Writes the n-grams of a word into a list from `at` on, which becomes longer where it is too short. Returns where
    /// they end; what stands behind is of no meaning.
    pub fn copy(&self, word: usize, to: &mut Vec<u32>, at: usize) -> usize {
        let (start, end) = (self.start(word), self.ends[word]);
        let length = end - start;
        if to.len() < at + length + CHUNK {
            to.resize(2 * (at + length + CHUNK), 0);
        }
        for done in (0..length).step_by(CHUNK) {
            let from = self.grams[start + done..].first_chunk::<CHUNK>();
            match from.zip(to[at + done..].first_chunk_mut()) {
                Some((from, to)) => *to = *from,
                None => to[at + done..at + length].copy_from_slice(&self.grams[start + done..end]),
            }
        }
        at + length
    }

    /// Makes room for so many words, their n-grams aside.
    pub fn expect(&mut self, words: usize, growth: &mut Growth) -> Result<()> {
        growth.vec(&mut self.hashes, words)?;
        growth.vec(&mut self.ends, words)
    }

    /// Makes room for a word that has so many n-grams.
    pub fn reserve(&mut self, grams: usize, growth: &mut Growth) -> Result<()> {
        growth.vec(&mut self.grams, grams)?;
        growth.vec(&mut self.hashes, 1)?;
        growth.vec(&mut self.ends, 1)
    }

    /// Adds a word; its number.
    pub fn add(&mut self, hash: u64, grams: impl IntoIterator<Item = u32>) -> usize {
        self.grams.extend(grams);
        self.hashes.push(hash);
        self.ends.push(self.grams.len());
        self.len() - 1
    }

    /// Gives the n-grams other numbers, and drops those that get none.
    pub fn renumber(
        &mut self,
        number: impl FnMut(u32) -> Option<u32>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        super::renumber(&mut self.grams, &mut self.ends, number, check)
    }
}
