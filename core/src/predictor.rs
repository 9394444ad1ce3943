//! A model's bytes opened for reading texts.

mod explain;
mod gather;
mod logits;
mod overlay;
mod walk;

pub use explain::{Reason, TokenView};

use crate::Result;
use crate::delta::Delta;
use crate::forest::{self, Present, TreesView};
use crate::model::{Card, Counting, Entry, Model, damaged};
use crate::network::{self, NetworkView};
use crate::shape::SHAPES;
use crate::terms::{self, GramBuffer};
use crate::text::{Text, Tokenized};
use gather::Gathered;
use logits::{add_shape, to_float};
pub(crate) use logits::{length_scale, softmax};
use overlay::{Laid, Overlay};
pub(crate) use overlay::{OverlayEntry, each_entry, own_terms};
use walk::{Part, Tally, walk};

/// Buffers that every reading reuses, so that a text allocates nothing once they have grown.
#[derive(Debug, Default)]
pub struct Scratch {
    text: Tokenized,
    grams: GramBuffer,
    sums: Vec<i64>,
    probabilities: Vec<f64>,
    present: Present,
    /// Records by their address and length.
    seen: Vec<(usize, usize)>,
    network: network::Buffers,
    gathered: Gathered,
    /// What the last text came to, its probabilities apart.
    summary: Option<Summary>,
}

/// A reading without its probabilities.
#[derive(Clone, Copy, Debug)]
struct Summary {
    label: usize,
    score: Option<f64>,
    coverage: f64,
    truncated: bool,
}

impl Scratch {
    /// What [`Predictor::read`] answered last with these buffers.
    pub fn reading(&self) -> Option<Reading<'_>> {
        let Summary { label, score, coverage, truncated } = self.summary?;
        Some(Reading { label, probabilities: &self.probabilities, score, coverage, truncated })
    }
}

/// An opened model: a borrowed view of its bytes. It never changes.
#[derive(Clone, Debug)]
pub struct Predictor<'a> {
    model: Model<'a>,
    /// What was learned since the model's bytes were written, and the user's own terms.
    overlay: Option<Overlay>,
    /// The trees of a forest.
    trees: Option<TreesView<'a>>,
    /// What a convolutional network adds to its linear part.
    network: Option<NetworkView<'a>>,
    size: usize,
}

/// What a text came to.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'s> {
    /// Index of the label; [`Predictor::labels`] gives its text.
    pub label: usize,
    /// P(class), one for each class, summing to 1.
    pub probabilities: &'s [f64],
    /// Sum over classes of P(class) x value(class); `None` if no class has a value.
    pub score: Option<f64>,
    /// Share of the words, hashtags, emoji and emoticons that the model knows, 0 to 1.
    pub coverage: f64,
    /// Whether the text was longer than what is read.
    pub truncated: bool,
}

