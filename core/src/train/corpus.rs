//! Labelled texts as they are gathered for training, and how some of them are held out.

use super::memory::{Growth, Memory};
use crate::text::{MAX_TEXT_BYTES, Text, Tokenized};
use crate::{Error, ErrorKind, Result, hash};

/// Most labels of a model.
pub const MAX_LABELS: usize = 64;

/// Most bytes of a label.
pub const MAX_LABEL_BYTES: usize = 1_000;

/// Whether it says anything: a row with a blank label is a row without one, as files of CSV have them.
pub fn is_label(label: &str) -> bool {
    !label.trim().is_empty()
}

/// Labelled texts in the order in which they were added.
#[derive(Debug)]
pub struct Corpus {
    growth: Growth,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    labels: Vec<String>,
    skipped: u64,
    tokenized: Tokenized,
}

/// A text's place in the bytes, what it reads as, and its label's number.
#[derive(Clone, Copy, Debug)]
struct Row {
    end: usize,
    /// The hash of its tokens: texts that read the same are the same text.
    key: u64,
    label: u16,
    /// Whether an earlier version has learned from it, so that nothing can be measured on it.
    learned: bool,
}

/// One labelled text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example<'t> {
    /// The text, UTF-8 that may be broken.
    pub text: &'t [u8],
    /// The index of its label.
    pub label: usize,
    /// The hash of its tokens.
    pub(super) key: u64,
}

/// Rows to learn from and rows to measure on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Numbers of the rows to learn from.
    pub train: Vec<u32>,
    /// Numbers of the rows that are held out.
    pub test: Vec<u32>,
}

impl Corpus {
    /// An empty one that may use so many bytes of memory.
    pub fn new(memory: u64) -> Self {
        let (bytes, rows, labels) = (Vec::new(), Vec::new(), Vec::new());
        let growth = Memory(memory).growth("the texts", 0);
        Self { growth, bytes, rows, labels, skipped: 0, tokenized: Tokenized::default() }
    }

    /// Adds a labelled text; one that holds nothing to score, or whose label is blank, is skipped.
    ///
    /// # Errors
    /// `Limit` for a label that is too long or one too many, `Memory` where the memory is used up.
    pub fn add(&mut self, text: &[u8], label: &str) -> Result<()> {
        self.push(text, label, false)
    }

    /// As [`Corpus::add`], of a text that the version which is to be compared with has learned from: [`Corpus::split`] minds that.
    ///
    /// # Errors
    /// As [`Corpus::add`].
    pub fn add_learned(&mut self, text: &[u8], label: &str) -> Result<()> {
        self.push(text, label, true)
    }

    fn push(&mut self, text: &[u8], label: &str, learned: bool) -> Result<()> {
        let text = &text[..text.len().min(MAX_TEXT_BYTES)];
        self.tokenized.read(&Text::new(text));
        if self.tokenized.tokens().is_empty() || !is_label(label) {
            self.skip(1);
            return Ok(());
        }
        let label = self.label(label)?;
        let key = self.tokenized.tokens().iter().fold(0, |left, token| hash::joint(left, token.hash));
        self.growth.vec(&mut self.bytes, text.len())?;
        self.growth.vec(&mut self.rows, 1)?;
        self.bytes.extend_from_slice(text);
        self.rows.push(Row { end: self.bytes.len(), key, label, learned });
        Ok(())
    }

    /// Counts rows that cannot be trained on: their text or label is missing.
    pub fn skip(&mut self, rows: u64) {
        self.skipped += rows;
    }

    fn label(&mut self, label: &str) -> Result<u16> {
        let known = self.labels.iter().position(|known| known == label);
        let number = known.unwrap_or(self.labels.len());
        if known.is_none() {
            if label.len() > MAX_LABEL_BYTES {
                return Err(too_much(format!("a label has more than {MAX_LABEL_BYTES} bytes")));
            }
            if self.labels.len() == MAX_LABELS {
                return Err(too_much(format!("there are more than {MAX_LABELS} labels")));
            }
            self.labels.push(label.to_owned());
        }
        Ok(u16::try_from(number).unwrap_or_default())
    }

