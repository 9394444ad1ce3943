//! Shape features: what a text's outline and its lexicon words say as a whole.
//!
//! Words add up, but some of what they say does not: the sum of lexicon values saturates, what follows a "but"
//! counts for more, shouting and exclamation marks strengthen. These few dozen numbers are computed once a text from
//! sums kept while its tokens are read. All are within -1 to 1.

use crate::text::known::{self, Known};
use crate::text::{Token, TokenKind, TokenMarks};
use std::hint::select_unpredictable;

/// How many shape features there are.
pub(crate) const SHAPES: usize = SOURCES.len();

/// What a feature is made of: an explanation gives it to the lexicon words, or shows it under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// All words with a lexicon value.
    Lexicon,
    /// Those whose value is above 0.
    Positive,
    /// Those whose value is below 0.
    Negative,
    /// The text as a whole.
    Text(&'static str),
}

impl Source {
    /// How much of the feature a word of this lexicon value accounts for, beside the other words.
    pub fn share(self, value: f64) -> f64 {
        match self {
            Self::Lexicon => value.abs(),
            Self::Positive => value.max(0.0),
            Self::Negative => (-value).max(0.0),
            Self::Text(_) => 0.0,
        }
    }
}

/// The source of each feature, in the order of [`Shape::features`].
pub(crate) const SOURCES: [Source; 26] = {
    use Source::{Lexicon, Negative, Positive, Text};
    [
        Lexicon,
        Positive,
        Negative,
        Positive,
        Negative,
        Lexicon,
        Lexicon,
        Lexicon,
        Lexicon,
        Lexicon,
        Positive,
        Negative,
        Lexicon,
        Text("(exclamation)"),
        Text("(question)"),
        Text("(exclaimed question)"),
        Text("(ellipsis)"),
        Text("(shouting)"),
        Text("(elongation)"),
        Text("(web address)"),
        Text("(user)"),
        Text("(hashtag)"),
        Text("(number)"),
        Text("(retweet)"),
        Text("(negation)"),
        Text("(length)"),
    ]
};

/// Sums over the tokens read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    tokens: u32,
    positive: f64,
    negative: f64,
    highest: f64,
    lowest: f64,
    last: f64,
    late: f64,
    after_turn: f64,
    before_turn: f64,
    turned: bool,
    /// Tokens of each form that is known beforehand.
    forms: [u32; Known::NUMBERS],
    /// Tokens of each kind.
    kinds: [u32; KINDS],
    /// Tokens with each of the marks that count, `LANE` bits each.
    marked: u64,
}

/// Wide enough for the tokens of any text.
const LANE: usize = 21;

/// What a token with a set of marks adds to those that are counted.
const MARKED: [u64; TokenMarks::NUMBERS] = {
    let mut marked = [0; TokenMarks::NUMBERS];
    let mut set = 0;
    while set < marked.len() {
        let mut lane = 0;
        while lane < COUNTED.len() {
            marked[set] |= ((set & COUNTED[lane].number() != 0) as u64) << (LANE * lane);
            lane += 1;
        }
        set += 1;
    }
    marked
};

/// The marks that count, in the order of their lanes.
const COUNTED: [TokenMarks; 3] = [TokenMarks::SHOUTED, TokenMarks::ELONGATED, TokenMarks::DENIES];

/// More than there are kinds of tokens.
const KINDS: usize = 16;

/// `value` squeezed into -1 to 1, steep at 0: VADER's normalisation (Hutto and Gilbert 2014).
fn squeeze(value: f64) -> f64 {
    value / (value * value + 15.0).sqrt()
}

/// A count squeezed into 0 to 1.
fn saturate(count: u32, half: f64) -> f64 {
    let count = f64::from(count);
    count / (count + half)
}

/// 1 for true.
fn indicator(condition: bool) -> f64 {
    select_unpredictable(condition, 1.0, 0.0)
}

impl Shape {
    /// Takes the next token and its lexicon value (0 if it has none; negation is in it already).
    pub fn add(&mut self, token: &Token, value: f64) {
        self.note(token);
        if Self::minds(token, value != 0.0) {
            self.weigh(self.tokens, token, value);
        }
    }

