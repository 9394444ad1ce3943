//! Words with a value of their own.

use super::vocabulary::TermMap;
use crate::text::{Text, Tokenized};

/// Words and emoticons with a value, about -4 (worst) to 4 (best).
#[derive(Debug, Default)]
pub struct Lexicon {
    values: TermMap<f64>,
    forms: Vec<(u64, String)>,
}

impl Lexicon {
    /// A lexicon of words or emoticons. Entries that the tokenizer does not read as one token are left out; of
    /// entries that read the same (`:)` and `:-)`), the first counts.
    pub fn new<'t>(entries: impl IntoIterator<Item = (&'t str, f64)>) -> Self {
        let mut lexicon = Self::default();
        let mut text = Tokenized::default();
        for (entry, value) in entries {
            text.read(&Text::from(entry));
            if let [token] = text.tokens() {
                lexicon.values.entry(token.hash).or_insert_with(|| {
                    lexicon.forms.push((token.hash, text.form(token).to_owned()));
                    value
                });
            }
        }
        lexicon
    }

    /// The lexicon in the form in which it ships: a line an entry, the word, a tab, its value. What is no such line is
    /// left out.
    pub fn parse(lines: &str) -> Self {
        let entries = lines.lines().filter_map(|line| line.split_once('\t'));
        Self::new(entries.filter_map(|(word, value)| Some((word, value.parse().ok()?))))
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.forms.len()
    }

    /// The value of a token's hash; 0 if it has none.
    pub(super) fn value(&self, hash: u64) -> f64 {
        self.values.get(&hash).copied().unwrap_or(0.0)
    }

    /// Token hashes and their values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = (u64, f64)> + Clone {
        self.values.iter().map(|(&hash, &value)| (hash, value))
    }

    /// Token hashes and forms, in the order of the entries.
    pub(super) fn forms(&self) -> impl Iterator<Item = (u64, &str)> + Clone {
        self.forms.iter().map(|(hash, form)| (*hash, form.as_str()))
    }
}

/// A word's lexicon value under negation: turned and dampened, as measured for VADER (Hutto and Gilbert 2014).
pub(crate) fn lexicon_value(value: f64, negated: bool) -> f64 {
    if negated { value * -0.74 } else { value }
}
