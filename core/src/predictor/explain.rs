//! Why a text got its label, and what the tokenizer saw of it.

use super::{Part, Predictor, Scratch, place, to_float};
use crate::forest::{self, Present};
use crate::model::Counting;
use crate::shape::{SOURCES, Source};
use crate::terms;
use crate::text::{Text, Token, TokenKind, TokenMarks};
use std::collections::{BTreeMap, BTreeSet};

/// One term's part in the margin between the label and the runner-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// The term as read, a feature of the text as a whole in round brackets, or `(bias)`.
    pub term: String,
    /// Byte offset of its first token in the text; `None` for what belongs to the text as a whole.
    pub start: Option<usize>,
    /// Contribution to ln(P(label) / P(runner-up)).
    pub weight: f64,
    /// Index of the label it speaks for: the text's label if `weight` is positive, else the runner-up.
    pub toward: usize,
}

/// One token as the tokenizer saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenView {
    /// The token after normalisation.
    pub token: String,
    /// What it was taken for.
    pub kind: TokenKind,
    /// Whether it stands in the scope of a negation (SQL shows kind `negated`).
    pub negated: bool,
    /// Byte offset of its first byte in the text.
    pub start: usize,
    /// Whether the model has a weight for it.
    pub known: bool,
}

impl Predictor<'_> {
    /// Why a text got its label: every term's part, largest first, the bias last. The weights add up to
    /// ln(P(label) / P(runner-up)). What the lexicon says of the text as a whole is shared out among its words.
    /// Empty where there is nothing to score.
    pub fn explain(&self, text: Text<'_>, scratch: &mut Scratch) -> Vec<Reason> {
        let Some(reading) = self.read(text, scratch) else { return Vec::new() };
        let (label, runner_up) = (reading.label, runner_up(reading.probabilities, reading.label));
        if self.trees.is_some() {
            return self.explain_trees(label, runner_up, scratch);
        }
        let classes = reading.probabilities.len();
        let card = &self.model.card;
        let margin = |weights: &[f64]| weights[label] - weights[runner_up];
        let length = self.length(scratch.text.tokens().len());
        let unit = card.weight_unit * length;
        let shift = self.overlay.as_ref().map_or(&[][..], |overlay| &overlay.term_shift);
        let shift = if shift.is_empty() { 0.0 } else { margin(shift) * length };

        // The character n-grams of an unknown word are one reason: the word.
        let mut parts: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        let mut sums = vec![0; classes];
        let mut seen = BTreeSet::new();
        let tally = self.walk(&scratch.text, &mut scratch.grams, |Part { entry, first, last, .. }| {
            if card.counting == Counting::Present && !seen.insert(place(entry)) {
                return;
            }
            sums.fill(0);
            entry.add_to(&mut sums);
            let shift = if entry.weighs() { shift } else { 0.0 };
            *parts.entry((first, last)).or_default() +=
                unit * to_float(sums[label] - sums[runner_up]) + shift;
        });
        let tokens = scratch.text.tokens();
        if let Some(network) = &self.network {
            network.locate(&self.model.table, tokens, &mut scratch.network);
            network.explain(length, &mut scratch.network, |span, logits| {
                *parts.entry(span).or_default() += margin(logits);
            });
        }
        let words = self.lexicon_words(tokens);
        let mut reasons = Vec::new();
        let weights = card.shape_weights.chunks_exact(classes).map(margin);
        for ((source, feature), weight) in SOURCES.into_iter().zip(tally.shape.features()).zip(weights) {
            let total: f64 = words.iter().map(|&(_, value)| source.share(value)).sum();
            for &(at, value) in words.iter().filter(|_| total > 0.0) {
                *parts.entry((at, at)).or_default() += feature * weight * source.share(value) / total;
            }
            if let Source::Text(name) = source {
                reasons.push((name.to_owned(), None, feature * weight));
            }
        }
        reasons.extend(parts.into_iter().map(|(span, weight)| spanned(scratch, span, weight)));
        ranked(reasons, margin(self.bias()), label, runner_up)
    }

    /// Why trees gave a text its label: by how much the margin changes if a term is taken away. Terms that trees ask
    /// for together do not add up; the bias is what is left.
    fn explain_trees(&self, label: usize, runner_up: usize, scratch: &mut Scratch) -> Vec<Reason> {
        let Some(trees) = &self.trees else { return Vec::new() };
        let mut spans: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        self.walk(&scratch.text, &mut scratch.grams, |Part { entry, first, last, .. }| {
            if let Some(feature) = forest::feature_of(entry.record()) {
                spans.entry(feature).or_insert((first, last));
            }
        });
        let mut present = Present::default();
        present.clear(trees.features());
        spans.keys().for_each(|&feature| present.set(feature));
        let mut logits = vec![0.0; self.model.card.labels.len()];
        let bias = self.bias()[label] - self.bias()[runner_up];
        let mut margin = |present: &Present| {
            trees.logits(present, &mut logits);
            (logits[label] - logits[runner_up]) * self.model.card.weight_unit + bias
        };
        let whole = margin(&present);
        let mut reasons = Vec::new();
        let mut rest = whole;
        for (&feature, &span) in &spans {
            present.unset(feature);
            let weight = whole - margin(&present);
            present.set(feature);
            rest -= weight;
            reasons.push(spanned(scratch, span, weight));
        }
        ranked(reasons, rest, label, runner_up)
    }

    /// The tokens that have a lexicon value, by their index.
    fn lexicon_words(&self, tokens: &[Token]) -> Vec<(usize, f64)> {
        let spoken = tokens.iter().enumerate().filter(|(_, token)| terms::has_unit(token));
        let values = spoken.filter_map(|(at, token)| {
            let value = self.entry(terms::unit(token))?.lexicon_value();
            (value != 0.0).then_some((at, value))
        });
        values.collect()
    }

    /// The tokens of a text in order. Empty where there is nothing to score.
    pub fn tokens(&self, text: Text<'_>, scratch: &mut Scratch) -> Vec<TokenView> {
        scratch.text.read(&text);
        let view = |token: &Token| TokenView {
            token: scratch.text.form(token).to_owned(),
            kind: token.kind,
            negated: token.marks.has(TokenMarks::NEGATED),
            start: scratch.text.origin(token),
            known: self.entry(terms::unit(token)).is_some(),
        };
        scratch.text.tokens().iter().map(view).collect()
    }
}

