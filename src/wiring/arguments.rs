//! What a trigger's arguments say. Nothing in here knows the server: it is fuzzed without one.

use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// What a trigger can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The label, as text.
    Label,
    /// The score, as a number.
    Score,
    /// The model version that gave them, as text.
    Version,
}

/// The columns that are written where the arguments name none.
pub const DEFAULT_COLUMNS: [(Output, &CStr); 3] = [
    (Output::Label, c"sentiment"),
    (Output::Score, c"sentiment_score"),
    (Output::Version, c"sentiment_version"),
];

impl Output {
    /// The key of its trigger argument.
    pub fn key(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Score => "score",
            Self::Version => "version",
        }
    }
}

/// A trigger's arguments taken apart. Names are in the server's encoding, as the catalogs have them; `P` is a policy for rows
/// that cannot be scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments<P> {
    /// The column to read.
    pub text: CString,
    /// The columns to write; none for the default ones.
    pub outputs: Vec<(Output, CString)>,
    /// The model, if the trigger does not follow `sentiment.default_model`.
    pub model: Option<CString>,
    /// What to do with a row that cannot be scored, if not what `sentiment.on_error` says.
    pub on_error: Option<P>,
}

/// Why arguments cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// There is no first one.
    NoText,
    /// This one is not written `key=value`.
    Malformed(CString),
    /// This key is none.
    UnknownKey(String),
    /// This key was there before.
    RepeatedKey(String),
    /// This policy is none.
    UnknownPolicy(CString),
}

impl<P> Arguments<P> {
    /// Takes arguments apart: the text column first, then `key=value`. `policy` finds a policy by its name.
    pub fn parse<'a>(
        arguments: impl IntoIterator<Item = &'a CStr>,
        policy: impl Fn(&CStr) -> Option<P>,
    ) -> Result<Self, Mistake> {
        let mut arguments = arguments.into_iter();
        let text = arguments.next().ok_or(Mistake::NoText)?.to_owned();
        let mut parsed = Self { text, outputs: Vec::new(), model: None, on_error: None };
        for argument in arguments {
            parsed.set(argument, &policy)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, argument: &CStr, policy: impl Fn(&CStr) -> Option<P>) -> Result<(), Mistake> {
        let malformed = || Mistake::Malformed(argument.to_owned());
        let bytes = argument.to_bytes_with_nul();
        let equals = bytes.iter().position(|&byte| byte == b'=').ok_or_else(malformed)?;
        let value = CStr::from_bytes_with_nul(&bytes[equals + 1..]).map_err(|_| malformed())?.to_owned();
        let key = String::from_utf8_lossy(&bytes[..equals]);
        let output = DEFAULT_COLUMNS.map(|(output, _)| output).into_iter().find(|output| output.key() == key);
        let first = match (output, &*key) {
            (Some(output), _) => {
                let first = self.outputs.iter().all(|(known, _)| *known != output);
                self.outputs.push((output, value));
                first
            }
            (None, "model") => self.model.replace(value).is_none(),
            (None, "on_error") => {
                let policy = policy(&value).ok_or(Mistake::UnknownPolicy(value))?;
                self.on_error.replace(policy).is_none()
            }
            (None, _) => return Err(Mistake::UnknownKey(key.into_owned())),
        };
        if first { Ok(()) } else { Err(Mistake::RepeatedKey(key.into_owned())) }
    }

    /// Whether the two write a column in common, or read the same one.
    pub fn collides(&self, other: &Self) -> bool {
        self.text == other.text || self.columns().any(|column| other.columns().any(|taken| column == taken))
    }

    /// The columns that are written, or may be.
    pub fn columns(&self) -> impl Iterator<Item = &CStr> {
        self.written_to().map(|(_, name)| name)
    }

    /// The column that an output is written to, or may be.
    pub fn output(&self, output: Output) -> Option<&CStr> {
        self.written_to().find(|(written, _)| *written == output).map(|(_, name)| name)
    }

    fn written_to(&self) -> impl Iterator<Item = (Output, &CStr)> {
        let defaults = if self.outputs.is_empty() { &DEFAULT_COLUMNS[..] } else { &[] };
        self.outputs.iter().map(|(output, name)| (*output, name.as_c_str())).chain(defaults.iter().copied())
    }

    /// The arguments as they would be written; without the policy.
    pub fn written(&self) -> Vec<Cow<'_, CStr>> {
        let outputs = self.outputs.iter().map(|(output, name)| (output.key(), name));
        let model = self.model.iter().map(|name| ("model", name));
        let pair = |(key, value): (&str, &CString)| {
            let bytes = [key.as_bytes(), b"=", value.as_bytes()].concat();
            // The pieces are C strings and keys of ours: there is no zero byte in them.
            Cow::Owned(CString::new(bytes).unwrap_or_default())
        };
        std::iter::once(Cow::Borrowed(self.text.as_c_str())).chain(outputs.chain(model).map(pair)).collect()
    }
}
