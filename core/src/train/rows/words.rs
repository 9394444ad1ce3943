//! Words with their character n-grams.

use crate::Result;

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
        let start = if word == 0 { 0 } else { self.ends[word - 1] };
        &self.grams[start..self.ends[word]]
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
