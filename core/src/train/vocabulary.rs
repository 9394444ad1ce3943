//! The terms that a training keeps.

pub(super) mod counting;
mod index;

use crate::terms;
use crate::text::{Text, Token, TokenMarks, Tokenized};
use crate::{Result, hash};
use counting::Counts;
pub(crate) use index::Index;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

/// What sort of term a hash stands for: each sort has its own threshold and its own scale in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TermSort {
    Unit,
    Pair,
    Triple,
    Gram,
}

impl TermSort {
    /// All sorts, in the order in which a vocabulary numbers its terms.
    pub const ALL: [Self; 4] = [Self::Unit, Self::Pair, Self::Triple, Self::Gram];
}

/// Which terms are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The most neighbouring tokens of one term, 1 to 3.
    pub words: u32,
    /// Whether character n-grams are terms.
    pub chars: bool,
    /// The fewest texts that a term must stand in.
    pub min_texts: u32,
}

impl Kept {
    fn least(self, sort: TermSort) -> u32 {
        match sort {
            // Most character n-grams are chance: more is asked of them.
            TermSort::Gram => 2 * self.min_texts + 1,
            _ => self.min_texts,
        }
    }

    fn takes(self, sort: TermSort) -> bool {
        match sort {
            TermSort::Unit => true,
            TermSort::Pair => self.words >= 2,
            TermSort::Triple => self.words >= 3,
            TermSort::Gram => self.chars,
        }
    }
}

/// Term hashes are mixed already: they are their own hash.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash::token(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// What is known of terms, by hash. Nothing may depend on the order in which it is walked.
pub(crate) type TermMap<T> = HashMap<u64, T, BuildHasherDefault<Mixed>>;

/// The terms that are kept, numbered by sort and then by hash: the same texts give the same numbers in any order.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// The hash of each term.
    pub hashes: Vec<u64>,
    /// The first number behind each sort.
    ends: [u32; 4],
    /// Where the hashes of each sort stand among those of the sort.
    indexes: [Index; 4],
    kept: Kept,
}

impl Vocabulary {
    /// The number of a term of a sort.
    pub fn id(&self, hash: u64, sort: TermSort) -> Option<u32> {
        let range = self.of_sort(sort);
        let found = self.indexes[sort as usize].find(&self.hashes[range.clone()], hash);
        found.map(|at| number(range.start + at))
    }

    /// How many terms there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Bytes in use.
    pub fn size(&self) -> usize {
        self.hashes.capacity() * 8 + self.indexes.iter().map(Index::size).sum::<usize>()
    }

    /// Which terms were to be kept.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// The numbers of the terms of a sort.
    pub fn of_sort(&self, sort: TermSort) -> Range<usize> {
        let at = sort as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        start as usize..self.ends[at] as usize
    }

    /// Numbers the terms that stand in enough texts; also tells the number of each place, [`NO_TERM`] where there is none.
    pub fn of(
        counts: &Counts,
        kept: Kept,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Self, Vec<u32>)> {
        let all = TermSort::ALL.map(|sort| counts.of_sort(sort, kept).count());
        let (mut hashes, mut ends) = (Vec::with_capacity(all.iter().sum()), [0; 4]);
        let mut numbers = vec![NO_TERM; counts.list.len()];
        for (end, sort) in ends.iter_mut().zip(TermSort::ALL) {
            for (hash, place) in sorted(counts.of_sort(sort, kept), check)? {
                numbers[place as usize] = number(hashes.len());
                hashes.push(hash);
            }
            *end = number(hashes.len());
        }
        let mut start = 0;
        let indexes =
            ends.map(|end| Index::of(&hashes[std::mem::replace(&mut start, end as usize)..end as usize]));
        Ok((Self { hashes, ends, indexes, kept }, numbers))
    }
}

/// The number of no term.
pub(crate) const NO_TERM: u32 = u32::MAX;

/// A place as a number; memory ends before numbers do.
pub(super) fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Terms between two looks at whoever watches.
const STRIDE: u32 = 4096;

/// Hashes and their places in ascending order, sorted part by part: a sort of all at once would not be stopped in time.
pub(crate) fn sorted<T: Copy + Default + Ord>(
    terms: impl Iterator<Item = (u64, T)> + Clone,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<(u64, T)>> {
    let part = |hash: u64| usize::try_from(hash >> (64 - 8)).unwrap_or(0);
    // Where the next one of each part goes: at first where the part begins, and in the end where the next begins.
    let mut next = [0; 256 + 1];
    terms.clone().for_each(|(hash, _)| next[part(hash) + 1] += 1);
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut sorted = vec![(0, T::default()); next[256]];
    for (count, term) in (0_u32..).zip(terms) {
        if count % STRIDE == 0 {
            check()?;
        }
        let to = &mut next[part(term.0)];
        sorted[*to] = term;
        *to += 1;
    }
    let mut start = 0;
    for end in &next[..256] {
        check()?;
        sorted[start..*end].sort_unstable();
        start = *end;
    }
    Ok(sorted)
}

/// Reads training texts term by term, as the predictor will.
#[derive(Default)]
pub(crate) struct Reader {
    text: Tokenized,
}

impl Reader {
    /// Reads a text, for the questions below.
    pub fn read(&mut self, text: &[u8]) {
        self.text.read(&Text::new(text));
    }

    /// Calls `visit` with each term of the last text that is made of tokens.
    pub fn terms(&self, mut visit: impl FnMut(u64, TermSort)) {
        self.joints(|hash, sort, _| visit(hash, sort));
    }

    /// Calls `visit` with each such term and what all but its last token hash to; 0 where it is one token.
    pub fn joints(&self, mut visit: impl FnMut(u64, TermSort, u64)) {
        let (mut one, mut two) = (None::<u64>, None::<u64>);
        for token in self.text.tokens() {
            if terms::has_unit(token) {
                visit(terms::unit(token), TermSort::Unit, 0);
            }
            if let Some(left) = two {
                visit(hash::joint(left, token.hash), TermSort::Triple, left);
            }
            two = one.map(|left| hash::joint(left, token.hash));
            if let (Some(pair), Some(left)) = (two, one) {
                visit(pair, TermSort::Pair, left);
            }
            one = Some(token.hash);
        }
    }

    /// The tokens of the last text that are read by their character n-grams too.
    pub fn read_by_grams(&self) -> impl Iterator<Item = &Token> {
        self.text.tokens().iter().filter(|token| terms::has_grams(token))
    }

    /// The spelled tokens of the last text.
    pub fn words(&self) -> impl Iterator<Item = &Token> {
        self.text.tokens().iter().filter(|token| terms::is_spelled(token))
    }

    /// What a token of the last text reads as. It takes some time: most have been seen before, and are known by their hash.
    pub fn form(&self, token: &Token) -> &str {
        self.text.form(token)
    }

    /// The hashes of the last text's tokens, negation left aside.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        self.text.tokens().iter().map(|token| token.hash)
    }

    /// The tokens of the last text: hash, form, whether negated, kind aside.
    pub fn tokenized(&self) -> &Tokenized {
        &self.text
    }
}

/// Whether a token stands under negation.
pub(crate) fn is_negated(token: &Token) -> bool {
    token.marks.has(TokenMarks::NEGATED)
}
