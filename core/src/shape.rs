//! Shape features: what a text's outline and its lexicon words say as a whole.
//!
//! Words add up, but some of what they say does not: the sum of lexicon values saturates, what follows a "but"
//! counts for more, shouting and exclamation marks strengthen. These few dozen numbers are computed once a text from
//! sums kept while its tokens are read. All are within -1 to 1.

use crate::text::{Token, TokenKind, TokenMarks};

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
    words: u32,
    positive: f64,
    negative: f64,
    highest: f64,
    lowest: f64,
    last: f64,
    late: f64,
    after_turn: f64,
    before_turn: f64,
    turned: bool,
    exclamations: u32,
    questions: u32,
    exclaimed_questions: u32,
    ellipses: u32,
    shouted: u32,
    elongated: u32,
    urls: u32,
    users: u32,
    hashtags: u32,
    numbers: u32,
    retweets: u32,
    negations: u32,
}

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
    f64::from(u8::from(condition))
}

impl Shape {
    /// Takes the next token and its lexicon value (0 if it has none; negation is in it already).
    /// `form` is asked for where it matters.
    #[inline]
    pub fn add<'f>(&mut self, token: &Token, form: impl FnOnce() -> &'f str, value: f64) {
        self.tokens += 1;
        if value != 0.0 && !token.marks.has(TokenMarks::REPEATED) {
            self.weigh(value);
        }
        match token.kind {
            TokenKind::Word => self.add_word(token),
            TokenKind::Punctuation => match form() {
                "!" => self.exclamations += 1,
                "!!" => self.exclamations += 2,
                "!!!" => self.exclamations += 3,
                "?" => self.questions += 1,
                "??" => self.questions += 2,
                "?!" => self.exclaimed_questions += 1,
                "..." => self.ellipses += 1,
                _ => {}
            },
            TokenKind::Url => self.urls += 1,
            TokenKind::User => self.users += 1,
            TokenKind::Hashtag => self.hashtags += 1,
            TokenKind::Number => self.numbers += 1,
            TokenKind::Retweet => self.retweets += 1,
            _ => {}
        }
    }

    fn add_word(&mut self, token: &Token) {
        self.words += 1;
        self.shouted += u32::from(token.marks.has(TokenMarks::SHOUTED));
        self.elongated += u32::from(token.marks.has(TokenMarks::ELONGATED));
        if token.marks.has(TokenMarks::BUT) {
            self.before_turn += std::mem::take(&mut self.after_turn);
            self.turned = true;
        } else {
            self.negations += u32::from(token.marks.has(TokenMarks::DENIES));
        }
    }

    fn weigh(&mut self, value: f64) {
        if value > 0.0 {
            self.positive += value;
        } else {
            self.negative -= value;
        }
        self.highest = self.highest.max(value);
        self.lowest = self.lowest.min(value);
        self.last = value;
        self.late += value * f64::from(self.tokens);
        self.after_turn += value;
    }

    /// The features. Only sums, quotients and square roots: the same bits on every platform.
    pub fn features(&self) -> [f64; SHAPES] {
        let tokens = f64::from(self.tokens.max(1));
        let sum = self.positive - self.negative;
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
            saturate(self.exclamations, 1.0),
            saturate(self.questions, 1.0),
            indicator(self.exclaimed_questions > 0),
            saturate(self.ellipses, 1.0),
            f64::from(self.shouted) / f64::from(self.words.max(1)),
            saturate(self.elongated, 1.0),
            saturate(self.urls, 1.0),
            saturate(self.users, 1.0),
            saturate(self.hashtags, 1.0),
            saturate(self.numbers, 1.0),
            indicator(self.retweets > 0),
            saturate(self.negations, 1.0),
            tokens / (tokens + 10.0),
        ]
    }
}