    /// Whether a text of this label was added.
    pub fn has_label(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }

    /// Bytes in use.
    pub(super) fn size(&self) -> usize {
        self.bytes.capacity() + self.rows.capacity() * size_of::<Row>()
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of rows that were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The labels, sorted: class order.
    pub fn labels(&self) -> Vec<String> {
        let mut labels = self.labels.clone();
        labels.sort_unstable();
        labels
    }

    /// Text and label of a row.
    pub fn row(&self, at: u32) -> (&[u8], &str) {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.rows[at - 1].end };
        (&self.bytes[start..self.rows[at].end], &self.labels[usize::from(self.rows[at].label)])
    }

    /// Rows as examples, sorted: neither a heap's order nor a map's can show in a model. Labels count in class order.
    pub(super) fn examples(&self, rows: &[u32]) -> Vec<Example<'_>> {
        let sorted = self.labels();
        let class = |label: &String| sorted.iter().position(|known| known == label).unwrap_or_default();
        let classes: Vec<usize> = self.labels.iter().map(class).collect();
        let example = |&at: &u32| {
            let row = self.rows[at as usize];
            Example { text: self.row(at).0, label: classes[usize::from(row.label)], key: row.key }
        };
        let mut examples: Vec<Example<'_>> = rows.iter().map(example).collect();
        examples.sort_unstable();
        examples
    }

    /// Every row to learn from.
    pub fn all(&self) -> Vec<u32> {
        (0..).take(self.len()).collect()
    }

    /// Holds out a share of the texts.
    ///
    /// A text's hash and the seed draw its lot: texts that read the same fall on the same side, and a table that has grown
    /// holds out what it held out before, so that an earlier version can be measured on rows that it has not learned from. What it has
    /// learned from since is not held out, where that leaves a quarter of them or more: fewer would say little of either.
    ///
    /// # Errors
    /// `Parameter` for a share that is not between 0 and 1, fewer than two labels, or a label with fewer than two
    /// different texts.
    pub fn split(&self, test_fraction: f64, seed: u64) -> Result<Split> {
        if !(test_fraction > 0.0 && test_fraction < 1.0) {
            let hint = "Give the share of the rows to hold out, such as 0.2.";
            return Err(Error::new(ErrorKind::Parameter, "test_fraction must be above 0 and below 1", hint));
        }
        self.check_labels()?;
        let mut train = self.draw_lots(test_fraction, seed);
        self.give_each_label_a_text(&mut train, seed);
        self.hold_out_one_at_least(&mut train, seed);
        let side =
            |wanted: bool| (0..).zip(&train).filter(move |&(_, &side)| side == wanted).map(|(at, _)| at);
        Ok(Split { train: side(true).collect(), test: side(false).collect() })
    }

    /// Which rows are learned from by their lot, or because an earlier version has learned from what reads the same.
    fn draw_lots(&self, test_fraction: f64, seed: u64) -> Vec<bool> {
        let drawn: Vec<bool> = self.rows.iter().map(|row| draw(row.key, seed) >= test_fraction).collect();
        let rows = || self.rows.iter().zip(&drawn);
        let held_out = rows().filter(|(row, train)| row.learned & !**train);
        let mut learned: Vec<u64> = held_out.map(|(row, _)| row.key).collect();
        learned.sort_unstable();
        let is_learned = |row: &Row| learned.binary_search(&row.key).is_ok();
        let train: Vec<bool> = rows().map(|(row, train)| *train || is_learned(row)).collect();
        let held_out = |train: &[bool]| train.iter().filter(|train| !**train).count();
        if held_out(&train) * 4 < held_out(&drawn) { drawn } else { train }
    }

    fn check_labels(&self) -> Result<()> {
        const HINT: &str = "Give labelled texts of at least two labels, and two different texts of each.";
        let refused = |message: String| Err(Error::new(ErrorKind::Parameter, message, HINT));
        if self.is_empty() {
            return refused("there are no labelled texts to train on".to_owned());
        }
        if self.labels.len() < 2 {
            return refused("training needs at least two labels, there is one".to_owned());
        }
        let few = (0..self.labels.len()).filter(|&label| !self.has_two_texts(label)).count();
        if few > 0 {
            return refused(format!(
                "{few} of {} labels have fewer than two different texts",
                self.labels.len()
            ));
        }
        Ok(())
    }

    fn of_label(&self, label: usize) -> impl Iterator<Item = (usize, &Row)> {
        self.rows.iter().enumerate().filter(move |(_, row)| usize::from(row.label) == label)
    }

    fn has_two_texts(&self, label: usize) -> bool {
        let mut keys = self.of_label(label).map(|(_, row)| row.key);
        keys.next().is_some_and(|first| keys.any(|key| key != first))
    }

    /// Moves texts of labels that have none to learn from: of each, the last that a larger share would have held out.
    fn give_each_label_a_text(&self, train: &mut [bool], seed: u64) {
        for label in 0..self.labels.len() {
            if self.of_label(label).any(|(at, _)| train[at]) {
                continue;
            }
            let last = self.of_label(label).max_by(|a, b| order(a.1, b.1, seed));
            if let Some((_, &Row { key, .. })) = last {
                self.rows
                    .iter()
                    .zip(&mut *train)
                    .filter(|(row, _)| row.key == key)
                    .for_each(|(_, side)| *side = true);
            }
        }
    }

    /// Where nothing is held out, moves the first text that no label needs.
    fn hold_out_one_at_least(&self, train: &mut [bool], seed: u64) {
        if train.contains(&false) {
            return;
        }
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by(|a, b| order(a, b, seed));
        rows.dedup_by_key(|row| row.key);
        for first in rows {
            let needed =
                (0..self.labels.len()).any(|label| self.of_label(label).all(|(_, row)| row.key == first.key));
            if !needed {
                let same = self.rows.iter().zip(train).filter(|(row, _)| row.key == first.key);
                return same.for_each(|(_, side)| *side = false);
            }
        }
    }
}

