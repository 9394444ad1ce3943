//! The statements that score rows which are in a table already. Everything in them is named with its schema, operators too.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use crate::errors::Result;
use crate::models::ModelRef;
use crate::sql::{self, Parameter, Session, compose, identifier, literal};
use crate::text;
use crate::wiring::{Output, Wiring};

/// How a table is scored, and by which version now.
#[derive(Debug)]
pub struct Scoring {
    wiring: Wiring,
    model: ModelRef,
}

impl Scoring {
    /// Pairs the two, and makes sure that all that the model can answer fits the columns.
    pub fn new(wiring: Wiring, model: ModelRef) -> Result<Self> {
        wiring.fits(&model)?;
        Ok(Self { wiring, model })
    }

    /// Scores every row, in one statement that writes the output columns and no others. Returns the number of rows.
    pub fn score_all(&self, session: &Session, schema: &CStr, table: pg_sys::Oid) -> Result<u64> {
        let statement = compose("UPDATE % AS t SET %", &[&sql::relation(table)?, &self.assignments(schema)]);
        session.execute(&statement, &[self.version()])
    }

    /// The current version, or what chooses among several, as a statement's parameter. Statements name it, so that all rows
    /// of a batch get the same.
    pub fn version(&self) -> Parameter {
        (pg_sys::TEXTOID, text::datum(self.model.reference()))
    }

    /// The versions that may answer, as an array of constants, and the usual one.
    fn versions(&self) -> (CString, CString) {
        let versions: Vec<_> =
            self.model.versions().into_iter().map(|version| literal(&text::c_string(version))).collect();
        let usual = versions.first().cloned().unwrap_or_default();
        (compose("ARRAY[%]::pg_catalog.text[]", &[&sql::join(&versions, ", ")]), usual)
    }

    /// The condition that row `t` has not been seen by a current version.
    ///
    /// `IS DISTINCT FROM` would look for its operator in the caller's search_path.
    pub fn is_stale(&self) -> CString {
        let column =
            self.wiring.output(Output::Version).map(|column| identifier(&column.name)).unwrap_or_default();
        let template = "(t.%::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%)) IS NOT TRUE";
        compose(template, &[&column, &self.versions().0])
    }

    /// What `UPDATE ... AS t SET` sets, by the model in parameter 1.
    fn assignments(&self, schema: &CStr) -> CString {
        let names: Vec<_> = self.wiring.outputs.iter().map(|(_, column)| identifier(&column.name)).collect();
        let value = |(output, _): &(Output, _)| match output {
            Output::Label => c"d.label".to_owned(),
            Output::Score => c"d.score".to_owned(),
            Output::Version => compose("COALESCE(d.model_version, %)", &[&self.versions().1]),
        };
        let values: Vec<_> = self.wiring.outputs.iter().map(value).collect();
        compose(
            "(%) = (SELECT % FROM %.sentiment_detail(t.%::pg_catalog.text, $1) AS d)",
            &[
                &sql::join(&names, ", "),
                &sql::join(&values, ", "),
                &identifier(schema),
                &identifier(&self.wiring.text.name),
            ],
        )
    }

    /// All stale rows in one statement: the version is parameter 1.
    pub fn at_once(&self, schema: &CStr, table: &CStr) -> CString {
        compose("UPDATE % AS t SET % WHERE %", &[table, &self.assignments(schema), &self.is_stale()])
    }

    /// One batch: the next stale rows after the place in parameter 2, at most as many as parameter 3 says.
    pub fn batch(&self, schema: &CStr, table: &CStr) -> CString {
        let stale = &self.is_stale();
        compose(
            "WITH picked AS MATERIALIZED ( \
                 SELECT pg_catalog.array_agg(s.ctid) AS rows, pg_catalog.max(s.ctid) AS last, pg_catalog.count(*) AS found \
                 FROM (SELECT t.ctid FROM ONLY % AS t \
                     WHERE t.ctid OPERATOR(pg_catalog.>) $2 AND % LIMIT $3) AS s), \
             changed AS ( \
                 UPDATE ONLY % AS t SET % \
                 WHERE t.ctid OPERATOR(pg_catalog.=) ANY ((SELECT p.rows FROM picked AS p)::pg_catalog.tid[]) AND % \
                 RETURNING 1) \
             SELECT p.last, p.found, (SELECT pg_catalog.count(*) FROM changed) FROM picked AS p",
            &[table, stale, table, &self.assignments(schema), stale],
        )
    }
}
