//! Going on learning: new examples in, a small delta out. It costs what the examples cost, not what the model costs.

use crate::compaction::compact;
use crate::delta::{Delta, TermValues};
use crate::model::{Counting, Learning, Model, OwnReading, TermCounts, damaged};
use crate::predictor::{self, OverlayEntry, Predictor, length_scale, softmax};
use crate::shape::SHAPES;
use crate::terms::{self, GramBuffer};
use crate::text::{Text, Tokenized};
use crate::train::{OwnTerm, TermMap, Totals, Watch};
use crate::{Error, ErrorKind, Result};
use linfa::dataset::{DatasetBase, Records};
use linfa::traits::FitWith;
use ndarray::Array1;
use std::cell::RefCell;

/// A labelled text to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'t> {
    /// The text, UTF-8 that may be broken.
    pub text: &'t [u8],
    /// Its label: one of the model's.
    pub label: &'t str,
}

/// A part of the refreshed model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshedPart {
    /// One that there was, by its place: 0 is the base, deltas follow.
    Kept(usize),
    /// A new one.
    New(Vec<u8>),
}

/// What a refresh came to.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// The parts of the model now, the base first, then deltas, oldest first; `None` if nothing has changed.
    pub parts: Option<Vec<RefreshedPart>>,
    /// Lessons learned.
    pub rows_used: u64,
    /// Lessons with nothing to learn: no text, or a label that the model does not have.
    pub rows_skipped: u64,
    /// Rows that the model has been trained on now, refreshes included.
    pub rows_train: u64,
    /// Terms that the model holds now.
    pub terms: u64,
}

/// How large deltas may become together before they are taken into their base. Each reader takes all of them in after each
/// refresh, and a new base costs what the model is large: the mean of both is least near the root of their product.
fn compact_from(base: usize) -> usize {
    base.saturating_mul(1 << 20).isqrt().max(1 << 18)
}

/// Deltas are not merged beyond so many bytes: what one refresh writes stays bounded.
const MERGE_AT_MOST: usize = 1 << 19;

/// How often the lessons of one refresh are gone through by gradient steps.
const ROUNDS: usize = 5;

/// Learns from lessons, and takes the user's own terms as they are now; without any, the model keeps those that it has.
///
/// # Errors
/// `Unsupported` for a model that cannot go on learning, such as a forest; as [`Predictor::open_parts`] for the parts; as
/// training for the user's terms; what `watch` returns.
pub fn refresh(
    base: &[u8],
    deltas: &[&[u8]],
    lessons: &[Lesson<'_>],
    own_terms: Option<&[(String, f64)]>,
    watch: &mut dyn Watch,
) -> Result<Refreshed> {
    let mut model = Model::open(base)?;
    let mut opened = Delta::open_all(deltas, model.checksum)?;
    let (earlier, reading) = predictor::own_terms(&model, opened.as_ref());
    let earlier = earlier.to_vec();
    // What is made now reads them as this library does, whichever made the parts.
    model.own_reading = OwnReading::Added;
    opened.iter_mut().for_each(|delta| delta.own_reading = OwnReading::Added);
    let size = base.len() + deltas.iter().map(|delta| delta.len()).sum::<usize>();
    let predictor = Predictor::merged(model.clone(), opened.as_ref(), size)?;
    let before = opened.unwrap_or_default();
    if model.card.learning == Learning::No {
        let hint = "Train it again with train_sentiment().";
        let message = format!("a model of algorithm {} does not go on learning", model.card.algorithm);
        return Err(Error::new(ErrorKind::Unsupported, message, hint));
    }
    let own_terms = match own_terms {
        Some(terms) => OwnTerm::all(terms, &model.card.label_scores)?,
        None => earlier.clone(),
    };
    let changed = own_terms != earlier;
    let pupil = Pupil { predictor: &predictor, model: &model, watch: RefCell::new(watch) };
    let tasks = pupil.prepare(lessons)?;
    let rows_used = tasks.nsamples() as u64;
    let rows_skipped = lessons.len() as u64 - rows_used;
    let (rows_train, terms) = (predictor.rows_train() + rows_used, predictor.terms());
    let unchanged = Refreshed { parts: None, rows_used, rows_skipped, rows_train, terms };
    if rows_used == 0 && !changed {
        return Ok(unchanged);
    }
    let mut delta = pupil.fit_with(&before, &tasks)?;
    delta.rows = before.rows + rows_used;
    delta.own_terms = (changed || reading == OwnReading::Instead).then_some(own_terms);
    let new_terms = delta.terms.iter().filter(|(hash, _)| !predictor.knows(*hash)).count() as u64;
    let mut parts = append(deltas, delta.clone(), model.checksum)?;
    let size = |part: &RefreshedPart| match part {
        RefreshedPart::Kept(at) => deltas.get(at - 1).map_or(0, |bytes| bytes.len()),
        RefreshedPart::New(bytes) => bytes.len(),
    };
    if parts.iter().map(size).sum::<usize>() > compact_from(base.len())
        && let Some((base, terms)) = compact(base, &before.followed_by(delta), *pupil.watch.borrow_mut())?
    {
        return Ok(Refreshed { parts: Some(vec![RefreshedPart::New(base)]), terms, ..unchanged });
    }
    parts.insert(0, RefreshedPart::Kept(0));
    Ok(Refreshed { parts: Some(parts), terms: terms + new_terms, ..unchanged })
}

/// Appends a delta. One that is not much larger than the newer ones is merged with them: there are never more deltas than
/// the logarithm of what was learned, and each byte is written that often.
fn append(deltas: &[&[u8]], delta: Delta, base: u32) -> Result<Vec<RefreshedPart>> {
    let mut bytes = delta.write(base)?;
    let mut delta = delta;
    let mut kept = deltas.len();
    while kept > 0
        && deltas[kept - 1].len() <= 2 * bytes.len()
        && deltas[kept - 1].len() + bytes.len() <= MERGE_AT_MOST
    {
        kept -= 1;
        delta = Delta::open(deltas[kept], base)?.followed_by(delta);
        bytes = delta.write(base)?;
    }
    Ok((1..=kept).map(RefreshedPart::Kept).chain([RefreshedPart::New(bytes)]).collect())
}

/// A lesson that is understood: its terms and what does not change.
struct Task {
    /// Terms by their hash, as often as they occur, with the square of the sort's scale.
    terms: Vec<(u64, f64)>,
    shape: [f64; SHAPES],
    tokens: usize,
    /// Words that the model does not know, with what it makes of them by their character n-grams.
    starts: Vec<(u64, Vec<f64>)>,
}

/// Lessons as linfa takes records.
struct Tasks(Vec<Task>);

impl Records for Tasks {
    type Elem = f64;

    fn nsamples(&self) -> usize {
        self.0.len()
    }

    fn nfeatures(&self) -> usize {
        self.0.iter().map(|task| task.terms.len()).sum()
    }
}

/// Lessons with the classes of their labels.
type Labelled = DatasetBase<Tasks, Array1<usize>>;

/// What learns.
struct Pupil<'p> {
    predictor: &'p Predictor<'p>,
    model: &'p Model<'p>,
    watch: RefCell<&'p mut dyn Watch>,
}

