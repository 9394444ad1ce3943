//! The terms that a training keeps.

pub(super) mod counting;

use crate::terms;
use crate::text::{Text, TokenMarks, Tokenized};
use crate::{Result, hash};
use counting::Count;
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
    ids: TermMap<u32>,
    /// The hash of each term.
    pub hashes: Vec<u64>,
    /// The first number behind each sort.
    ends: [u32; 4],
    kept: Kept,
}

impl Vocabulary {
    /// The number of a term.
    pub fn id(&self, hash: u64) -> Option<u32> {
        self.ids.get(&hash).copied()
    }

    /// How many terms there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Bytes in use.
    pub fn size(&self) -> usize {
        self.hashes.capacity() * 8 + self.ids.capacity() * 17
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
        mut places: TermMap<u32>,
        counts: &[Count],
        kept: Kept,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Self, Vec<u32>)> {
        let (mut hashes, mut ends) = (Vec::new(), [0; 4]);
        let mut numbers = vec![NO_TERM; counts.len()];
        for (end, sort) in ends.iter_mut().zip(TermSort::ALL) {
            let enough = |&(_, &place): &(&u64, &u32)| {
                let count = &counts[place as usize];
                count.sort == sort && count.texts >= kept.least(sort)
            };
            let terms = places.iter().filter(enough).map(|(&hash, &place)| (hash, place));
            for (hash, place) in sorted(terms, check)? {
                numbers[place as usize] = number(hashes.len());
                hashes.push(hash);
            }
            *end = number(hashes.len());
        }
        // What has held the places is made to hold the numbers.
        let dropped = places.extract_if(|_, place| {
            *place = numbers[*place as usize];
            *place == NO_TERM
        });
        for (at, _) in (0_u32..).zip(dropped) {
            if at % STRIDE == 0 {
                check()?;
            }
        }
        Ok((Self { ids: places, hashes, ends, kept }, numbers))
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
fn sorted(
    terms: impl Iterator<Item = (u64, u32)>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<(u64, u32)>> {
    let mut parts = vec![Vec::new(); 64];
    for (number, term) in (0_u32..).zip(terms) {
        if number % STRIDE == 0 {
            check()?;
        }
        parts[usize::try_from(term.0 >> 58).unwrap_or(0)].push(term);
    }
    for part in &mut parts {
        check()?;
        part.sort_unstable();
    }
    Ok(parts.concat())
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

    /// The tokens of the last text that are read by their character n-grams too: hash and form.
    pub fn read_by_grams(&self) -> impl Iterator<Item = (u64, &str)> {
        let tokens = self.text.tokens().iter().filter(|token| terms::has_grams(token));
        tokens.map(|token| (token.hash, self.text.form(token)))
    }

    /// The spelled tokens of the last text: hash, form, and whether they are read by their character n-grams too.
    pub fn words(&self) -> impl Iterator<Item = (u64, &str, bool)> {
        let words = self.text.tokens().iter().filter(|token| terms::is_spelled(token));
        words.map(|token| (token.hash, self.text.form(token), terms::has_grams(token)))
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
pub(crate) fn is_negated(token: &crate::text::Token) -> bool {
    token.marks.has(TokenMarks::NEGATED)
}
