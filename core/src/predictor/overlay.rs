//! What lies over a model's table: terms learned since it was written, and the user's own.

use super::walk::Known;
use crate::Result;
use crate::delta::Delta;
use crate::model::{Entry, EntryDraft, LARGEST_WEIGHT, Learning, Model, OwnReading, Table, TableWriter};
use crate::train::{MAX_LABELS, NaiveBayes, OwnTerm, TermMap, Totals};

/// A small table that is asked before the model's, and what else has changed.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    /// A table in the form of the model's.
    bytes: Vec<u8>,
    buckets: usize,
    classes: usize,
    /// One a class.
    pub bias: Vec<f64>,
    /// What every known term adds to each class, beside its weights; may be empty.
    pub term_shift: Vec<f64>,
    /// Examples learned from since the model was written.
    pub rows: u64,
    /// Terms that the model's own table does not have.
    pub new_terms: u64,
    /// Those of them that the user's own terms alone brought, sorted: what is known of them adds to what a word that is not
    /// known is read by.
    added: Vec<u64>,
}

impl Overlay {
    /// The overlay of a model, if there is anything to lay over it.
    pub fn new(model: &Model<'_>, delta: Option<&Delta>) -> Result<Option<Self>> {
        let card = &model.card;
        let classes = card.labels.len();
        if let Some(delta) = delta {
            delta.check(classes)?;
        }
        let (own_terms, own_reading) = own_terms(model, delta);
        let shift = term_shift(model, delta);
        if delta.is_none() && own_terms.is_empty() && shift.is_empty() {
            return Ok(None);
        }
        let own = own_entries(model, own_terms);
        let mut table = TableWriter::new(delta.map_or(0, |delta| delta.terms.len()) + own.len(), classes);
        let (mut new_terms, mut draft, mut added) = (0, EntryDraft::default(), Vec::new());
        each_entry(model, delta, &own, |hash, entry| {
            entry.draft(hash, card.weight_unit, &mut draft);
            let slot = table.put(&draft);
            match entry.origin {
                Origin::Model => {}
                Origin::Delta => new_terms += 1,
                Origin::User if own_reading == OwnReading::Instead => new_terms += 1,
                // That a longer term begins with it says nothing of the term itself.
                Origin::User if draft.weights.iter().all(|weight| *weight == 0) => table.hide(slot),
                Origin::User => {
                    new_terms += 1;
                    added.push(hash);
                }
            }
        });
        added.sort_unstable();
        let (bytes, buckets) = table.finish();
        let bias = bias(model, delta);
        let rows = delta.map_or(0, |delta| delta.rows);
        Ok(Some(Self { bytes, buckets, classes, bias, term_shift: shift, rows, new_terms, added }))
    }

    /// The terms.
    pub fn table(&self) -> Option<Table<'_>> {
        Table::new(&self.bytes, self.buckets, self.classes)
    }

    /// Whether the user's own terms alone brought a term.
    pub fn is_added(&self, hash: u64) -> bool {
        self.added.binary_search(&hash).is_ok()
    }
}

/// An overlay and the table that it lies over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Laid<'t> {
    pub overlay: &'t Overlay,
    pub table: Table<'t>,
    pub base: Table<'t>,
}

impl<'t> Known<'t> for Laid<'t> {
    fn fetch(&self, hash: u64) {
        self.base.fetch(hash);
    }

    fn get(&self, hash: u64) -> Option<Entry<'t>> {
        self.table.get(hash).or_else(|| self.base.get(hash))
    }

    fn begins(&self, hash: u64) -> bool {
        self.table.begins(hash)
    }

    fn is_added(&self, hash: u64) -> bool {
        self.overlay.is_added(hash)
    }
}

/// Where a term comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The model's own table has it.
    #[default]
    Model,
    /// It was learned since the model was written.
    Delta,
    /// It is the user's, or a beginning of one that is.
    User,
}

/// A term's entry before it is rounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct OverlayEntry {
    pub weights: Vec<f64>,
    pub lexicon_value: f64,
    pub left: bool,
    pub origin: Origin,
    sums: Vec<i64>,
}

impl OverlayEntry {
    /// What the model says of a term now.
    pub fn of(model: &Model<'_>, hash: u64) -> Self {
        let mut entry = Self::default();
        entry.take(model, hash);
        entry
    }

    /// Takes what the model says of a term now, in the same buffers.
    pub fn take(&mut self, model: &Model<'_>, hash: u64) {
        self.sums.clear();
        self.sums.resize(model.card.labels.len(), 0);
        let entry = model.table.get(hash);
        entry.iter().for_each(|entry| entry.add_to(&mut self.sums));
        self.weights.clear();
        #[allow(clippy::cast_precision_loss)]
        self.weights.extend(self.sums.iter().map(|&sum| sum as f64 * model.card.weight_unit));
        self.lexicon_value = entry.map_or(0.0, |entry| entry.lexicon_value());
        self.left = entry.is_some_and(|entry| entry.is_left());
        self.origin = if entry.is_some() { Origin::Model } else { Origin::Delta };
    }