    /// Takes the next token, its lexicon value apart. All tokens go the same way, for what comes next cannot be foreseen.
    #[inline]
    pub fn note(&mut self, token: &Token) {
        self.tokens += 1;
        self.forms[usize::from(token.known) % Known::NUMBERS] += 1;
        self.kinds[token.kind as usize % KINDS] += 1;
        self.marked += MARKED[token.marks.number()];
    }

    /// Whether a token has to be weighed besides: it has a lexicon value or parts those that have.
    #[inline]
    pub fn minds(token: &Token, has_value: bool) -> bool {
        has_value | token.marks.has(TokenMarks::BUT)
    }

    /// Weighs the token that is the `number`-th, counted from 1, and has this lexicon value.
    #[inline]
    pub fn weigh(&mut self, number: u32, token: &Token, value: f64) {
        let value = select_unpredictable(token.marks.has(TokenMarks::REPEATED), 0.0, value);
        self.positive += if value > 0.0 { value } else { 0.0 };
        self.negative -= if value < 0.0 { value } else { 0.0 };
        self.highest = if value > self.highest { value } else { self.highest };
        self.lowest = if value < self.lowest { value } else { self.lowest };
        self.last = select_unpredictable(value == 0.0, self.last, value);
        self.late += value * f64::from(number);
        self.after_turn += value;
        if token.marks.has(TokenMarks::BUT) {
            self.before_turn += std::mem::take(&mut self.after_turn);
            self.turned = true;
        }
    }

    /// How many tokens have each of the marks in `COUNTED`.
    fn marked(&self) -> [u32; COUNTED.len()] {
        std::array::from_fn(|lane| {
            let count = self.marked >> (LANE * lane) & ((1 << LANE) - 1);
            u32::try_from(count).unwrap_or(u32::MAX)
        })
    }

    fn of_kind(&self, kind: TokenKind) -> u32 {
        self.kinds[kind as usize % KINDS]
    }

    /// How often a form occurs.
    fn count(&self, form: Known) -> u32 {
        self.forms[usize::from(form.number)]
    }

    /// The features. Only sums, quotients and square roots: the same bits on every platform.
    pub fn features(&self) -> [f64; SHAPES] {
        let tokens = f64::from(self.tokens.max(1));
        let sum = self.positive - self.negative;
        let exclamations = self.count(known::EXCLAMATION)
            + 2 * self.count(known::TWO_EXCLAMATIONS)
            + 3 * self.count(known::EXCLAMATIONS);
        let [shouted, elongated, negations] = self.marked();
        let questions = self.count(known::QUESTION) + 2 * self.count(known::QUESTIONS);
        [
            squeeze(sum),
            self.positive / (self.positive + 4.0),
            self.negative / (self.negative + 4.0),
            self.highest / 4.0,
            self.lowest / 4.0,
            self.last / 4.0,
            sum / tokens / 4.0,
            squeeze(self.late / tokens),
            indicator(self.turned) * squeeze(self.after_turn),
            indicator(self.turned) * squeeze(self.before_turn),
            indicator(self.positive > 0.0),
            indicator(self.negative > 0.0),
            indicator(self.positive > 0.0 && self.negative > 0.0),
            saturate(exclamations, 1.0),
            saturate(questions, 1.0),
            indicator(self.count(known::EXCLAIMED_QUESTION) > 0),
            saturate(self.count(known::DOTS), 1.0),
            f64::from(shouted) / f64::from(self.of_kind(TokenKind::Word).max(1)),
            saturate(elongated, 1.0),
            saturate(self.count(known::URL), 1.0),
            saturate(self.count(known::USER), 1.0),
            saturate(self.of_kind(TokenKind::Hashtag), 1.0),
            saturate(self.of_kind(TokenKind::Number), 1.0),
            indicator(self.count(known::RETWEET) > 0),
            saturate(negations, 1.0),
            tokens / (tokens + 10.0),
        ]
    }
}
