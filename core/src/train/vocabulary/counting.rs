//! In how many texts terms stand: first about, then exactly.

use super::{Kept, NO_TERM, Reader, TermMap, TermSort, number};
use crate::Result;
use crate::terms::{self, GramBuffer};
use crate::train::cache::fetch;
use crate::train::memory::Growth;
use crate::train::rows::TEXTS;
use crate::train::{Example, Memory, Watch};
use std::collections::hash_map::Entry;

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
            if at % TEXTS == 0 {
                watch.step("counting terms", at, examples.len())?;
            }
            reader.read(example.text);
            reader.terms(|hash, sort| {
                if kept.takes(sort) {
                    self.add(hash, 1);
                }
            });
            if !kept.chars {
                continue;
            }
            for token in reader.read_by_grams() {
                growth.map(&mut places)?;
                let place = match places.entry(token.hash) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let form = reader.form(token);
                        growth.string(&mut forms, form.len())?;
                        growth.vec(&mut words, 1)?;
                        forms.push_str(form);
                        words.push((forms.len(), 0));
                        *new.insert(number(words.len() - 1))
                    }
                };
                let times = &mut words[place as usize].1;
                *times = times.saturating_add(1);
            }
        }
        drop(places);
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

/// A term, and in how many texts it stands.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    pub hash: u64,
    pub texts: u32,
    /// The number of the last of them, from 1 on.
    last: u32,
}

/// What a counter has counted, term by term.
#[derive(Default)]
pub(crate) struct Counts {
    pub list: Vec<Count>,
    sorts: Vec<TermSort>,
}

impl Counts {
    /// The hashes and places of the terms of a sort that are kept.
    pub fn of_sort(&self, sort: TermSort, kept: Kept) -> impl Iterator<Item = (u64, u32)> + Clone {
        let least = kept.least(sort);
        let all = (0..).zip(self.list.iter().zip(&self.sorts));
        all.filter(move |(_, (count, of))| **of == sort && count.texts >= least)
            .map(|(place, (count, _))| (count.hash, place))
    }

    fn size(&self) -> usize {
        self.list.capacity() * size_of::<Count>() + self.sorts.capacity()
    }
}

/// Counts exactly the terms that a sketch lets pass, each at a place of its own.
///
/// Where a hash has its place is looked up in a table of places alone, the hash itself standing with the count, which is
/// read next: that takes half the memory of a map from hashes to places, and is seldom waited for twice.
#[derive(Default)]
pub(crate) struct Counter {
    sketch: Sketch,
    kept: Kept,
    /// The number of the text that is read.
    text: u32,
    /// The place of each term at or behind the slot that its hash asks for; a power of two of them, half of them free.
    slots: Vec<u32>,
    counts: Counts,
}

impl Counter {
    pub fn new(sketch: Sketch, kept: Kept) -> Self {
        Self { sketch, kept, slots: vec![NO_TERM; 1 << 10], ..Self::default() }
    }

    /// What was counted.
    pub fn finish(self) -> Counts {
        self.counts
    }

    /// Another text begins.
    pub fn begin(&mut self) {
        self.text += 1;
    }

    /// Counts a term of the text, once, at its place.
    pub fn count(&mut self, place: u32) {
        let count = &mut self.counts.list[place as usize];
        if count.last != self.text {
            count.last = self.text;
            count.texts += 1;
        }
    }

    /// Whether a term may be one of those kept.
    pub fn may_keep(&self, hash: u64, sort: TermSort) -> bool {
        self.kept.takes(sort) && self.sketch.reaches(hash, self.kept.least(sort))
    }

    #[allow(clippy::cast_possible_truncation, reason = "as many upper bits are left as number the slots")]
    fn slot(&self, hash: u64) -> usize {
        (hash >> (64 - self.slots.len().ilog2())) as usize
    }

    /// Has the slot that a hash asks for brought into the cache, for [`Counter::fetch_count`].
    #[inline]
    pub fn fetch(&self, hash: u64) {
        fetch(self.slots.get(self.slot(hash)));
    }

    /// Has the count that this slot leads to brought into the cache, for [`Counter::place`].
    #[inline]
    pub fn fetch_count(&self, hash: u64) {
        let place = self.slots[self.slot(hash)];
        fetch(self.counts.list.get(place as usize));
    }

    /// How many terms have a place.
    pub fn places(&self) -> usize {
        self.counts.list.len()
    }

    /// Makes room for so many more terms.
    #[inline]
    pub fn reserve(&mut self, more: usize, growth: &mut Growth) -> Result<()> {
        growth.vec(&mut self.counts.list, more)?;
        growth.vec(&mut self.counts.sorts, more)?;
        while 2 * (self.counts.list.len() + more) > self.slots.len() {
            self.grow(growth)?;
        }
        Ok(())
    }

    /// Where a term is counted that may be kept. There is room for it.
    pub fn place(&mut self, hash: u64, sort: TermSort) -> u32 {
        let mut slot = self.slot(hash);
        loop {
            let place = self.slots[slot];
            if place == NO_TERM {
                return self.add(hash, sort, slot);
            }
            if self.counts.list[place as usize].hash == hash {
                return place;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn add(&mut self, hash: u64, sort: TermSort, slot: usize) -> u32 {
        let place = number(self.counts.list.len());
        self.slots[slot] = place;
        self.counts.list.push(Count { hash, texts: 0, last: 0 });
        self.counts.sorts.push(sort);
        place
    }

    /// Makes twice as many slots. The old ones are gone before: the counts know all hashes.
    #[cold]
    fn grow(&mut self, growth: &mut Growth) -> Result<()> {
        let slots = 2 * self.slots.len();
        growth.free(&mut self.slots);
        growth.vec(&mut self.slots, slots)?;
        self.slots.resize(slots, NO_TERM);
        for place in 0..self.counts.list.len() {
            let mut slot = self.slot(self.counts.list[place].hash);
            while self.slots[slot] != NO_TERM {
                slot = (slot + 1) & (slots - 1);
            }
            self.slots[slot] = number(place);
        }
        Ok(())
    }

    /// Bytes that it takes to number the terms when all are counted: a number a place, the hash of each term that is kept,
    /// and those of one sort to be sorted.
    pub fn numbering(&self) -> usize {
        let kept = TermSort::ALL.map(|sort| self.counts.of_sort(sort, self.kept).count());
        let most = kept.into_iter().max().unwrap_or(0);
        self.counts.list.len() * size_of::<u32>()
            + kept.iter().sum::<usize>() * size_of::<u64>()
            + most * size_of::<(u64, u32)>()
    }

    /// Bytes in use, the sketch's aside.
    pub fn size(&self) -> usize {
        self.slots.capacity() * size_of::<u32>() + self.counts.size()
    }
}
