//! The lexicon of the shipped English model: VADER's values (Hutto and Gilbert 2014, MIT licence, through the crate
//! that carries them) for words and emoticons, this project's own for emoji.

use crate::emoji;
use std::collections::BTreeSet;
use vader_sentimental::SentimentIntensityAnalyzer;

/// Emoticon families, as the tokenizer names them.
const EMOTICONS: &[&str] = &[
    ":)", ":(", ":D", ";)", ":P", ":/", "<3", "</3", ":'(", ":')", ":*", ":|", ":O", ">:(", "^_^", "-_-",
    ":3",
];

/// VADER's constant of normalisation: compound = value / sqrt(value^2 + ALPHA).
const ALPHA: f64 = 15.0;

/// The lexicon for the words of some texts, a line an entry: word, tab, value. The crate answers for a word, it does not
/// list its words.
pub fn of_words<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut words: BTreeSet<String> = EMOTICONS.iter().map(|&emoticon| emoticon.to_owned()).collect();
    for text in texts {
        let parts = text.split(|c: char| !c.is_ascii_alphabetic());
        words.extend(parts.filter(|word| (2..=24).contains(&word.len())).map(str::to_ascii_lowercase));
    }
    let vader = SentimentIntensityAnalyzer::new();
    let value = |word: &str| {
        let compound = vader.polarity_scores(word).compound;
        compound * (ALPHA / (1.0 - compound * compound)).sqrt()
    };
    let mut entries: Vec<(&str, f64)> = words.iter().map(|word| (word.as_str(), value(word))).collect();
    entries.retain(|&(_, value)| value != 0.0);
    for (emoji, value) in emoji::values() {
        entries.push((emoji, value));
    }
    entries.iter().map(|(entry, value)| format!("{entry}\t{value:.2}\n")).collect()
}
