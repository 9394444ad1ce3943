//! Taking deltas into their base: what many refreshes have learned becomes part of the table, and the deltas go.

use crate::Result;
use crate::delta::Delta;
use crate::model::{self, EntryDraft, Hashes, Learning, Model, TermCounts};
use crate::predictor::{OverlayEntry, each_entry};
use crate::train::{NaiveBayes, TermMap, Totals};

/// The most terms that a model grows to by learning; one that was trained with more keeps its number.
const MOST_TERMS: usize = 1 << 19;

/// A base with its deltas taken in. It answers as they did: to the bit for logistic regression, whose deltas hold weights
/// already; naive Bayes works its weights out anew from the counts. The bytes, and how many terms they hold; `None` for a model that does not know its terms' hashes.
///
/// # Errors
/// As opening the parts, which the caller has done; `Limit` for a model beyond 4 GiB.
pub(crate) fn compact(base: &[u8], delta: &Delta) -> Result<Option<(Vec<u8>, u64)>> {
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
    let counts = match &model.card.learning {
        Learning::NaiveBayes { parameters, totals, temperature, .. } => {
            let totals = delta.totals.as_ref().unwrap_or(totals);
            let counts = Recount { model: &model, parameters, totals, temperature: *temperature };
            let learning = Learning::NaiveBayes {
                parameters: parameters.clone(),
                reference: totals.clone(),
                totals: totals.clone(),
                temperature: *temperature,
            };
            let counted = counts.counts(delta);
            card.weight_unit = counts.weigh(&counted, &mut terms);
            card.learning = learning;
            counted
        }
        _ => {
            each_entry(&model, Some(delta), &TermMap::default(), |hash, entry| {
                entry.draft(hash, card.weight_unit, terms.entry(hash).or_default());
            });
            TermMap::default()
        }
    };
    let terms = heaviest(terms, most);
    card.terms = terms.len() as u64;
    let tail = write_counts(&counts, &terms);
    Ok(Some((model::write(&card, terms, Hashes::Kept, &tail)?, card.terms)))
}

/// The terms that weigh most, and all that others lean on: those that a longer term begins with or the lexicon has.
fn heaviest(terms: TermMap<EntryDraft>, most: usize) -> Vec<EntryDraft> {
    let mut terms: Vec<EntryDraft> = terms.into_values().collect();
    if terms.len() > most {
        let weight = |term: &EntryDraft| {
            let largest = term.weights.iter().map(|weight| weight.abs()).max().unwrap_or(0);
            if term.left || term.lexicon_value != 0.0 { i32::MAX } else { largest }
        };
        terms.sort_unstable_by_key(|term| (std::cmp::Reverse(weight(term)), term.hash));
        terms.truncate(most);
    }
    terms
}

/// The counts of the terms that are kept, as they follow a table; nothing where there are none.
fn write_counts(counts: &TermMap<Vec<f64>>, terms: &[EntryDraft]) -> Vec<u8> {
    if counts.is_empty() {
        return Vec::new();
    }
    let kept = terms.iter().filter_map(|term| Some((term.hash, counts.get(&term.hash)?)));
    let (hashes, counts): (Vec<u64>, Vec<&Vec<f64>>) = kept.unzip();
    model::write_counts(&hashes, &counts.into_iter().flatten().copied().collect::<Vec<_>>())
}

/// Naive Bayes weights from all counts there are now.
struct Recount<'r> {
    model: &'r Model<'r>,
    parameters: &'r NaiveBayes,
    totals: &'r Totals,
    temperature: f64,
}

impl Recount<'_> {
    /// The counts of every term: the base's, and over them the delta's.
    fn counts(&self, delta: &Delta) -> TermMap<Vec<f64>> {
        let base = TermCounts::new(self.model.tail, self.parameters.classes);
        let mut counts: TermMap<Vec<f64>> = base.iter().flat_map(TermCounts::iter).collect();
        let values = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
        counts.extend(delta.terms.iter().map(|(hash, counts)| (hash, values(counts))));
        counts
    }

    /// Puts the weights of all counted terms into the table; what one unit of them is worth.
    fn weigh(&self, counts: &TermMap<Vec<f64>>, terms: &mut TermMap<EntryDraft>) -> f64 {
        let denominators = self.parameters.denominators(self.totals);
        let weigh = |counts: &[f64]| {
            let mut weights = vec![0.0; self.parameters.classes];
            self.parameters.term_weights(counts, self.totals, &denominators, self.temperature, &mut weights);
            weights
        };
        let weights: TermMap<Vec<f64>> = counts.iter().map(|(&hash, counts)| (hash, weigh(counts))).collect();
        let largest = weights.values().flatten().fold(0.0_f64, |most, weight| most.max(weight.abs()));
        let unit = Hashes::Kept.unit(largest);
        for (hash, weights) in weights {
            let mut entry = OverlayEntry::of(self.model, hash);
            entry.weights = weights;
            entry.draft(hash, unit, terms.entry(hash).or_default());
        }
        unit
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
        let refreshed = refresh(base, &[], &lessons, &own_terms, &mut |_, _, _| Ok(())).unwrap();
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
            let (compacted, terms) = compact(&base, &opened).unwrap().unwrap();
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
        assert_eq!(kept.iter().map(|term| term.hash).collect::<Vec<_>>(), [2, 3, 4, 1]);
    }

    #[test]
    fn a_model_without_hashes_keeps_its_deltas() {
        let (_, _, english) = crate::shipped::all()[0];
        assert_eq!(compact(english, &Delta::default()).unwrap(), None);
    }
}
