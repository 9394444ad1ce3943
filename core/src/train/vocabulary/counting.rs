//! In how many texts terms stand: first about, then exactly.

use super::{Kept, Reader, TermMap, TermSort, number};
use crate::Result;
use crate::terms::{self, GramBuffer};
use crate::train::{Example, Memory, Watch};

/// Counts that may be too high, never too low (a count-min sketch with one row, Cormode and Muthukrishnan 2005).
#[derive(Default)]
pub(crate) struct Sketch {
    pub counts: Vec<u8>,
}

impl Sketch {
    /// How many counts, of a byte each, there should be for so many texts: a power of two.
    pub fn places(texts: usize) -> usize {
        texts.saturating_mul(64).next_power_of_two().clamp(1 << 12, 1 << 26)
    }

    pub fn with_places(places: usize) -> Self {
        Self { counts: vec![0; places] }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.counts.len() - 1)
    }

    pub fn add(&mut self, hash: u64, times: u8) {
        let place = self.place(hash);
        self.counts[place] = self.counts[place].saturating_add(times);
    }

    /// Counts all terms of some texts, those that stand in a text twice twice.
    pub fn fill(
        &mut self,
        examples: &[Example<'_>],
        kept: Kept,
        held: usize,
        memory: Memory,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let mut reader = Reader::default();
        // Where each word's form ends among all forms, and how often it occurs.
        let (mut words, mut places) = (Vec::<(usize, u8)>::new(), TermMap::<u32>::default());
        let (mut forms, mut growth) = (String::new(), memory.growth("the words", held));
        for (at, example) in examples.iter().enumerate() {
            watch.step("counting terms", at, examples.len())?;
            reader.read(example.text);
            reader.terms(|hash, sort| {
                if kept.takes(sort) {
                    self.add(hash, 1);
                }
            });
            if !kept.chars {
                continue;
            }
            for (hash, form) in reader.read_by_grams() {
                let place = *places.entry(hash).or_insert_with(|| {
                    forms.push_str(form);
                    words.push((forms.len(), 0));
                    number(words.len() - 1)
                });
                let times = &mut words[place as usize].1;
                *times = times.saturating_add(1);
            }
            let size = forms.capacity() + words.capacity() * 16 + places.capacity() * 17;
            growth.to(size)?;
        }
        let (mut start, mut grams) = (0, GramBuffer::default());
        for (at, (end, times)) in words.into_iter().enumerate() {
            if at % WORDS == 0 {
                watch.step("counting terms", examples.len(), examples.len())?;
            }
            terms::grams(&forms[start..end], &mut grams, |gram| self.add(gram, times));
            start = end;
        }
        Ok(())
    }

    fn reaches(&self, hash: u64, least: u32) -> bool {
        u32::from(self.counts[self.place(hash)]) >= least.min(255)
    }
}

/// Words between two looks at whoever watches.
const WORDS: usize = 256;

/// In how many texts a term stands.
pub(crate) struct Count {
    pub texts: u32,
    /// The number of the last of them, from 1 on.
    last: u32,
    pub sort: TermSort,
}

/// Counts exactly the terms that a sketch lets pass, each at a place of its own.
#[derive(Default)]
pub(crate) struct Counter {
    sketch: Sketch,
    kept: Kept,
    /// The number of the text that is read.
    text: u32,
    /// Where the count of each term is.
    places: TermMap<u32>,
    counts: Vec<Count>,
}

impl Counter {
    pub fn new(sketch: Sketch, kept: Kept) -> Self {
        Self { sketch, kept, ..Self::default() }
    }

    /// Where the count of each term is, and the counts.
    pub fn finish(self) -> (TermMap<u32>, Vec<Count>) {
        (self.places, self.counts)
    }

    /// Another text begins.
    pub fn begin(&mut self) {
        self.text += 1;
    }

    /// Counts a term of the text, once, at its place.
    pub fn count(&mut self, place: u32) {
        let count = &mut self.counts[place as usize];
        if count.last != self.text {
            count.last = self.text;
            count.texts += 1;
        }
    }

    /// Where a term is counted; `None` if it is none of those kept.
    pub fn place(&mut self, hash: u64, sort: TermSort) -> Option<u32> {
        let next = number(self.counts.len());
        let may = self.kept.takes(sort) && self.sketch.reaches(hash, self.kept.least(sort));
        may.then(|| {
            *self.places.entry(hash).or_insert_with(|| {
                self.counts.push(Count { texts: 0, last: 0, sort });
                next
            })
        })
    }

    /// Bytes that it takes to number the terms: a number a place, and the terms sorted, twice for a moment.
    pub fn numbering(&self) -> usize {
        self.counts.len() * (size_of::<u32>() + 2 * size_of::<(u64, u32)>())
    }

    /// Bytes in use, the sketch's aside.
    pub fn size(&self) -> usize {
        self.places.capacity() * 17 + self.counts.capacity() * size_of::<Count>()
    }
}
