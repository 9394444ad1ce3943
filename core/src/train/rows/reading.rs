//! How training texts are read: their terms counted, those that are kept numbered, each text made a row of numbers.

use super::{Rows, STRIDE, renumber};
use crate::Result;
use crate::predictor::length_scale;
use crate::shape::{SHAPES, Shape};
use crate::terms::{self, GramBuffer};
use crate::train::lexicon::{Lexicon, lexicon_value};
use crate::train::memory::{Growth, map_size};
use crate::train::vocabulary::counting::{Counter, Sketch};
use crate::train::vocabulary::{Kept, NO_TERM, Reader, TermMap, TermSort, Vocabulary, is_negated, number};
use crate::train::{Example, Memory, Watch};
use std::collections::hash_map::Entry;

/// Texts between two looks at whoever watches: a look costs as much as a few words do.
pub(in crate::train) const TEXTS: usize = 8;

/// Reads the texts; of their terms those are kept that stand in enough of them.
///
/// Four of five different terms stand in one text only. A first pass over the texts counts them in a sketch, which errs on
/// the high side only, and a second one counts exactly what the sketch lets pass: the memory is that of the terms that
/// are kept, not of all. The second takes the rows down too, with the places of the counts in place of the terms' numbers, for
/// which terms are kept is not known before its end. Both take a word apart once, however often it occurs.
pub(in crate::train) fn read(
    examples: &[Example<'_>],
    kept: Kept,
    lexicon: Option<&Lexicon>,
    held: usize,
    memory: Memory,
    watch: &mut dyn Watch,
) -> Result<(Vocabulary, Rows)> {
    let sketched = Sketch::places(examples.len());
    memory.takes("a sketch of the terms", held, sketched)?;
    let (mut sketch, held) = (Sketch::with_places(sketched), held + sketched);
    sketch.fill(examples, kept, held, memory, watch)?;
    let counter = Counter::new(sketch, kept);
    let (mut reader, mut growth) = (Reader::default(), memory.growth("the rows", held + counter.size()));
    let mut draft = Draft::new(counter, kept, lexicon, examples.len(), &mut growth)?;
    for (at, example) in examples.iter().enumerate() {
        if at % TEXTS == 0 {
            watch.step("reading texts", at, examples.len())?;
        }
        reader.read(example.text);
        draft.add(&reader, &mut growth)?;
    }
    memory.takes("the terms' numbers", held, draft.size() + draft.counter.numbering())?;
    draft.finish(growth, &mut || watch.step("sorting terms", 0, 1))
}

/// Rows while their terms are counted.
struct Draft<'l> {
    counter: Counter,
    kept: Kept,
    lexicon: Option<&'l Lexicon>,
    /// A row's numbers are places of counts and, from the end of all numbers down, words.
    rows: Rows,
    /// The number of each word that a row names, and of each that none does.
    named: TermMap<u32>,
    others: TermMap<()>,
    /// The forms of those that none does: they are taken apart at the end, for they count nothing.
    forms: String,
    form_ends: Vec<(u64, usize)>,
    /// What all but the last token of the term at each place hash to.
    lefts: Vec<u64>,
    grams: GramBuffer,
    /// The terms of the text that is read.
    terms: Vec<(u64, TermSort, u64)>,
}

impl<'l> Draft<'l> {
    fn new(
        counter: Counter,
        kept: Kept,
        lexicon: Option<&'l Lexicon>,
        texts: usize,
        growth: &mut Growth,
    ) -> Result<Self> {
        let mut rows = Rows::default();
        growth.vec(&mut rows.ends, texts)?;
        growth.vec(&mut rows.lengths, texts)?;
        growth.vec(&mut rows.shapes, lexicon.map_or(0, |_| texts))?;
        Ok(Self {
            counter,
            kept,
            lexicon,
            rows,
            named: TermMap::default(),
            others: TermMap::default(),
            forms: String::new(),
            form_ends: Vec::new(),
            lefts: Vec::new(),
            grams: GramBuffer::default(),
            terms: Vec::new(),
        })
    }

    /// Counts the terms of a text and takes them down.
    fn add(&mut self, reader: &Reader, growth: &mut Growth) -> Result<()> {
        self.counter.begin();
        // No branch on what the sketch says: nobody can foresee it.
        let mut kept = 0;
        self.terms.resize(3 * reader.tokenized().tokens().len(), (0, TermSort::Unit, 0));
        reader.joints(|hash, sort, left| {
            self.terms[kept] = (hash, sort, left);
            kept += usize::from(self.counter.may_keep(hash, sort));
        });
        self.terms.truncate(kept);
        // What the terms of a text ask for lies far apart: all of it is on its way before the first is waited for.
        self.terms.iter().for_each(|(hash, ..)| self.counter.fetch(*hash));
        self.terms.iter().for_each(|(hash, ..)| self.counter.fetch_count(*hash));
        growth.vec(&mut self.rows.ids, kept + reader.tokenized().tokens().len())?;
        for terms in self.terms.chunks(STRIDE) {
            self.counter.reserve(terms.len(), growth)?;
            let more = self.counter.places() + terms.len() - self.lefts.len();
            growth.vec(&mut self.lefts, more)?;
            for &(hash, sort, left) in terms {
                let place = self.counter.place(hash, sort);
                self.counter.count(place);
                self.rows.ids.push(place);
                if self.lefts.len() <= place as usize {
                    self.lefts.resize(place as usize + 1, 0);
                    self.lefts[place as usize] = left;
                }
            }
        }
        for token in reader.words() {
            let hash = token.hash;
            if self.kept.chars && terms::has_grams(token) {
                self.add_word(hash, || reader.form(token), growth)?;
            } else if !self.named.contains_key(&hash) {
                self.add_other(hash, || reader.form(token), growth)?;
            }
        }
        self.rows.ends.push(self.rows.ids.len());
        self.rows.lengths.push(length(reader.tokenized().tokens().len()));
        if let Some(lexicon) = self.lexicon {
            self.rows.shapes.push(shape(reader, lexicon));
        }
        Ok(())
    }

