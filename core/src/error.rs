//! One error type for the whole core: an opaque message with a kind that the border maps to a SQLSTATE.

use std::fmt;

/// What sort of thing went wrong. The border maps each kind to exactly one SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Model bytes are damaged, cut short or not a model (SQLSTATE XX001).
    Damaged,
    /// Model bytes are whole but of a format or tokenizer this library does not read (SQLSTATE 0A000).
    Unsupported,
    /// A parameter is out of its range (SQLSTATE 22023).
    Parameter,
    /// A size limit is passed (SQLSTATE 54000).
    Limit,
    /// The memory that may be used does not do (SQLSTATE 53200).
    Memory,
    /// The caller's callback asked to stop (SQLSTATE 57014).
    Cancelled,
}

/// An error of the core. Its text never holds any part of a text that was scored or trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: &'static str,
}

/// The core's result type.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; `message` is lower case without a full stop, `hint` a sentence on what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: &'static str) -> Self {
        Self { kind, message: message.into(), hint }
    }

    /// Which sort of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What went wrong: lower case, no full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the user can do about it: a sentence.
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
