//! In how many texts terms stand: first about, then exactly.

use super::{Kept, Reader, TermMap, TermSort};
use crate::Result;
use crate::terms::{self, GramBuffer};
use crate::train::{Example, Memory, Watch};

/// Counts that may be too high, never too low (a count-min sketch with one row, Cormode and Muthukrishnan 2005).
#[derive(Default)]
pub(super) struct Sketch {
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
            watch.step("counting terms", at, 2 * examples.len())?;
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
                watch.step("counting terms", examples.len(), 2 * examples.len())?;
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
pub(super) struct Count {
    pub texts: u32,
    /// The number of the last of them, from 1 on.
    last: u32,
    pub sort: TermSort,
}

/// Counts exactly the terms that a sketch lets pass.
#[derive(Default)]
pub(super) struct Counter {
    sketch: Sketch,
    kept: Kept,
    /// The number of the text that is read.
    text: u32,
    /// Where the count of each term is.
    places: TermMap<u32>,
    counts: Vec<Count>,
    /// Where the counts of each word's character n-grams begin and end, among those of all words.
    words: TermMap<(u32, u32)>,
    grams: Vec<u32>,
    buffer: GramBuffer,
}

impl Counter {
    pub fn new(sketch: Sketch, kept: Kept) -> Self {
        Self { sketch, kept, ..Self::default() }
    }

    /// Where the count of each term is, and the counts.
    pub fn finish(self) -> (TermMap<u32>, Vec<Count>) {
        (self.places, self.counts)
    }

    /// Counts the terms of a text.
    pub fn add(&mut self, text: &[u8], reader: &mut Reader) {
        self.text += 1;
        reader.read(text);
        reader.terms(|hash, sort| {
            if self.kept.takes(sort)
                && let Some(place) = self.place(hash, sort)
            {
                self.count(place);
            }
        });
        if !self.kept.chars {
            return;
        }
        for (hash, form) in reader.read_by_grams() {
            let (start, end) = match self.words.get(&hash) {
                Some(&known) => known,
                None => self.take_apart(hash, form),
            };
            for at in start..end {
                self.count(self.grams[at as usize]);
            }
        }
    }

    fn count(&mut self, place: u32) {
        let count = &mut self.counts[place as usize];
        if count.last != self.text {
            count.last = self.text;
            count.texts += 1;
        }
    }

    /// Where a term is counted, unless it stands in too few texts.
    fn place(&mut self, hash: u64, sort: TermSort) -> Option<u32> {
        let next = number(self.counts.len());
        self.sketch.reaches(hash, self.kept.least(sort)).then(|| {
            *self.places.entry(hash).or_insert_with(|| {
                self.counts.push(Count { texts: 0, last: 0, sort });
                next
            })
        })
    }

    fn take_apart(&mut self, hash: u64, form: &str) -> (u32, u32) {
        let start = number(self.grams.len());
        let mut buffer = std::mem::take(&mut self.buffer);
        terms::grams(form, &mut buffer, |gram| {
            let place = self.place(gram, TermSort::Gram);
            self.grams.extend(place);
        });
        self.buffer = buffer;
        let range = (start, number(self.grams.len()));
        self.words.insert(hash, range);
        range
    }

    /// Bytes in use, the sketch's aside.
    pub fn size(&self) -> usize {
        self.places.capacity() * 17
            + self.words.capacity() * 17
            + self.counts.capacity() * size_of::<Count>()
            + self.grams.capacity() * 4
    }
}

/// A place as a number; memory ends before numbers do.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