impl<'a> Predictor<'a> {
    /// Opens untrusted model bytes: checks magic, versions, lengths and checksum; copies no weights.
    ///
    /// # Errors
    /// `Damaged` for bytes that are no model or were changed, `Unsupported` for another format or tokenizer version.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        Self::open_parts(bytes, &[])
    }

    /// Opens a model with the deltas that refreshes have made since, oldest first.
    ///
    /// # Errors
    /// As [`Predictor::open`], for each part; `Damaged` for a delta of another model.
    pub fn open_parts(base: &'a [u8], deltas: &[&[u8]]) -> Result<Self> {
        Self::with(Model::open(base)?, deltas)
    }

    /// Opens bytes whose checksum is known to hold, such as those compiled into the library: costs no pass over them.
    ///
    /// # Errors
    /// As [`Predictor::open`], the checksum apart. Changed bytes can give wrong scores, nothing worse.
    pub fn open_unchecked(bytes: &'a [u8]) -> Result<Self> {
        Self::with(Model::open_unchecked(bytes)?, &[])
    }

    /// As [`Predictor::open_parts`], for a base whose checksum is known to hold: a refresh changes the deltas only.
    ///
    /// # Errors
    /// As [`Predictor::open_parts`], the base's checksum apart.
    pub fn open_parts_unchecked(base: &'a [u8], deltas: &[&[u8]]) -> Result<Self> {
        Self::with(Model::open_unchecked(base)?, deltas)
    }

    fn with(model: Model<'a>, deltas: &[&[u8]]) -> Result<Self> {
        let delta = Delta::open_all(deltas, model.checksum)?;
        let size = model.length + deltas.iter().map(|delta| delta.len()).sum::<usize>();
        Self::merged(model, delta.as_ref(), size)
    }

    /// A model with its deltas, which are one already; `size` is that of all bytes.
    pub(crate) fn merged(model: Model<'a>, delta: Option<&Delta>, size: usize) -> Result<Self> {
        let trees = match model.card.algorithm.as_str() {
            "random_forest" => {
                let trees = TreesView::new(model.tail, model.card.labels.len());
                Some(trees.ok_or_else(|| damaged("its trees do not hold together"))?)
            }
            _ => None,
        };
        let network = match model.card.algorithm.as_str() {
            network::ALGORITHM => {
                let network = NetworkView::new(model.tail, model.card.labels.len(), &model.table);
                Some(network.ok_or_else(|| damaged("its network does not hold together"))?)
            }
            _ => None,
        };
        let overlay = Overlay::new(&model, delta)?;
        Ok(Self { model, overlay, trees, network, size })
    }

    fn card(&self) -> &Card {
        &self.model.card
    }

    /// The model's name, such as `english`; empty for one that was trained in a database.
    pub fn name(&self) -> &str {
        &self.card().name
    }

    /// The version number within the name; 0 for one that was trained in a database.
    pub fn version(&self) -> u32 {
        self.card().version
    }

    /// The training algorithm's SQL name.
    pub fn algorithm(&self) -> &str {
        &self.card().algorithm
    }

    /// BCP 47 tag of the language of the training texts, such as `en`.
    pub fn language(&self) -> &str {
        &self.card().language
    }

    /// The labels, in class order.
    pub fn labels(&self) -> &[String] {
        &self.card().labels
    }

    /// The value of class `label` in the score, if it has one.
    pub fn label_score(&self, label: usize) -> Option<f64> {
        self.card().label_scores.get(label).copied().flatten()
    }

    /// Rows that the model was trained on, refreshes included.
    pub fn rows_train(&self) -> u64 {
        self.card().rows_train + self.overlay.as_ref().map_or(0, |overlay| overlay.rows)
    }

    /// Measures of the model as the text of a JSON object.
    pub fn metrics(&self) -> &str {
        &self.card().metrics
    }

    /// Terms that the model holds: words, n-grams of words and of characters.
    pub fn terms(&self) -> u64 {
        self.card().terms + self.overlay.as_ref().map_or(0, |overlay| overlay.new_terms)
    }

    /// Size of the model's bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Reads a text. `None` where it holds nothing to score: no word, number, emoji or punctuation of feeling.
    pub fn read<'s>(&self, text: Text<'_>, scratch: &'s mut Scratch) -> Option<Reading<'s>> {
        scratch.text.read(&text);
        scratch.summary = self.sum_up(scratch);
        scratch.reading()
    }

    /// What the text in `scratch` comes to.
    fn sum_up(&self, scratch: &mut Scratch) -> Option<Summary> {
        if scratch.text.tokens().is_empty() {
            return None;
        }
        let truncated = scratch.text.truncated();
        let tally = if self.trees.is_some() { self.ask_trees(scratch) } else { self.add_up(scratch) };
        let label = softmax(&mut scratch.probabilities);
        let score = self.score(&scratch.probabilities);
        let coverage = f64::from(tally.known) / f64::from(tally.content.max(1));
        Some(Summary { label, score, coverage, truncated })
    }

    /// The logits of the text in `scratch`: a sum over its terms.
    fn add_up(&self, scratch: &mut Scratch) -> Tally {
        let Scratch { text, grams, sums, probabilities: logits, seen, network, gathered, .. } = scratch;
        let card = self.card();
        let classes = card.labels.len();
        sums.clear();
        sums.resize(classes, 0);
        seen.clear();
        let (mut parts, mut pooled) = (0u32, false);
        let counts_parts = self.overlay.as_ref().is_some_and(|overlay| !overlay.term_shift.is_empty());
        let tally = match card.counting {
            Counting::Scaled if !counts_parts => match sums.as_mut_array::<3>() {
                Some(sums) if self.overlay.is_none() => {
                    pooled = true;
                    self.gather(text, sums, (gathered, grams, network))
                }
                Some(sums) => self.walk(text, grams, |part| part.entry.add_to_three(sums)),
                None => self.walk(text, grams, |part| part.entry.add_to(sums)),
            },
            Counting::Scaled => self.walk(text, grams, |part| {
                parts += u32::from(part.entry.weighs());
                part.entry.add_to(sums);
            }),
            Counting::Present => {
                let tally = self.walk(text, grams, |part| seen.push(place(part.entry)));
                seen.sort_unstable();
                seen.dedup();
                for entry in seen.iter().filter_map(|place| self.entry_at(*place)) {
                    parts += u32::from(entry.weighs());
                    entry.add_to(sums);
                }
                tally
            }
        };
        let length = self.length(text.tokens().len());
        let unit = card.weight_unit * length;
        logits.clear();
        logits.extend(self.bias().iter().zip(sums.iter()).map(|(bias, sum)| bias + unit * to_float(*sum)));
        if let Some(overlay) = &self.overlay {
            for (logit, shift) in logits.iter_mut().zip(&overlay.term_shift) {
                *logit += shift * f64::from(parts) * length;
            }
        }
        add_shape(logits, &tally.shape, &card.shape_weights);
        if let Some(view) = &self.network {
            if !pooled {
                view.locate(&self.model.table, text.tokens(), network);
                view.pool(network);
            }
            view.add_to(logits, length, network);
        }
        tally
    }

    /// The sums of a text whose terms are gathered. In between, the network pools: while one part is worked on, memory brings
    /// what the next will read.
    fn gather(
        &self,
        text: &Tokenized,
        sums: &mut [i64; 3],
        (gathered, grams, network): (&mut Gathered, &mut GramBuffer, &mut network::Buffers),
    ) -> Tally {
        let (lines, view) = (self.model.table.lines(), self.network.as_ref());
        let grams = self.has_grams().then_some(grams);
        let mut tally = gathered.begin(lines, text.tokens());
        gathered.find_words(lines, text.tokens());
        view.into_iter()
            .for_each(|view| view.locate_found(text.tokens(), gathered.found(text.tokens()), network));
        gathered.weigh_words(text.tokens(), &mut tally);
        gathered.pairs(lines, text, grams);
        view.into_iter().for_each(|view| view.pool(network));
        gathered.triples(lines);
        gathered.add_up(sums);
        tally
    }

    /// The logits of the text in `scratch`: what the trees say to its terms.
    fn ask_trees(&self, scratch: &mut Scratch) -> Tally {
        let Scratch { text, grams, probabilities: logits, present, .. } = scratch;
        logits.clear();
        logits.resize(self.card().labels.len(), 0.0);
        let Some(trees) = &self.trees else { return Tally::default() };
        present.clear(trees.features());
        let tally = self.walk(text, grams, |part| {
            forest::feature_of(part.entry.record()).into_iter().for_each(|feature| present.set(feature));
        });
        trees.logits(present, logits);
        let unit = self.card().weight_unit;
        logits.iter_mut().zip(self.bias()).for_each(|(logit, bias)| *logit = *logit * unit + bias);
        tally
    }

    /// The bias of each class.
    fn bias(&self) -> &[f64] {
        self.overlay.as_ref().map_or(&self.card().bias, |overlay| &overlay.bias)
    }

    /// What the sum over the terms of a text is scaled by.
    fn length(&self, tokens: usize) -> f64 {
        if self.card().counting == Counting::Scaled { length_scale(tokens) } else { 1.0 }
    }

    /// Sum over classes of P(class) x value(class).
    fn score(&self, probabilities: &[f64]) -> Option<f64> {
        let values = &self.card().label_scores;
        let valued =
            || probabilities.iter().zip(values).filter_map(|(p, value)| value.map(|value| p * value));
        valued().next().map(|_| valued().sum())
    }

    /// Visits every known term of a text, and sums up what is not additive.
    fn walk(&self, text: &Tokenized, grams: &mut GramBuffer, visit: impl FnMut(Part<'_>)) -> Tally {
        let (base, grams) = (self.model.table, self.has_grams().then_some(grams));
        match self.overlay.as_ref().and_then(|overlay| Some((overlay, overlay.table()?))) {
            None => walk(text, grams, &base, visit),
            Some((overlay, table)) => walk(text, grams, &Laid { overlay, table, base }, visit),
        }
    }

    /// Visits the hash and the span of every known term of a text; its shape features.
    pub(crate) fn walk_known(
        &self,
        text: &Tokenized,
        grams: &mut GramBuffer,
        mut visit: impl FnMut(u64, usize, usize),
    ) -> [f64; SHAPES] {
        self.walk(text, grams, |part| visit(part.hash, part.first, part.last)).shape.features()
    }

    /// Whether the user's own terms alone brought a term: they add to what its character n-grams say.
    pub(crate) fn is_added(&self, hash: u64) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.is_added(hash))
    }

    /// Whether some of its terms may be character n-grams.
    fn has_grams(&self) -> bool {
        !self.card().no_grams
    }

    /// What the character n-grams of a word weigh together, one a class.
    pub(crate) fn by_grams(&self, form: &str, grams: &mut GramBuffer) -> Vec<f64> {
        let mut sums = vec![0; self.card().labels.len()];
        if self.has_grams() {
            terms::grams(form, grams, |hash| {
                self.entry(hash).iter().for_each(|entry| entry.add_to(&mut sums))
            });
        }
        sums.into_iter().map(|sum| to_float(sum) * self.card().weight_unit).collect()
    }

    /// Whether a term has a record.
    pub(crate) fn knows(&self, hash: u64) -> bool {
        self.entry(hash).is_some()
    }

    /// The record at a place, in the model's table or the one that lies over it.
    fn entry_at(&self, (address, length): (usize, usize)) -> Option<Entry<'_>> {
        let over = self.overlay.as_ref().and_then(Overlay::table);
        [Some(self.model.table), over].into_iter().flatten().find_map(|table| {
            let (bytes, _) = table.parts();
            let start = address.checked_sub(bytes.as_ptr().addr())?;
            bytes.get(start..)?.get(..length).map(Entry::of)
        })
    }

    /// The record of a term.
    fn entry(&self, hash: u64) -> Option<Entry<'_>> {
        let over = self.overlay.as_ref().and_then(Overlay::table);
        over.and_then(|over| over.get(hash)).or_else(|| self.model.table.get(hash))
    }
}

/// Where a record stands: its address and length. That says which record it is.
fn place(entry: Entry<'_>) -> (usize, usize) {
    (entry.record().as_ptr().addr(), entry.record().len())
}