/// A reason that some tokens give.
fn spanned(scratch: &Scratch, (first, last): (usize, usize), weight: f64) -> (String, Option<usize>, f64) {
    let tokens = scratch.text.tokens();
    let forms: Vec<&str> = tokens[first..=last].iter().map(|token| scratch.text.form(token)).collect();
    (forms.join(" "), Some(scratch.text.origin(&tokens[first])), weight)
}

/// Reasons by their weight, then the bias.
fn ranked(
    mut reasons: Vec<(String, Option<usize>, f64)>,
    bias: f64,
    label: usize,
    runner_up: usize,
) -> Vec<Reason> {
    reasons.retain(|&(_, _, weight)| weight != 0.0);
    reasons.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()).then(a.1.cmp(&b.1)));
    reasons.push(("(bias)".to_owned(), None, bias));
    let toward = |weight: f64| if weight < 0.0 { runner_up } else { label };
    let reason = |(term, start, weight)| Reason { term, start, weight, toward: toward(weight) };
    reasons.into_iter().map(reason).collect()
}

/// The most probable class beside `label`.
fn runner_up(probabilities: &[f64], label: usize) -> usize {
    let others = (0..probabilities.len()).filter(|&class| class != label);
    others.max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]).then(b.cmp(&a))).unwrap_or(label)
}
