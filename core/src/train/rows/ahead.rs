//! Rows read one after the other, in an order that is known: what comes next is on its way from memory while a row is
//! worked on.
//!
//! A row's numbers, the n-grams of its words and what is kept of each term lie far apart. Where the rows are many, waiting
//! for them takes longer than all else that a fit does.

use super::Rows;
use crate::train::cache::{fetch, fetch_lines};

/// So many rows before a row is worked on its place is asked for, and then its numbers; two rows before, the n-grams of its
/// words, and one before, its terms: each says where the next is.
const PLACE: usize = 7;
const NUMBERS: usize = 4;

/// The rows of an order, one after the other.
#[derive(Debug)]
pub(crate) struct Ahead<'r> {
    rows: &'r Rows,
    /// The terms of the row that is worked on, and of the next.
    now: Terms,
    next: Terms,
    /// The numbers of the row after that.
    coming: Numbers<'r>,
}

/// The numbers of a row's terms, and those of its words.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers<'r> {
    terms: &'r [u32],
    words: &'r [u32],
}

/// The first so many of some numbers are the terms of a row.
#[derive(Debug, Default)]
struct Terms {
    ids: Vec<u32>,
    count: usize,
}

impl Terms {
    /// Takes every term of a row, those of its words too.
    fn fill(&mut self, rows: &Rows, Numbers { terms, words }: Numbers<'_>) {
        self.count = terms.len();
        if self.ids.len() < self.count {
            self.ids.resize(self.count, 0);
        }
        self.ids[..self.count].copy_from_slice(terms);
        for &id in words {
            self.count = rows.words.copy(id as usize - rows.terms, &mut self.ids, self.count);
        }
    }
}

impl<'r> Ahead<'r> {
    pub fn new(rows: &'r Rows) -> Self {
        Self { rows, now: Terms::default(), next: Terms::default(), coming: Numbers::default() }
    }

    /// Begins with the first row of an order, of which `at` gives the row of each place; [`Self::step`] comes to it.
    pub fn start(&mut self, at: impl Fn(usize) -> Option<u32>) {
        let numbers = |place: usize| at(place).map_or_else(Numbers::default, |at| self.rows.numbers(at));
        self.next.fill(self.rows, numbers(0));
        self.coming = numbers(1);
    }

    /// Comes to the row at the next place, which is this one.
    pub fn step(&mut self, place: usize, at: impl Fn(usize) -> Option<u32>) {
        if let Some(at) = at(place + PLACE) {
            self.rows.fetch_place(at);
        }
        if let Some(at) = at(place + NUMBERS) {
            self.rows.fetch_numbers(at);
        }
        let coming = at(place + 2).map_or_else(Numbers::default, |at| self.rows.numbers(at));
        self.rows.fetch_grams(coming.words);
        std::mem::swap(&mut self.now, &mut self.next);
        self.next.fill(self.rows, std::mem::replace(&mut self.coming, coming));
    }

    /// The terms of the row.
    pub fn now(&self) -> &[u32] {
        &self.now.ids[..self.now.count]
    }

    /// The terms of the row after it, so that what is kept of them can be fetched.
    pub fn next(&self) -> &[u32] {
        &self.next.ids[..self.next.count]
    }
}

impl Rows {
    fn fetch_place(&self, at: u32) {
        let at = at as usize;
        fetch(self.ends.get(at));
        fetch(self.ends.get(at.wrapping_sub(1)));
        fetch(self.lengths.get(at));
        fetch_lines(self.shapes.get(at).map_or(&[][..], |features| features));
    }

    fn fetch_numbers(&self, at: u32) {
        fetch_lines(self.row(at));
    }

    fn fetch_grams(&self, words: &[u32]) {
        words.iter().for_each(|&id| self.words.fetch(id as usize - self.terms));
    }

    fn numbers(&self, at: u32) -> Numbers<'_> {
        let row = self.row(at);
        let words = row.iter().rev().take_while(|&&id| id as usize >= self.terms).count();
        let (terms, words) = row.split_at(row.len() - words);
        Numbers { terms, words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    /// Rows of up to 40 terms and 20 words, of which each has up to 40 n-grams: also none of them.
    fn rows() -> Rows {
        let mut state = 11;
        let mut below = move |most: u64| {
            state = hash::joint(state, 3);
            u32::try_from(state % most).unwrap()
        };
        let mut rows = Rows { terms: 500, ..Rows::default() };
        for word in 0..300 {
            let grams: Vec<u32> = (0..below(41)).map(|_| below(500)).collect();
            rows.words.add(word, grams);
        }
        for _ in 0..1_000 {
            let (terms, words) = (below(41), below(21));
            rows.ids.extend((0..terms).map(|_| below(500)));
            rows.ids.extend((0..words).map(|_| 500 + below(300)));
            rows.ends.push(rows.ids.len());
            rows.lengths.push(1.0);
        }
        // The last word's n-grams end where all do.
        rows.ids.extend([499, 500 + 299]);
        rows.ends.push(rows.ids.len());
        rows.lengths.push(1.0);
        rows
    }

    fn assert_reads(rows: &Rows, order: &[u32]) {
        let mut ahead = Ahead::new(rows);
        let at = |place: usize| order.get(place).copied();
        for _ in 0..2 {
            ahead.start(at);
            for place in 0..order.len() {
                ahead.step(place, at);
                let terms = |place: usize| {
                    let mut terms = Vec::new();
                    at(place).into_iter().for_each(|at| rows.each_term(at, |id| terms.push(id)));
                    terms
                };
                assert_eq!(ahead.now(), terms(place), "place {place}");
                assert_eq!(ahead.next(), terms(place + 1), "after place {place}");
            }
        }
    }

    #[test]
    fn each_row_has_its_terms_in_any_order() {
        let rows = rows();
        let all: Vec<u32> = (0..1_001).collect();
        assert_reads(&rows, &all);
        assert_reads(&rows, &all.iter().rev().copied().collect::<Vec<_>>());
        // Only some, some of them twice.
        assert_reads(&rows, &all.iter().map(|at| at * at % 997).collect::<Vec<_>>());
        assert_reads(&rows, &[1_000]);
        assert_reads(&rows, &[]);
    }

    #[test]
    fn rows_may_have_no_words_and_nothing_at_all() {
        assert_reads(&Rows::of_counts(&[vec![0, 2, 1], vec![0, 0, 0], vec![3, 0, 40]]), &[1, 0, 2, 1]);
    }
}
