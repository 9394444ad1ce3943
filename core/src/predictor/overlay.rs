//! What lies over a model's table: terms learned since it was written, and the user's own.

use crate::Result;
use crate::delta::Delta;
use crate::model::{self, EntryDraft, LARGEST_WEIGHT, Learning, Model, Table};
use crate::train::{OwnTerm, TermMap};

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
}

impl Overlay {
    /// The overlay of a model, if there is anything to lay over it.
    pub fn new(model: &Model<'_>, delta: Option<Delta>) -> Result<Option<Self>> {
        let card = &model.card;
        let classes = card.labels.len();
        if let Some(delta) = &delta {
            delta.check(classes)?;
        }
        let own_terms = delta.as_ref().and_then(|delta| delta.own_terms.as_ref()).unwrap_or(&card.own_terms);
        let shift = term_shift(model, delta.as_ref());
        if delta.is_none() && own_terms.is_empty() && shift.is_empty() {
            return Ok(None);
        }
        let entries = entries(model, delta.as_ref(), own_terms);
        let new_terms = entries.keys().filter(|hash| model.table.get(**hash).is_none()).count() as u64;
        let drafts = entries.into_iter().map(|(hash, entry)| entry.draft(hash, card.weight_unit)).collect();
        let (bytes, buckets) = model::write_table(drafts, classes);
        let bias = bias(model, delta.as_ref());
        let rows = delta.map_or(0, |delta| delta.rows);
        Ok(Some(Self { bytes, buckets, classes, bias, term_shift: shift, rows, new_terms }))
    }

    /// The terms.
    pub fn table(&self) -> Option<Table<'_>> {
        Table::new(&self.bytes, self.buckets, self.classes)
    }
}

/// A term's entry before it is rounded.
pub(crate) struct OverlayEntry {
    pub weights: Vec<f64>,
    pub lexicon_value: f64,
    pub left: bool,
}

impl OverlayEntry {
    /// What the model says of a term now.
    pub fn of(model: &Model<'_>, hash: u64) -> Self {
        let mut sums = vec![0; model.card.labels.len()];
        let entry = model.table.get(hash);
        entry.iter().for_each(|entry| entry.add_to(&mut sums));
        #[allow(clippy::cast_precision_loss)]
        let weights = sums.iter().map(|&sum| sum as f64 * model.card.weight_unit).collect();
        let lexicon_value = entry.map_or(0.0, |entry| entry.lexicon_value());
        Self { weights, lexicon_value, left: entry.is_some_and(|entry| entry.is_left()) }
    }

    #[allow(clippy::cast_possible_truncation)]
    pub fn draft(&self, hash: u64, unit: f64) -> EntryDraft {
        let most = f64::from(LARGEST_WEIGHT);
        let weight = |weight: &f64| (weight / unit).round().clamp(-most, most) as i32;
        let weights = self.weights.iter().map(weight).collect();
        EntryDraft { hash, weights, lexicon_value: self.lexicon_value, left: self.left }
    }
}

/// The entries of all terms that differ from the model's, with what a delta and the user say.
pub(crate) fn entries(
    model: &Model<'_>,
    delta: Option<&Delta>,
    own_terms: &[OwnTerm],
) -> TermMap<OverlayEntry> {
    let mut entries: TermMap<OverlayEntry> = TermMap::default();
    let totals = delta.and_then(|delta| delta.totals.as_ref());
    for term in delta.iter().flat_map(|delta| &delta.terms) {
        let mut entry = OverlayEntry::of(model, term.hash);
        let values: Vec<f64> = term.values.iter().map(|value| f64::from(*value)).collect();
        entry.weights = match &model.card.learning {
            Learning::NaiveBayes { parameters, reference, totals: then, temperature, .. } => {
                parameters.term_weights(&values, totals.unwrap_or(then), reference, *temperature)
            }
            _ => values,
        };
        entries.insert(term.hash, entry);
    }
    for own in own_terms {
        for &left in &own.lefts {
            entries.entry(left).or_insert_with(|| OverlayEntry::of(model, left)).left = true;
        }
        let weights = own.weights(&model.card.label_scores);
        for (hash, factor) in own.entries() {
            let entry = entries.entry(hash).or_insert_with(|| OverlayEntry::of(model, hash));
            entry.weights.iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += factor * weight);
        }
    }
    entries
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