impl<'d> FitWith<'d, Tasks, Array1<usize>, Error> for Pupil<'_> {
    type ObjectIn = &'d Delta;
    type ObjectOut = Delta;

    /// What the lessons change, after what earlier ones have changed.
    fn fit_with(&self, before: &'d Delta, lessons: &Labelled) -> Result<Delta> {
        match &self.model.card.learning {
            Learning::NaiveBayes { .. } => self.count(before, lessons),
            _ => self.step(before, lessons),
        }
    }
}

impl Pupil<'_> {
    /// Reads the lessons. Words that the model does not know are learned; new pairs of words are not, for one occurrence
    /// says nothing of them.
    fn prepare(&self, lessons: &[Lesson<'_>]) -> Result<Labelled> {
        let (mut text, mut grams) = (Tokenized::default(), GramBuffer::default());
        let (mut tasks, mut classes) = (Vec::new(), Vec::new());
        for (at, lesson) in lessons.iter().enumerate() {
            self.watch.borrow_mut().step("reading", at, lessons.len())?;
            text.read(&Text::new(lesson.text));
            let class = self.model.card.labels.iter().position(|label| label == lesson.label);
            if let Some(class) = class.filter(|_| !text.tokens().is_empty()) {
                tasks.push(self.task(&text, &mut grams));
                classes.push(class);
            }
        }
        Ok(DatasetBase::new(Tasks(tasks), classes.into()))
    }

    fn task(&self, text: &Tokenized, grams: &mut GramBuffer) -> Task {
        let (mut terms, mut starts) = (Vec::new(), Vec::new());
        let shape = self.predictor.walk_known(text, grams, |hash, first, last| {
            let scale = [1.0, 0.7, 0.5][(last - first).min(2)];
            // The character n-grams of an unknown word are left to the word, which is learned below.
            // So is what the user's own terms alone know of one.
            let is_unit = hash == terms::unit(&text.tokens()[first]) && !self.predictor.is_added(hash);
            if last > first || is_unit {
                terms.push((hash, scale * scale));
            }
        });
        for token in text.tokens().iter().filter(|token| terms::has_unit(token)) {
            let unit = terms::unit(token);
            if !self.predictor.knows(unit) || self.predictor.is_added(unit) {
                terms.push((unit, 1.0));
                if terms::has_grams(token) {
                    starts.push((unit, self.predictor.by_grams(text.form(token), grams)));
                }
            }
        }
        if self.model.card.counting == Counting::Present {
            terms.sort_unstable_by_key(|term| term.0);
            terms.dedup_by_key(|term| term.0);
        }
        Task { terms, shape, tokens: text.tokens().len(), starts }
    }

    /// Naive Bayes: counts go up.
    fn count(&self, before: &Delta, lessons: &Labelled) -> Result<Delta> {
        let Learning::NaiveBayes { parameters, totals, temperature, .. } = &self.model.card.learning else {
            return Ok(Delta::default());
        };
        let classes = self.model.card.labels.len();
        let base = TermCounts::new(self.model.tail, classes)
            .ok_or_else(|| damaged("its counts do not hold together"))?;
        let mut totals: Totals = before.totals.as_ref().unwrap_or(totals).clone();
        let mut counts: TermMap<Vec<f64>> = TermMap::default();
        for (task, &class) in lessons.records().0.iter().zip(lessons.targets()) {
            totals.texts[class] += 1.0;
            for &(hash, _) in &task.terms {
                let counts = counts.entry(hash).or_insert_with(|| {
                    let counts = earlier(before, hash).unwrap_or_else(|| base.get(hash));
                    totals.terms += if counts.iter().all(|count| *count == 0.0) { 1.0 } else { 0.0 };
                    counts
                });
                counts[class] += 1.0;
                totals.counts[class] += 1.0;
            }
        }
        let others = before.terms.iter().filter(|(hash, _)| !counts.contains_key(hash));
        let others = others.map(|(_, values)| values.iter().map(|value| f64::from(*value)).collect());
        let changed = |hash: &u64| counts.contains_key(hash) || before.terms.get(*hash).is_some();
        let wide = |counts: Vec<f32>| counts.into_iter().map(f64::from).collect();
        let untouched = base.iter().filter(|(hash, _)| !changed(hash)).map(|(_, counts)| wide(counts));
        let bias = parameters.bias(&totals, others.chain(counts.values().cloned()).chain(untouched));
        let bias = bias.iter().map(|bias| bias / temperature).collect();
        Ok(Delta {
            bias,
            totals: Some(totals),
            terms: TermValues::new(classes, counts.into_iter()),
            ..Delta::default()
        })
    }

    /// Logistic regression: steps against the gradient of each lesson's loss, some rounds.
    fn step(&self, before: &Delta, lessons: &Labelled) -> Result<Delta> {
        let card = &self.model.card;
        let Learning::Logistic { rate } = card.learning else { return Ok(Delta::default()) };
        let classes = card.labels.len();
        let mut weights: TermMap<Vec<f64>> = TermMap::default();
        let tasks = &lessons.records().0;
        weights.extend(tasks.iter().flat_map(|task| task.starts.iter().cloned()));
        let mut watch = self.watch.borrow_mut();
        let mut logits = vec![0.0; classes];
        for round in 0..ROUNDS {
            for (task, &class) in tasks.iter().zip(lessons.targets()) {
                watch.step("learning", round, ROUNDS)?;
                let length = length_scale(task.tokens);
                logits.fill(0.0);
                for &(hash, _) in &task.terms {
                    let weights = weights.entry(hash).or_insert_with(|| self.weights(before, hash));
                    logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += *weight);
                }
                logits.iter_mut().zip(&card.bias).for_each(|(logit, bias)| *logit = *logit * length + bias);
                for (feature, weights) in task.shape.iter().zip(card.shape_weights.chunks_exact(classes)) {
                    logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += feature * weight);
                }
                softmax(&mut logits);
                logits[class] -= 1.0;
                for &(hash, square) in &task.terms {
                    let step = rate * square * length;
                    let weights = weights.entry(hash).or_default().iter_mut().zip(&logits);
                    weights.for_each(|(weight, error)| *weight = (*weight - step * error).clamp(-1e3, 1e3));
                }
            }
        }
        Ok(Delta { terms: TermValues::new(classes, weights.into_iter()), ..Delta::default() })
    }

    /// What a term weighs now, the user's own terms left aside.
    fn weights(&self, before: &Delta, hash: u64) -> Vec<f64> {
        earlier(before, hash).unwrap_or_else(|| OverlayEntry::of(self.model, hash).weights)
    }
}

/// What earlier refreshes made of a term.
fn earlier(before: &Delta, hash: u64) -> Option<Vec<f64>> {
    Some(before.terms.get(hash)?.iter().map(|value| f64::from(*value)).collect())
}