/// A lot between 0 and 1.
#[allow(clippy::cast_precision_loss)]
fn draw(key: u64, seed: u64) -> f64 {
    (hash::joint(seed, key) >> 11) as f64 / (1u64 << 53) as f64
}

/// The order in which a growing share holds texts out.
fn order(a: &Row, b: &Row, seed: u64) -> std::cmp::Ordering {
    draw(a.key, seed).total_cmp(&draw(b.key, seed)).then(a.key.cmp(&b.key))
}

fn too_much(message: String) -> Error {
    let hint = "A model has 2 to 64 labels, of up to 1000 bytes each. Is label_column the column of labels?";
    Error::new(ErrorKind::Limit, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(rows: &[(&str, &str)]) -> Corpus {
        let mut corpus = Corpus::new(1 << 20);
        rows.iter().for_each(|(text, label)| corpus.add(text.as_bytes(), label).unwrap());
        corpus
    }

    #[test]
    fn the_same_text_is_never_on_both_sides() {
        let mut corpus = Corpus::new(1 << 24);
        for at in 0..2_000 {
            // Case, spaces and digits do not make another text.
            let text =
                format!("{} number {} of {at}", ["Word", "word ", " WORD"][at % 3], "x".repeat(at % 40));
            corpus.add(text.as_bytes(), ["a", "b", "c"][at % 3]).unwrap();
        }
        let split = corpus.split(0.3, 42).unwrap();
        assert_eq!(split.train.len() + split.test.len(), 2_000);
        let keys = |side: &[u32]| -> std::collections::BTreeSet<u64> {
            side.iter().map(|&at| corpus.rows[at as usize].key).collect()
        };
        assert!(keys(&split.train).is_disjoint(&keys(&split.test)));
        assert_ne!(split, corpus.split(0.3, 43).unwrap());
    }

    #[test]
    fn a_share_is_held_out_and_stays_so_when_rows_are_added() {
        let mut corpus = Corpus::new(1 << 24);
        let mut add = |from: usize, to: usize| {
            let words = (from..to).map(|at| format!("{}z{}", "ab".repeat(at % 50), "c".repeat(at / 50)));
            words.enumerate().for_each(|(at, word)| corpus.add(word.as_bytes(), ["a", "b"][at % 2]).unwrap());
            corpus.split(0.2, 7).unwrap().test
        };
        let before = add(0, 1_000);
        assert!((150..250).contains(&before.len()), "{}", before.len());
        let after = add(1_000, 1_400);
        assert_eq!(after.iter().filter(|&&at| at < 1_000).copied().collect::<Vec<_>>(), before);
    }

    #[test]
    fn what_was_learned_is_not_held_out() {
        let word = |at: usize| format!("{}z{}", "ab".repeat(at % 50), "xy".repeat(at / 50));
        let mut corpus = Corpus::new(1 << 24);
        (0..400).for_each(|at| corpus.add(word(at).as_bytes(), ["a", "b"][at % 2]).unwrap());
        let before = corpus.split(0.5, 7).unwrap().test;
        // Some that are there already, some that are not.
        (300..700).for_each(|at| corpus.add_learned(word(at).as_bytes(), ["a", "b"][at % 2]).unwrap());
        let after = corpus.split(0.5, 7).unwrap().test;
        assert_eq!(after, before.into_iter().filter(|&at| at < 300).collect::<Vec<_>>());
        // Where next to nothing would be left, all is as if nothing had been learned.
        (0..250).for_each(|at| corpus.add_learned(word(at).as_bytes(), ["a", "b"][at % 2]).unwrap());
        let test = corpus.split(0.5, 7).unwrap().test;
        corpus.rows.iter_mut().for_each(|row| row.learned = false);
        assert_eq!(test, corpus.split(0.5, 7).unwrap().test);
        assert!(test.len() > 300);
    }

    #[test]
    fn small_ones_have_something_on_both_sides() {
        for seed in 0..50 {
            let small = corpus(&[("good", "p"), ("great", "p"), ("bad", "n"), ("awful", "n")]);
            for fraction in [0.001, 0.5, 0.999] {
                let split = small.split(fraction, seed).unwrap();
                assert!(!split.test.is_empty(), "{fraction} {seed}");
                let labels =
                    small.examples(&split.train).iter().map(|example| example.label).collect::<Vec<_>>();
                assert!(labels.contains(&0) && labels.contains(&1), "{fraction} {seed}");
            }
        }
    }

    #[test]
    fn what_cannot_be_trained_on() {
        let kind = |rows: &[(&str, &str)], fraction| corpus(rows).split(fraction, 1).unwrap_err().kind();
        let good = [("good", "p"), ("great", "p"), ("bad", "n"), ("awful", "n")];
        for fraction in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(kind(&good, fraction), ErrorKind::Parameter);
        }
        assert_eq!(kind(&[], 0.5), ErrorKind::Parameter);
        assert_eq!(kind(&good[..2], 0.5), ErrorKind::Parameter);
        assert_eq!(kind(&[("good", "p"), ("good!", "p"), ("bad", "n")], 0.5), ErrorKind::Parameter);
        let mut corpus = Corpus::new(1 << 20);
        (0..64).for_each(|at| corpus.add(b"text", &at.to_string()).unwrap());
        assert_eq!(corpus.add(b"text", "one more").unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(corpus.add(b"text", &"long".repeat(500)).unwrap_err().kind(), ErrorKind::Limit);
        corpus.add(b" \n", "7").unwrap();
        assert_eq!((corpus.len(), corpus.skipped()), (64, 1));
        let mut small = Corpus::new(10_000);
        let error = (0..100).find_map(|at| small.add(&[b'x'; 300], &(at % 3).to_string()).err());
        assert_eq!(error.unwrap().kind(), ErrorKind::Memory);
    }
}
