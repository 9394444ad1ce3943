//! Taking deltas into their base: what many refreshes have learned becomes part of the table, and the deltas go.

use crate::Result;
use crate::delta::Delta;
use crate::model::{self, EntryDraft, Hashes, Learning, Model, TermCounts};
use crate::predictor::{OverlayEntry, each_entry};
use crate::train::{NaiveBayes, TermMap, Totals, Watch};

/// The most terms that a model grows to by learning; one that was trained with more keeps its number.
const MOST_TERMS: usize = 1 << 19;

/// Terms between two looks at whoever watches.
const STRIDE: usize = 4096;

/// A base with its deltas taken in. It answers as they did: to the bit for logistic regression, whose deltas hold weights
/// already; naive Bayes works its weights out anew from the counts. The bytes, and how many terms they hold; `None` for a model
/// that does not know its terms' hashes.
///
/// # Errors
/// As opening the parts, which the caller has done; `Limit` for a model beyond 4 GiB; what `watch` returns.
pub(crate) fn compact(base: &[u8], delta: &Delta, watch: &mut dyn Watch) -> Result<Option<(Vec<u8>, u64)>> {
    let model = Model::open_unchecked(base)?;
    let Some(terms) = model.terms() else { return Ok(None) };
    let most = terms.len().max(MOST_TERMS);
    let mut card = model.card.clone();
    card.rows_train += delta.rows;
    if !delta.bias.is_empty() {
        card.bias.clone_from(&delta.bias);
    }
    if let Some(own_terms) = &delta.own_terms {
        card.own_terms.clone_from(own_terms);
    }
    let mut terms: TermMap<EntryDraft> = terms.into_iter().map(|term| (term.hash, term)).collect();
    let recount = Recount::new(&model, delta);
    if let Some(recount) = &recount {
        card.weight_unit = recount.weigh(&mut terms, watch)?;
        card.learning = recount.learning();
    } else {
        each_entry(&model, Some(delta), &TermMap::default(), |hash, entry| {
            entry.draft(hash, card.weight_unit, terms.entry(hash).or_default());
        });
    }
    let terms = heaviest(terms, most);
    card.terms = terms.len() as u64;
    let tail = recount.map(|recount| recount.write(&terms, watch)).transpose()?.unwrap_or_default();
    Ok(Some((model::write(&card, terms, Hashes::Kept, &tail, watch)?, card.terms)))
}

/// The terms that weigh most, and all that others lean on: those that a longer term begins with or the lexicon has. By
/// ascending hash.
fn heaviest(terms: TermMap<EntryDraft>, most: usize) -> Vec<EntryDraft> {
    let mut terms: Vec<EntryDraft> = terms.into_values().collect();
    if terms.len() > most {
        let weight = |term: &EntryDraft| {
            let largest = term.weights.iter().map(|weight| weight.abs()).max().unwrap_or(0);
            if term.left || term.lexicon_value != 0.0 { i32::MAX } else { largest }
        };
        terms.select_nth_unstable_by_key(most, |term| (std::cmp::Reverse(weight(term)), term.hash));
        terms.truncate(most);
    }
    terms.sort_unstable_by_key(|term| term.hash);
    terms
}

/// Naive Bayes weights from all counts there are now: the base's, and over them the delta's.
struct Recount<'r> {
    model: &'r Model<'r>,
    delta: &'r Delta,
    base: Option<TermCounts<'r>>,
    parameters: &'r NaiveBayes,
    totals: &'r Totals,
    temperature: f64,
}

impl<'r> Recount<'r> {
    /// That of a model, if it is one of naive Bayes.
    fn new(model: &'r Model<'r>, delta: &'r Delta) -> Option<Self> {
        let Learning::NaiveBayes { parameters, totals, temperature, .. } = &model.card.learning else {
            return None;
        };
        let totals = delta.totals.as_ref().unwrap_or(totals);
        let base = TermCounts::new(model.tail, parameters.classes);
        Some(Self { model, delta, base, parameters, totals, temperature: *temperature })
    }

    /// What the compacted model goes on learning from.
    fn learning(&self) -> Learning {
        Learning::NaiveBayes {
            parameters: self.parameters.clone(),
            reference: self.totals.clone(),
            totals: self.totals.clone(),
            temperature: self.temperature,
        }
    }

    /// Visits every counted term with its counts, by ascending hash.
    fn each(&self, watch: &mut dyn Watch, mut visit: impl FnMut(u64, &[f64])) -> Result<()> {
        let mut counts = Vec::new();
        let mut give = |hash, values: &[f32], number: usize| -> Result<()> {
            if number.is_multiple_of(STRIDE) {
                watch.step("compacting", 0, 1)?;
            }
            counts.clear();
            counts.extend(values.iter().map(|value| f64::from(*value)));
            visit(hash, &counts);
            Ok(())
        };
        let mut newer = self.delta.terms.iter().peekable();
        let mut number = 0;
        for (hash, older) in self.base.iter().flat_map(TermCounts::iter) {
            while let Some((new, values)) = newer.next_if(|(new, _)| *new < hash) {
                give(new, values, number)?;
                number += 1;
            }
            match newer.next_if(|(new, _)| *new == hash) {
                Some((_, values)) => give(hash, values, number)?,
                None => give(hash, &older, number)?,
            }
            number += 1;
        }
        newer.try_for_each(|(new, values)| give(new, values, 1))
    }

