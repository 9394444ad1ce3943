//! A user's own lexicon: what `set_sentiment_term()` says of terms, as weights.

use super::Algorithm;
use super::lexicon::lexicon_value;
use crate::hash;
use crate::network;
use crate::terms;
use crate::text::{Text, Token, TokenKind, TokenMarks, Tokenized};
use crate::{Error, ErrorKind, Predictor, Result};
use serde::{Deserialize, Serialize};

/// Most tokens of a term.
const MOST_TOKENS: usize = 3;

/// What a term with a score of 1 adds to the logit of a class of value 1, before the text's length scale: a term that
/// stands alone decides, one among ten ordinary words tips the balance.
const STRENGTH: f64 = 6.0;

/// Most terms of a user's own that a model takes.
pub const MOST_OWN_TERMS: usize = 10_000;

/// A term with the score that the user gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OwnTerm {
    hash: u64,
    /// A single word, which may be negated.
    single: bool,
    /// The terms that this one begins with, which must say that it may follow.
    pub lefts: Vec<u64>,
    score: f32,
}

impl OwnTerm {
    /// Reads a term as the tokenizer does. Its score says what it speaks for, -1 to 1.
    ///
    /// # Errors
    /// As [`check`].
    #[allow(clippy::cast_possible_truncation, reason = "a user's score has two or three digits")]
    pub fn new(term: &str, score: f64) -> Result<Self> {
        check(term, score)?;
        let hashes = token_hashes(term);
        let mut lefts = joints(&hashes);
        let hash = lefts.pop().unwrap_or_default();
        Ok(Self { hash, single: hashes.len() == 1, lefts, score: score as f32 })
    }

    /// Reads all terms of a user's.
    ///
    /// # Errors
    /// As [`check`], `Limit` for too many, `Parameter` if no label has a value that they could speak for.
    pub fn all(terms: &[(String, f64)], label_scores: &[Option<f64>]) -> Result<Vec<Self>> {
        if terms.len() > MOST_OWN_TERMS {
            let message = format!("the model has more than {MOST_OWN_TERMS} terms of its user's own");
            return Err(Error::new(
                ErrorKind::Limit,
                message,
                "Take terms back with set_sentiment_term(model, term, NULL).",
            ));
        }
        if !terms.is_empty() {
            check_values(label_scores.iter().copied())?;
        }
        terms.iter().map(|(term, score)| Self::new(term, *score)).collect()
    }

    /// What it adds to each class's logit.
    pub fn weights(&self, label_scores: &[Option<f64>]) -> Vec<f64> {
        let most = label_scores.iter().flatten().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
        label_scores
            .iter()
            .map(|value| STRENGTH * f64::from(self.score) * value.unwrap_or(0.0) / most)
            .collect()
    }

    /// The table entries that it adds to, and with what factor.
    pub fn entries(&self) -> impl Iterator<Item = (u64, f64)> {
        let negated = self.single.then(|| (hash::negated(self.hash), lexicon_value(1.0, true)));
        std::iter::once((self.hash, 1.0)).chain(negated)
    }
}

/// What a term is to the tokenizer: the same for all spellings that it reads alike, such as `Fine` and `FINE`.
pub fn key(term: &str) -> u64 {
    joints(&token_hashes(term)).pop().unwrap_or_default()
}

/// The terms of the first token, of the first two, and so on.
fn joints(hashes: &[u64]) -> Vec<u64> {
    let mut joints = Vec::new();
    for &next in hashes {
        joints.push(joints.last().map_or(next, |&before| hash::joint(before, next)));
    }
    joints
}

fn read(term: &str) -> Tokenized {
    let mut text = Tokenized::default();
    text.read(&Text::from(term));
    text
}

fn token_hashes(term: &str) -> Vec<u64> {
    let text = read(term);
    // A hashtag at the end is one word, whatever it is made up of. Before another word its own words stand between the two, as in
    // every text: a term without them would be found in none.
    let is_own = |token: &Token| !token.marks.has(TokenMarks::PART);
    let end = text.tokens().iter().rposition(is_own).map_or(0, |last| last + 1);
    text.tokens()[..end].iter().filter(|token| terms::has_unit(token)).map(|token| token.hash).collect()
}

/// Whether a model can take terms of its user's own.
///
/// # Errors
/// `Unsupported` for a forest and for a network, `Parameter` if no label has a value that they could speak for.
pub fn check_model(model: &Predictor<'_>) -> Result<()> {
    if model.algorithm() == Algorithm::RandomForest.name() {
        return Err(forest_takes_none());
    }
    if model.algorithm() == network::ALGORITHM {
        let message = "a convolutional network does not go on learning, and takes no terms of your own";
        return Err(Error::new(ErrorKind::Unsupported, message, "Train another algorithm under this name."));
    }
    check_values((0..model.labels().len()).map(|label| model.label_score(label)))
}

/// Why a forest takes none.
pub(super) fn forest_takes_none() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a random forest has no weights for terms of your own",
        "Train another algorithm, or take the terms back with set_sentiment_term(model, term, NULL).",
    )
}

fn check_values(label_scores: impl IntoIterator<Item = Option<f64>>) -> Result<()> {
    if label_scores.into_iter().flatten().any(|value| value != 0.0) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Parameter,
        "the model's labels have no values that a term could speak for",
        "Train with the option label_scores, or take the terms back with set_sentiment_term(model, term, NULL).",
    ))
}

/// Whether a term means itself: names of users, web addresses and numbers are each read as any other of their kind.
///
/// # Errors
/// `Parameter` if it does not.
pub fn check_kind(term: &str) -> Result<()> {
    let is_any = |token: &Token| matches!(token.kind, TokenKind::User | TokenKind::Url | TokenKind::Number);
    if read(term).tokens().iter().any(is_any) {
        let message = "a term must hold no user name, web address or number";
        return Err(Error::new(
            ErrorKind::Parameter,
            message,
            "All user names are read as one token, and so are all web addresses and all numbers.",
        ));
    }
    Ok(())
}

/// Whether a term and its score will do.
///
/// # Errors
/// `Parameter` for a term that is not one to three tokens, or a score that is not within -1 to 1.
pub fn check(term: &str, score: f64) -> Result<()> {
    let hint = "Give a word, an emoji, a hashtag or up to three words, and a score from -1 to 1.";
    if !(1..=MOST_TOKENS).contains(&token_hashes(term).len()) {
        return Err(Error::new(ErrorKind::Parameter, "a term must be one to three words", hint));
    }
    if !(-1.0..=1.0).contains(&score) {
        return Err(Error::new(ErrorKind::Parameter, "a term's score must be from -1 to 1", hint));
    }
    Ok(())
}
