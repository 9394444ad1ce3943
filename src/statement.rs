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

/// What tells the ways apart in which a table is scored: the column that is read, and that of the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    text: CString,
    version: Option<CString>,
}

impl Scoring {
    /// Which of the table's ways it is.
    pub fn way(&self) -> Way {
        let version = self.wiring.output(Output::Version).map(|column| column.name.clone());
        Way { text: self.wiring.text.name.clone(), version }
    }

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

    /// The current version, or what chooses among several.
    pub fn version_name(&self) -> String {
        self.model.reference().to_owned()
    }

    /// The same as a statement's parameter. Statements name it, so that all rows of a batch get the same.
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
        compose("% IS NOT TRUE", &[&self.is_current()])
    }

    /// What is true of row `t` if a current version has seen it, and else false or NULL.
    fn is_current(&self) -> CString {
        let column =
            self.wiring.output(Output::Version).map(|column| identifier(&column.name)).unwrap_or_default();
        compose("(t.%::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%))", &[&column, &self.versions().0])
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

    /// One batch: the next stale rows after the place in parameter 2 and before that in parameter 3, at most as many as parameter 4
    /// says. Counts those that are up to date then, for a trigger of the user's may have a say in it.
    pub fn batch(&self, schema: &CStr, table: &CStr) -> CString {
        let stale = &self.is_stale();
        compose(
            "WITH picked AS MATERIALIZED ( \
                 SELECT pg_catalog.array_agg(s.ctid) AS rows, pg_catalog.max(s.ctid) AS last, pg_catalog.count(*) AS found \
                 FROM (SELECT t.ctid FROM ONLY % AS t \
                     WHERE t.ctid OPERATOR(pg_catalog.>) $2 AND t.ctid OPERATOR(pg_catalog.<) $3 AND % LIMIT $4) AS s), \
             changed AS ( \
                 UPDATE ONLY % AS t SET % \
                 WHERE t.ctid OPERATOR(pg_catalog.=) ANY ((SELECT p.rows FROM picked AS p)::pg_catalog.tid[]) AND % \
                 RETURNING % AS current) \
             SELECT p.last, p.found, (SELECT pg_catalog.count(*) FROM changed AS c WHERE c.current) FROM picked AS p",
            &[table, stale, table, &self.assignments(schema), stale, &self.is_current()],
        )
    }
}