    /// Puts the weights of all counted terms into the table; what one unit of them is worth.
    fn weigh(&self, terms: &mut TermMap<EntryDraft>, watch: &mut dyn Watch) -> Result<f64> {
        let denominators = self.parameters.denominators(self.totals);
        let weigh = |counts: &[f64], weights: &mut [f64]| {
            self.parameters.term_weights(counts, self.totals, &denominators, self.temperature, weights);
        };
        let (mut weights, mut largest) = (vec![0.0; self.parameters.classes], 0.0_f64);
        self.each(watch, |_, counts| {
            weigh(counts, &mut weights);
            largest = weights.iter().fold(largest, |most, weight| most.max(weight.abs()));
        })?;
        let unit = Hashes::Kept.unit(largest);
        let mut entry = OverlayEntry::default();
        self.each(watch, |hash, counts| {
            entry.take(self.model, hash);
            weigh(counts, &mut entry.weights);
            entry.draft(hash, unit, terms.entry(hash).or_default());
        })?;
        Ok(unit)
    }

    /// The counts of the terms that are kept, as they follow a table.
    fn write(&self, terms: &[EntryDraft], watch: &mut dyn Watch) -> Result<Vec<u8>> {
        let (mut hashes, mut all) = (Vec::new(), Vec::new());
        let mut kept = terms.iter().map(|term| term.hash).peekable();
        self.each(watch, |hash, counts| {
            while kept.next_if(|kept| *kept < hash).is_some() {}
            if kept.peek() == Some(&hash) {
                hashes.push(hash);
                all.extend_from_slice(counts);
            }
        })?;
        Ok(model::write_counts(&hashes, &all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::{Lesson, RefreshedPart, refresh};
    use crate::train::{Algorithm, Corpus, Options, Training};
    use crate::{Predictor, Scratch, Text};

    fn base(options: &Options) -> Vec<u8> {
        let mut corpus = Corpus::new(1 << 24);
        for at in 0..90 {
            let (label, word) = [("negative", "awful"), ("positive", "lovely")][at % 2];
            corpus
                .add(format!("a {word} day number {} of not {}", at % 9, at % 4).as_bytes(), label)
                .unwrap();
        }
        let (lexicon, own_terms) = (None, &[("stellar".to_owned(), 1.0)][..]);
        let training = Training {
            name: "",
            version: 0,
            options,
            lexicon,
            own_terms,
            seed: 1,
            memory: 1 << 26,
            helpers: None,
            grows: true,
        };
        training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(())).unwrap().bytes
    }

    fn delta(base: &[u8]) -> Vec<u8> {
        let texts: Vec<String> =
            (0..50).map(|at| format!("brandnew{at} lovely day, not {}", at % 3)).collect();
        let lessons: Vec<Lesson<'_>> = (0..)
            .zip(&texts)
            .map(|(at, text)| Lesson { text: text.as_bytes(), label: ["negative", "positive"][at % 2] })
            .collect();
        let own_terms = [("stellar".to_owned(), -1.0), ("very good deal".to_owned(), 0.5)];
        let refreshed = refresh(base, &[], &lessons, Some(&own_terms), &mut |_, _, _| Ok(())).unwrap();
        match refreshed.parts.unwrap().pop() {
            Some(RefreshedPart::New(bytes)) => bytes,
            part => panic!("no new delta: {part:?}"),
        }
    }

    /// Not by a bit where deltas hold weights, by rounding where they hold counts.
    #[test]
    fn answers_do_not_change() {
        let bayes = |variant: &str| Options::defaults(Algorithm::NaiveBayes).with("variant", variant);
        let logistic = Options::defaults(Algorithm::LogisticRegression).with("lexicon", "english");
        for options in [bayes("multinomial"), bayes("complement"), bayes("bernoulli"), logistic] {
            let base = base(&options);
            let delta = delta(&base);
            let model = Model::open(&base).unwrap();
            let opened = Delta::open(&delta, model.checksum).unwrap();
            let (compacted, terms) = compact(&base, &opened, &mut |_, _, _| Ok(())).unwrap().unwrap();
            let (one, two) =
                (Predictor::open_parts(&base, &[&delta]).unwrap(), Predictor::open(&compacted).unwrap());
            assert_eq!(one.rows_train(), two.rows_train());
            // Terms that weighed nothing may weigh something now; the user's own are laid over what was written.
            assert!(one.terms() <= two.terms() && terms < two.terms());
            let mut scratch = (Scratch::default(), Scratch::default());
            for text in [
                "lovely",
                "brandnew7 day",
                "a stellar brandnew8",
                "it is a very good deal",
                "not awful number",
                "unheard",
            ] {
                let one = one.read(Text::from(text), &mut scratch.0).unwrap();
                let two = two.read(Text::from(text), &mut scratch.1).unwrap();
                if options.algorithm() == Algorithm::LogisticRegression {
                    assert_eq!(one.probabilities, two.probabilities, "{text}");
                }
                assert!(
                    (one.probabilities[0] - two.probabilities[0]).abs() < 0.01,
                    "{text}: {one:?} {two:?} {options:?}"
                );
            }
        }
    }

    #[test]
    fn what_weighs_least_goes_first() {
        let term =
            |hash, weight, left| EntryDraft { hash, weights: vec![weight, 0], left, ..EntryDraft::default() };
        let terms =
            [term(1, 5, false), term(2, 0, true), term(3, -9, false), term(4, 7, false), term(5, 5, false)];
        let kept = heaviest(terms.into_iter().map(|term| (term.hash, term)).collect(), 4);
        assert_eq!(kept.iter().map(|term| term.hash).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_model_without_hashes_keeps_its_deltas() {
        let (_, _, english) = crate::shipped::all()[0];
        assert_eq!(compact(english, &Delta::default(), &mut |_, _, _| Ok(())).unwrap(), None);
    }
}
