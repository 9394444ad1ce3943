//! What a trigger's arguments say, and which columns of its table they mean.

mod arguments;

pub use arguments::{DEFAULT_COLUMNS, Output};

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use crate::errors::{Failure, Result};
use crate::models::{Model, ModelRef};
use crate::settings::{self, OnError};
use crate::sql::literal;
use crate::table::{Column, Table};
use crate::text;
use arguments::Mistake;

/// A trigger's arguments, with what it does where a row cannot be scored.
pub type Arguments = arguments::Arguments<OnError>;

impl Output {
    /// The types of column that it is written to, and how they are called in a message.
    pub fn types(self) -> ([pg_sys::Oid; 2], &'static str) {
        match self {
            Self::Label | Self::Version => ([pg_sys::TEXTOID, pg_sys::VARCHAROID], "text"),
            Self::Score => ([pg_sys::FLOAT8OID, pg_sys::FLOAT4OID], "double precision"),
        }
    }
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::NoText => Self::no_text_argument(),
            Mistake::Malformed(argument) => Self::argument_malformed(&text::string(&argument)),
            Mistake::UnknownKey(key) => Self::key_unknown(&key),
            Mistake::RepeatedKey(key) => Self::key_repeated(&key),
            Mistake::UnknownPolicy(value) => Self::on_error_unknown(&text::string(&value)),
        }
    }
}

impl Arguments {
    /// Takes the arguments of a trigger apart.
    pub fn of<'a>(arguments: impl IntoIterator<Item = &'a CStr>) -> Result<Self> {
        Ok(Self::parse(arguments, |name| OnError::named(&text::string(name)))?)
    }

    /// The arguments as `CREATE TRIGGER` takes them.
    pub fn literals(&self) -> Vec<CString> {
        let policy = self.on_error.map(|policy| match policy {
            OnError::Null => c"on_error=null",
            OnError::Raise => c"on_error=raise",
        });
        self.written().iter().map(|argument| literal(argument)).chain(policy.map(literal)).collect()
    }

    /// The model that the trigger scores with now.
    pub fn model(&self) -> Result<ModelRef> {
        match &self.model {
            Some(name) => Model::by_name(&text::string(name)),
            None => Model::by_setting(),
        }
    }

    /// The same, for whoever did not make the trigger.
    pub fn model_of_trigger(&self, name: &CStr) -> Result<ModelRef> {
        self.model().map_err(|failure| match &self.model {
            Some(_) => failure.of_model_of_trigger(&text::string(name)),
            None => failure,
        })
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