    /// Counts the character n-grams of a word and takes the word down.
    fn add_word<'f>(&mut self, hash: u64, form: impl FnOnce() -> &'f str, growth: &mut Growth) -> Result<()> {
        let (counter, rows) = (&mut self.counter, &mut self.rows);
        growth.map(&mut self.named)?;
        let word = match self.named.entry(hash) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let (sort, grams) = (TermSort::Gram, self.grams.read(form().as_bytes()));
                counter.reserve(grams.len(), growth)?;
                rows.words.reserve(grams.len(), growth)?;
                let place = |&gram: &u64| counter.may_keep(gram, sort).then(|| counter.place(gram, sort));
                *new.insert(number(rows.words.add(hash, grams.iter().filter_map(place))))
            }
        };
        rows.words.grams(word as usize).iter().for_each(|&place| counter.count(place));
        rows.ids.push(NO_TERM - 1 - word);
        Ok(())
    }

    /// Takes a word down that no row names, once.
    fn add_other<'f>(
        &mut self,
        hash: u64,
        form: impl FnOnce() -> &'f str,
        growth: &mut Growth,
    ) -> Result<()> {
        growth.map(&mut self.others)?;
        if self.others.insert(hash, ()).is_some() {
            return Ok(());
        }
        let form = if self.kept.chars { form() } else { "" };
        growth.string(&mut self.forms, form.len())?;
        growth.vec(&mut self.form_ends, 1)?;
        self.forms.push_str(form);
        self.form_ends.push((hash, self.forms.len()));
        Ok(())
    }

    /// Bytes in use, the sketch's aside.
    fn size(&self) -> usize {
        self.counter.size()
            + self.rows.size()
            + map_size(&self.named)
            + map_size(&self.others)
            + self.forms.capacity()
            + self.form_ends.capacity() * 16
            + self.lefts.capacity() * 8
    }

    /// The terms that are kept, and the rows with their numbers.
    fn finish(
        mut self,
        mut growth: Growth,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Vocabulary, Rows)> {
        let before = self.size();
        (self.named, self.others) = Default::default();
        let counts = self.counter.finish();
        let (vocabulary, numbers) = Vocabulary::of(&counts, self.kept, check)?;
        drop(counts);
        let mut rows = self.rows;
        rows.terms = vocabulary.len();
        let term = |place: u32| Some(numbers[place as usize]).filter(|number| *number != NO_TERM);
        let words = rows.words.len();
        let id = |id: u32| match (NO_TERM - 1 - id) as usize {
            word if word < words => Some(number(rows.terms + word)),
            _ => term(id),
        };
        renumber(&mut rows.ids, &mut rows.ends, id, check)?;
        rows.words.renumber(term, check)?;
        let joined = vocabulary.of_sort(TermSort::Pair).start..vocabulary.of_sort(TermSort::Triple).end;
        rows.lefts = vec![0; joined.len()];
        for (number, left) in numbers.iter().zip(&self.lefts) {
            let place = (*number as usize).checked_sub(joined.start);
            place.and_then(|place| rows.lefts.get_mut(place)).into_iter().for_each(|to| *to = *left);
        }
        drop((numbers, self.lefts));
        let left = self.forms.capacity() + self.form_ends.capacity() * 16;
        growth.becomes(before, vocabulary.size() + rows.size() + left);
        rows.others.expect(self.form_ends.len(), &mut growth)?;
        let mut start = 0;
        for (at, (hash, end)) in self.form_ends.into_iter().enumerate() {
            if at % STRIDE == 0 {
                check()?;
            }
            let grams = if start == end { &[] } else { self.grams.read(&self.forms.as_bytes()[start..end]) };
            rows.others.reserve(grams.len(), &mut growth)?;
            rows.others.add(hash, grams.iter().filter_map(|gram| vocabulary.id(*gram, TermSort::Gram)));
            start = end;
        }
        Ok((vocabulary, rows))
    }
}

/// The scale of a row, as precise as the rows need it.
#[allow(clippy::cast_possible_truncation)]
fn length(tokens: usize) -> f32 {
    length_scale(tokens) as f32
}

/// The shape features of the last text.
pub(in crate::train) fn shape(reader: &Reader, lexicon: &Lexicon) -> [f64; SHAPES] {
    let mut shape = Shape::default();
    let text = reader.tokenized();
    for token in text.tokens() {
        let value = lexicon.value(token.hash);
        shape.add(token, lexicon_value(value, is_negated(token)));
    }
    shape.features()
}
