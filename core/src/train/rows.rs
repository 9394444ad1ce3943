//! Training texts as sparse rows.

mod ahead;
mod reading;
mod words;

pub(super) use ahead::Ahead;
pub(super) use reading::{TEXTS, read, shape};
use words::Words;

use super::cache::fetch;
use super::vocabulary::TermSort;
use crate::shape::SHAPES;
use crate::{Error, Result};
use linfa::DatasetBase;
use linfa::dataset::Records;
use ndarray::Array1;

impl From<linfa::Error> for Error {
    fn from(error: linfa::Error) -> Self {
        Self::new(crate::ErrorKind::Parameter, error.to_string(), "Check the training rows and options.")
    }
}

/// Texts as compressed sparse rows of term numbers, a term that occurs twice standing there twice.
///
/// The character n-grams of a word are the same wherever it occurs: a row names the word (by a number behind those of
/// the terms), and the word's n-grams are kept once. That makes rows four times smaller and passes over them faster.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// How many terms there are; numbers from there on are words.
    pub terms: usize,
    ends: Vec<usize>,
    /// A row's terms, then its words.
    ids: Vec<u32>,
    /// What a row's counts are scaled by.
    lengths: Vec<f32>,
    /// Empty, or the shape features of each row.
    pub shapes: Vec<[f64; SHAPES]>,
    words: Words,
    /// Words that no row names, for they stand under negation only or parts of words are no terms.
    others: Words,
    /// For each pair and triple of neighbours, by number, what all but its last token hash to.
    lefts: Vec<u64>,
}

impl Rows {
    /// Rows of plain counts, for comparisons with other libraries.
    #[cfg(test)]
    pub fn of_counts(counts: &[Vec<u32>]) -> Self {
        let mut rows = Self { terms: counts[0].len(), ..Self::default() };
        for row in counts {
            for (id, &count) in (0..).zip(row) {
                rows.ids.extend((0..count).map(|_| id));
            }
            rows.ends.push(rows.ids.len());
            rows.lengths.push(1.0);
        }
        rows
    }

    /// Bytes in use.
    pub fn size(&self) -> usize {
        self.ends.capacity() * 8
            + (self.ids.capacity() + self.lengths.capacity()) * 4
            + self.shapes.capacity() * size_of::<[f64; SHAPES]>()
            + self.words.size()
            + self.others.size()
            + self.lefts.capacity() * 8
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The numbers of a row's terms and, from `terms` on, words.
    pub fn row(&self, at: u32) -> &[u32] {
        &self.ids[self.start(at)..self.ends[at as usize]]
    }

    fn start(&self, at: u32) -> usize {
        if at == 0 { 0 } else { self.ends[at as usize - 1] }
    }

    /// What a row's counts are scaled by.
    pub fn length(&self, at: u32) -> f64 {
        f64::from(self.lengths[at as usize])
    }

    /// The words with their n-grams.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Every word of the texts, also those that stand under negation, some of which come twice: hash and n-grams.
    pub fn spelled(&self) -> impl Iterator<Item = (u64, &[u32])> + Clone {
        self.words.each().chain(self.others.each())
    }

    /// What the pairs and triples of neighbours begin with, as hashes.
    pub fn lefts(&self) -> &[u64] {
        &self.lefts
    }

    /// Calls `visit` with every term of a row, those of its words too.
    pub fn each_term(&self, at: u32, mut visit: impl FnMut(u32)) {
        for &id in self.row(at) {
            match (id as usize).checked_sub(self.terms) {
                None => visit(id),
                Some(word) => self.words.grams(word).iter().for_each(|&gram| visit(gram)),
            }
        }
    }
}

/// How many texts of each class have each term, terms x classes, and how many texts there are of each class.
pub(super) fn texts_by_class(
    dataset: &Labelled<'_>,
    classes: usize,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<(Vec<u32>, Vec<f64>)> {
    let Sample { rows, chosen } = dataset.records();
    let (mut texts, mut sizes) = (vec![0_u32; rows.terms * classes], vec![0.0_f64; classes]);
    // The number of the last text with the term, from 1 on.
    let mut last = vec![0_u32; rows.terms];
    let mut ahead = Ahead::new(rows);
    let at = |place: usize| chosen.get(place).copied();
    ahead.start(at);
    for (number, (place, &class)) in (1_u32..).zip(dataset.targets().iter().enumerate()) {
        if number % 1024 == 0 {
            check()?;
        }
        sizes[class] += 1.0;
        ahead.step(place, at);
        for &id in ahead.next() {
            fetch(last.get(id as usize));
            fetch(texts.get(id as usize * classes));
        }
        for &id in ahead.now() {
            if std::mem::replace(&mut last[id as usize], number) != number {
                texts[id as usize * classes + class] += 1;
            }
        }
    }
    Ok((texts, sizes))
}

/// Words or rows between two looks at whoever watches.
const STRIDE: usize = 1024;

/// Gives the numbers of rows, which end where `ends` says, other numbers, and drops those that get none.
fn renumber(
    ids: &mut Vec<u32>,
    ends: &mut [usize],
    mut number: impl FnMut(u32) -> Option<u32>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let (mut start, mut kept) = (0, 0);
    for (at, end) in ends.iter_mut().enumerate() {
        if at % STRIDE == 0 {
            check()?;
        }
        for old in start..*end {
            if let Some(new) = number(ids[old]) {
                ids[kept] = new;
                kept += 1;
            }
        }
        (start, *end) = (*end, kept);
    }
    ids.truncate(kept);
    ids.shrink_to_fit();
    Ok(())
}

/// Some rows of all, as linfa takes records.
#[derive(Clone, Debug)]
pub(crate) struct Sample<'r> {
    /// All rows.
    pub rows: &'r Rows,
    /// The numbers of those in the sample.
    pub chosen: Vec<u32>,
}

impl Records for Sample<'_> {
    type Elem = f32;

    fn nsamples(&self) -> usize {
        self.chosen.len()
    }

    fn nfeatures(&self) -> usize {
        self.rows.terms
    }
}

/// Rows with the classes that they belong to.
pub(crate) type Labelled<'r> = DatasetBase<Sample<'r>, Array1<usize>>;

/// The rows of a sample with their classes.
pub(crate) fn labelled<'r>(rows: &'r Rows, classes: &[usize], chosen: Vec<u32>) -> Labelled<'r> {
    let targets = chosen.iter().map(|&at| classes[at as usize]).collect();
    DatasetBase::new(Sample { rows, chosen }, targets)
}

/// How strongly a term of each sort speaks: a smaller scale is a stronger regularisation.
pub(crate) fn scale(sort: TermSort) -> f64 {
    match sort {
        TermSort::Unit => 1.0,
        TermSort::Pair => 0.7,
        TermSort::Triple => 0.5,
        TermSort::Gram => 0.3,
    }
}
