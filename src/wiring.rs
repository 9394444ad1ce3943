//! What a trigger's arguments say, and which columns of its table they mean.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use crate::errors::{Failure, Result};
use crate::models::{Model, ModelRef};
use crate::settings::{self, OnError};
use crate::sql::{compose, literal};
use crate::table::{Column, Table};
use crate::text;

/// The columns that are written where the arguments name none.
pub const DEFAULT_COLUMNS: [(Output, &CStr); 3] = [
    (Output::Label, c"sentiment"),
    (Output::Score, c"sentiment_score"),
    (Output::Version, c"sentiment_version"),
];

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

impl Output {
    /// The types of column that it is written to, and how they are called in a message.
    fn types(self) -> ([pg_sys::Oid; 2], &'static str) {
        match self {
            Self::Label | Self::Version => ([pg_sys::TEXTOID, pg_sys::VARCHAROID], "text"),
            Self::Score => ([pg_sys::FLOAT8OID, pg_sys::FLOAT4OID], "double precision"),
        }
    }

    /// The key of its trigger argument.
    pub fn key(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Score => "score",
            Self::Version => "version",
        }
    }
}

/// A trigger's arguments taken apart. Names are in the server's encoding, as the catalogs have them.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// The column to read.
    pub text: CString,
    /// The columns to write; none for the default ones.
    pub outputs: Vec<(Output, CString)>,
    /// The model, if the trigger does not follow `sentiment.default_model`.
    pub model: Option<CString>,
    /// What to do with a row that cannot be scored, if not what `sentiment.on_error` says.
    pub on_error: Option<OnError>,
}

impl Arguments {
    /// Takes arguments apart: the text column first, then `key=value`.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a CStr>) -> Result<Self> {
        let mut arguments = arguments.into_iter();
        let text = arguments.next().ok_or_else(Failure::no_text_argument)?.to_owned();
        let mut parsed = Self { text, outputs: Vec::new(), model: None, on_error: None };
        for argument in arguments {
            parsed.set(argument)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, argument: &CStr) -> Result<()> {
        let bytes = argument.to_bytes_with_nul();
        let malformed = || Failure::argument_malformed(&text::string(argument));
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
                let value = text::string(&value);
                let policy = OnError::named(&value).ok_or_else(|| Failure::on_error_unknown(&value))?;
                self.on_error.replace(policy).is_none()
            }
            (None, key) => return Err(Failure::key_unknown(key)),
        };
        if first { Ok(()) } else { Err(Failure::key_repeated(&key)) }
    }

    /// Whether the two write a column in common, or read the same one.
    pub fn collides(&self, other: &Self) -> bool {
        self.text == other.text || self.columns().any(|column| other.columns().any(|taken| column == taken))
    }

    /// The columns that are written, or may be.
    pub fn columns(&self) -> impl Iterator<Item = &CStr> {
        let defaults = if self.outputs.is_empty() { &DEFAULT_COLUMNS[..] } else { &[] };
        self.outputs.iter().map(|(_, name)| name.as_c_str()).chain(defaults.iter().map(|(_, name)| *name))
    }

    /// The arguments as `CREATE TRIGGER` takes them.
    pub fn literals(&self) -> Vec<CString> {
        let outputs = self.outputs.iter().map(|(output, name)| (output.key(), name.as_c_str()));
        let model = self.model.iter().map(|name| ("model", name.as_c_str()));
        let settings = outputs.chain(model).map(|(key, value)| compose(&format!("{key}=%"), &[value]));
        std::iter::once(self.text.clone()).chain(settings).map(|argument| literal(&argument)).collect()
    }

    /// The model that the trigger scores with now.
    pub fn model(&self) -> Result<ModelRef> {
        match &self.model {
            Some(name) => Model::by_name(&text::string(name)),
            None => Model::by_setting(),
        }
    }
}

/// A trigger's arguments matched with the columns of its table.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// What the arguments say.
    pub arguments: Arguments,
    /// The column to read.
    pub text: Column,
    /// The columns to write, at least one.
    pub outputs: Vec<(Output, Column)>,
}

impl Wiring {
    /// Finds the columns, and makes sure that they can be read and written.
    pub fn new(arguments: Arguments, table: Table) -> Result<Self> {
        let text = table.require(&arguments.text)?.readable()?.not_generated()?;
        let outputs = if arguments.outputs.is_empty() {
            let present = |(output, name)| table.column(name).map(|column| (output, column));
            DEFAULT_COLUMNS.into_iter().filter_map(present).collect()
        } else {
            let named = arguments.outputs.iter().map(|(output, name)| Ok((*output, table.require(name)?)));
            named.collect::<Result<Vec<_>>>()?
        };
        if outputs.is_empty() {
            return Err(Failure::outputs_missing(&table.name()));
        }
        let mut taken = vec![text.number];
        let mut checked = Vec::with_capacity(outputs.len());
        for (output, column) in outputs {
            let (types, expected) = output.types();
            let column = column.writable(&types, expected)?.not_generated()?;
            if taken.contains(&column.number) {
                return Err(Failure::column_reused(&text::string(&column.name)));
            }
            taken.push(column.number);
            checked.push((output, column));
        }
        Ok(Self { arguments, text, outputs: checked })
    }

    /// The column that `output` goes to, if it is written.
    pub fn output(&self, output: Output) -> Option<&Column> {
        self.outputs.iter().find(|(written, _)| *written == output).map(|(_, column)| column)
    }

    /// Makes sure that whatever `model` may answer fits the columns.
    pub fn fits(&self, model: &ModelRef) -> Result<()> {
        for (output, column) in &self.outputs {
            match output {
                Output::Label => model.card().labels().iter().try_for_each(|label| column.fits(label))?,
                Output::Version => model.versions().iter().try_for_each(|version| column.fits(version))?,
                Output::Score => {}
            }
        }
        Ok(())
    }

    /// What to do with a row that cannot be scored.
    pub fn on_error(&self) -> OnError {
        self.arguments.on_error.unwrap_or_else(settings::on_error)
    }
}
