//! Rows of the user's, read with the caller's rights: row security and views do what they always do.

use std::ffi::CStr;

use pgrx::pg_sys;

use crate::call::Call;
use crate::errors::{Failure, Result};
use crate::sql::{self, Access, Session, compose, identifier};
use crate::table::Table;
use crate::text::StoredText;

/// Rows that are fetched at a time.
const BATCH: i64 = 1_000;

/// A table or view with a column of texts and perhaps one of labels.
#[derive(Debug)]
pub struct Source<'c> {
    relation: pg_sys::Oid,
    text: &'c CStr,
    label: Option<&'c CStr>,
}

impl<'c> Source<'c> {
    /// The source that arguments 1 to 3 of a call name: relation, texts and labels.
    pub fn of(call: &'c Call) -> Result<Self> {
        let label = call.name(3).ok_or_else(|| Failure::null_argument("label_column"))?;
        Self::named(call, Some(label))
    }

    /// The source that arguments 1 and 2 of a call name: relation and texts.
    pub fn of_texts(call: &'c Call) -> Result<Self> {
        Self::named(call, None)
    }

    fn named(call: &'c Call, label: Option<&'c CStr>) -> Result<Self> {
        let relation: pg_sys::Oid = call.required(1, "source")?;
        let text = call.name(2).ok_or_else(|| Failure::null_argument("text_column"))?;
        let source = Self { relation, text, label };
        source.check()?;
        Ok(source)
    }

    /// The columns are there, and the texts are texts.
    fn check(&self) -> Result<()> {
        // SAFETY: the relation is open while it is looked at; the lock stays until the transaction ends.
        unsafe {
            let open = pg_sys::try_relation_open(self.relation, pg_sys::AccessShareLock.cast_signed());
            if open.is_null() {
                return Err(Failure::relation_missing(self.relation.to_u32()));
            }
            let table = Table::new(open);
            let checked = table.require(self.text).and_then(|column| column.readable());
            let label = || self.label.map_or(Ok(()), |label| table.require(label).map(drop));
            let checked = checked.and_then(|_| label());
            pg_sys::relation_close(open, pg_sys::NoLock.cast_signed());
            checked
        }
    }

    /// Hands every row's text and label to `take`; a missing one is `None`.
    pub fn each(
        &self,
        mut take: impl FnMut(Option<StoredText>, Option<StoredText>) -> Result<()>,
    ) -> Result<()> {
        let (text, label) = (identifier(self.text), identifier(self.label.unwrap_or(self.text)));
        let query = compose(
            "SELECT t.%::pg_catalog.text, t.%::pg_catalog.text FROM % AS t",
            &[&text, &label, &sql::relation(self.relation)?],
        );
        self.run(&query, |[text, label]| take(text, label))
    }

    /// Hands every row's text to `take`; a missing one is `None`.
    pub fn each_text(&self, mut take: impl FnMut(Option<StoredText>) -> Result<()>) -> Result<()> {
        let text = identifier(self.text);
        let relation = sql::relation(self.relation)?;
        self.run(&compose("SELECT t.%::pg_catalog.text FROM % AS t", &[&text, &relation]), |[text]| {
            take(text)
        })
    }

    fn run<const N: usize>(
        &self,
        query: &CStr,
        mut take: impl FnMut([Option<StoredText>; N]) -> Result<()>,
    ) -> Result<()> {
        Session::run(Access::Read, |session| {
            session.each(query, &[], BATCH, |row: [Option<pg_sys::Datum>; N]| {
                // SAFETY: the query's columns are texts, and live as long as their batch.
                take(row.map(|datum| datum.map(|datum| unsafe { StoredText::new(datum) })))
            })
        })
    }
}