    /// Rounds it.
    #[allow(clippy::cast_possible_truncation)]
    pub fn draft(&self, hash: u64, unit: f64, draft: &mut EntryDraft) {
        let most = f64::from(LARGEST_WEIGHT);
        draft.hash = hash;
        draft.weights.clear();
        draft
            .weights
            .extend(self.weights.iter().map(|weight| (weight / unit).round().clamp(-most, most) as i32));
        draft.lexicon_value = self.lexicon_value;
        draft.left = self.left;
    }
}

/// The user's own terms as they are now, and how they are read.
pub(crate) fn own_terms<'t>(model: &'t Model<'_>, delta: Option<&'t Delta>) -> (&'t [OwnTerm], OwnReading) {
    match delta.and_then(|delta| Some((delta.own_terms.as_ref()?, delta.own_reading))) {
        Some((own_terms, reading)) => (own_terms, reading),
        None => (&model.card.own_terms, model.own_reading),
    }
}

/// What the user's own terms add to a term: to its weights, and whether a longer one begins with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnEntry {
    weights: Vec<f64>,
    left: bool,
}

/// The terms that the user's own change.
fn own_entries(model: &Model<'_>, own_terms: &[OwnTerm]) -> TermMap<OwnEntry> {
    let mut entries: TermMap<OwnEntry> = TermMap::default();
    let empty = || OwnEntry { weights: vec![0.0; model.card.labels.len()], left: false };
    for own in own_terms {
        for &left in &own.lefts {
            entries.entry(left).or_insert_with(empty).left = true;
        }
        let weights = own.weights(&model.card.label_scores);
        for (hash, factor) in own.entries() {
            let entry = entries.entry(hash).or_insert_with(empty);
            entry.weights.iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += factor * weight);
        }
    }
    entries
}

/// Visits the entry of each term that differs from the model's: by what a delta and the user say of it.
pub(crate) fn each_entry(
    model: &Model<'_>,
    delta: Option<&Delta>,
    own: &TermMap<OwnEntry>,
    mut visit: impl FnMut(u64, &OverlayEntry),
) {
    let mut entry = OverlayEntry::default();
    let add = |entry: &mut OverlayEntry, own: &OwnEntry| {
        entry.weights.iter_mut().zip(&own.weights).for_each(|(sum, weight)| *sum += weight);
        entry.left |= own.left;
    };
    let values_of = TermWeights::new(model, delta);
    for (hash, values) in delta.iter().flat_map(|delta| delta.terms.iter()) {
        entry.take(model, hash);
        values_of.put(values, &mut entry.weights);
        if let Some(own) = own.get(&hash) {
            add(&mut entry, own);
        }
        visit(hash, &entry);
    }
    for (&hash, own) in own {
        if delta.is_none_or(|delta| delta.terms.get(hash).is_none()) {
            entry.take(model, hash);
            if entry.origin == Origin::Delta {
                entry.origin = Origin::User;
            }
            add(&mut entry, own);
            visit(hash, &entry);
        }
    }
}

/// From a delta's values to weights: they are weights, or the counts of naive Bayes.
enum TermWeights<'w> {
    Weights,
    Counts { parameters: &'w NaiveBayes, now: &'w Totals, denominators: Vec<f64>, temperature: f64 },
}

impl<'w> TermWeights<'w> {
    fn new(model: &'w Model<'_>, delta: Option<&'w Delta>) -> Self {
        let Learning::NaiveBayes { parameters, reference, totals, temperature } = &model.card.learning else {
            return Self::Weights;
        };
        let now = delta.and_then(|delta| delta.totals.as_ref()).unwrap_or(totals);
        let denominators = parameters.denominators(reference);
        Self::Counts { parameters, now, denominators, temperature: *temperature }
    }

    fn put(&self, values: &[f32], weights: &mut [f64]) {
        match self {
            Self::Weights => {
                weights.iter_mut().zip(values).for_each(|(weight, value)| *weight = f64::from(*value));
            }
            Self::Counts { parameters, now, denominators, temperature } => {
                let mut counts = [0.0; MAX_LABELS];
                let counts = &mut counts[..values.len().min(MAX_LABELS)];
                counts.iter_mut().zip(values).for_each(|(count, value)| *count = f64::from(*value));
                parameters.term_weights(counts, now, denominators, *temperature, weights);
            }
        }
    }
}

/// What the growth of the counts since the table was written means for every term alike.
fn term_shift(model: &Model<'_>, delta: Option<&Delta>) -> Vec<f64> {
    let Learning::NaiveBayes { parameters, reference, totals, temperature, .. } = &model.card.learning else {
        return Vec::new();
    };
    let now = delta.and_then(|delta| delta.totals.as_ref()).unwrap_or(totals);
    if now == reference {
        return Vec::new();
    }
    let (then, now) = (parameters.denominators(reference), parameters.denominators(now));
    then.iter().zip(now).map(|(then, now)| (now - then) / temperature).collect()
}

fn bias(model: &Model<'_>, delta: Option<&Delta>) -> Vec<f64> {
    match delta {
        Some(delta) if !delta.bias.is_empty() => delta.bias.clone(),
        _ => model.card.bias.clone(),
    }
}
