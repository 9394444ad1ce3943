//! Forms that are known before any text is: what web addresses and names are read as, and punctuation.

use crate::hash;

/// All of them, one after another: the beginning of each text's forms.
pub(super) const FORMS: &str = "<url><user><rt>...,;:-?!!!??";

/// Where such a form stands among the forms, and its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub hash: u64,
    pub start: u32,
    pub end: u32,
}

impl Known {
    /// Finds a form among all of them while this is compiled.
    const fn new(form: &str) -> Self {
        let (all, form) = (FORMS.as_bytes(), form.as_bytes());
        let mut start = 0;
        loop {
            let mut same = 0;
            while same < form.len() && all[start + same] == form[same] {
                same += 1;
            }
            if same == form.len() {
                let (start, end) = (super::narrow(start), super::narrow(start + same));
                return Self { hash: hash::short_token(form), start, end };
            }
            start += 1;
        }
    }
}

pub(super) const URL: Known = Known::new("<url>");
pub(super) const USER: Known = Known::new("<user>");
pub(super) const RETWEET: Known = Known::new("<rt>");
pub(super) const DOT: Known = Known::new(".");
pub(super) const DOTS: Known = Known::new("...");
pub(super) const COMMA: Known = Known::new(",");
pub(super) const SEMICOLON: Known = Known::new(";");
pub(super) const COLON: Known = Known::new(":");
pub(super) const DASH: Known = Known::new("-");
pub(super) const QUESTION: Known = Known::new("?");
pub(super) const QUESTIONS: Known = Known::new("??");
pub(super) const EXCLAIMED_QUESTION: Known = Known::new("?!");
pub(super) const EXCLAMATION: Known = Known::new("!");
pub(super) const TWO_EXCLAMATIONS: Known = Known::new("!!");
pub(super) const EXCLAMATIONS: Known = Known::new("!!!");
