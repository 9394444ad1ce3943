//! Every error of the border: its SQLSTATE, what it says, and what the user can do, in one table.
//!
//! Messages are lower case without a full stop and hold no text that was scored.

use std::borrow::Cow;
use std::fmt;

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::CaughtError;
use sentiment_core::ErrorKind;

use crate::report::{Level, Outcome, Report};
use crate::text;

/// Why a call cannot be answered.
#[derive(Clone, Debug)]
pub struct Failure {
    sqlstate: PgSqlErrorCode,
    message: String,
    hint: Cow<'static, str>,
}

/// The border's result type.
pub type Result<T> = std::result::Result<T, Failure>;

/// The table's form: a constructor a row, with SQLSTATE, message and hint.
macro_rules! failures {
    ($($name:ident($($argument:ident: $type:ty),*): $sqlstate:ident, $message:literal, $hint:expr;)*) => {
        impl Failure {
            $(pub fn $name($($argument: $type),*) -> Self {
                Self { sqlstate: PgSqlErrorCode::$sqlstate, message: format!($message), hint: $hint.into() }
            })*
        }
    };
}

const SEE_MODELS: &str = "The view sentiment.models lists the models; their names are case-sensitive.";
const IN_ORDER: &str = "It is not shown, for it may be a text: are the arguments in order? The view sentiment.models lists the models.";
const SEE_VERSIONS: &str =
    "The view sentiment.versions lists the versions of trained models; shipped ones are in sentiment.models.";
const WRITE_COLUMN: &str =
    "Write its name as it is stored: in lower case, unless it was created in double quotes.";
const WRITE_VERSION: &str = "Write a version as name@number, such as english@2.";
const CREATE_TRIGGER: &str =
    "Create the trigger as BEFORE INSERT OR UPDATE OF its text column, FOR EACH ROW.";
const ARGUMENTS: &str =
    "Arguments are the text column, then key=value with the keys label, score, version, model, on_error.";
const SEE_TABLES: &str =
    "The view sentiment.tables lists the tables that have one; enable_sentiment() makes it.";
const TARGETS: &str =
    "Tables, partitioned tables and foreign tables can be scored; a view can call sentiment() in its query.";
const PRIMARY: &str = "This server is a standby: run it on the primary, and the change comes here.";
const UPDATE_EXTENSION: &str = "Run ALTER EXTENSION pg_sentiment UPDATE, and reconnect.";

failures! {
    unknown_model(name: Shown): ERRCODE_UNDEFINED_OBJECT,
        "model {name} does not exist", if name.is_like_a_name() { SEE_MODELS } else { IN_ORDER };
    made_meanwhile(name: Shown): ERRCODE_T_R_SERIALIZATION_FAILURE,
        "model {name} was made since this transaction's snapshot", "Run the transaction again.";
    unknown_version(name: Shown, version: Shown): ERRCODE_UNDEFINED_OBJECT,
        "model {name} has no version {version}", SEE_VERSIONS;
    malformed_version(reference: Shown): ERRCODE_INVALID_PARAMETER_VALUE,
        "model version {reference} is malformed", WRITE_VERSION;
    version_needed(name: Shown): ERRCODE_INVALID_PARAMETER_VALUE,
        "model {name} is named without a version", WRITE_VERSION;
    auto_has_no_version(): ERRCODE_INVALID_PARAMETER_VALUE,
        "model \"auto\" has no versions",
        "It reads each text with english or multilingual: name a version of one of them, such as english@2.";
    unknown_label(label: Shown, model: &str): ERRCODE_INVALID_PARAMETER_VALUE,
        "model \"{model}\" has no label {label}", "The column labels of the view sentiment.models lists a model's labels.";
    null_argument(name: &str): ERRCODE_NULL_VALUE_NOT_ALLOWED,
        "argument {name} must not be null", "Give a value, or leave the argument out if it has a default.";
    top_k_negative(top_k: i32): ERRCODE_INVALID_PARAMETER_VALUE,
        "top_k must be at least 0, not {top_k}", "NULL returns all terms.";
    batch_not_positive(batch: i32): ERRCODE_INVALID_PARAMETER_VALUE,
        "batch must be at least 1, not {batch}", "batch is the number of rows that are committed together.";

    set_not_accepted(): ERRCODE_FEATURE_NOT_SUPPORTED,
        "set-valued function called in context that cannot accept a set", "Call it in the FROM clause.";
    columns_differ(library: usize, declared: usize): ERRCODE_DATATYPE_MISMATCH,
        "the library returns {library} columns, but the function is declared with {declared}", UPDATE_EXTENSION;
    sql_failed(code: i32): ERRCODE_INTERNAL_ERROR,
        "the server's programming interface answered {code}", "This is a bug of pg_sentiment: please report it.";

    not_fired(): ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
        "sentiment_trigger() was not called by a trigger", CREATE_TRIGGER;
    fired_otherwise(trigger: &str): ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
        "trigger \"{trigger}\" must fire before INSERT or UPDATE, for each row", CREATE_TRIGGER;
    no_text_argument(): ERRCODE_INVALID_PARAMETER_VALUE,
        "sentiment_trigger() was given no text column", ARGUMENTS;
    argument_malformed(argument: &str): ERRCODE_INVALID_PARAMETER_VALUE,
        "trigger argument \"{argument}\" is not written key=value", ARGUMENTS;
    key_unknown(key: &str): ERRCODE_INVALID_PARAMETER_VALUE,
        "trigger argument \"{key}\" is not known", ARGUMENTS;
    key_repeated(key: &str): ERRCODE_INVALID_PARAMETER_VALUE,
        "trigger argument \"{key}\" is given twice", ARGUMENTS;
    on_error_unknown(value: &str): ERRCODE_INVALID_PARAMETER_VALUE,
        "on_error \"{value}\" is not known", "on_error is null or raise.";

    column_missing(column: &str, table: &str): ERRCODE_UNDEFINED_COLUMN,
        "column \"{column}\" of relation \"{table}\" does not exist",
        WRITE_COLUMN;
    outputs_missing(table: &str): ERRCODE_UNDEFINED_COLUMN,
        "relation \"{table}\" has none of the columns sentiment, sentiment_score, sentiment_version",
        "Name the columns to write with label=, score= or version=.";
    outputs_none(): ERRCODE_INVALID_PARAMETER_VALUE,
        "no column is named to be written", "Name at least one of label_column, score_column and version_column.";
    column_not_text(column: &str, data_type: &str): ERRCODE_DATATYPE_MISMATCH,
        "column \"{column}\" is of type {data_type}, not text",
        "Texts are read from columns of type text, varchar, char, citext, or a domain over them.";
    output_type(column: &str, data_type: &str, expected: &str): ERRCODE_DATATYPE_MISMATCH,
        "column \"{column}\" is of type {data_type}, not {expected}",
        "Labels and versions are written as text or varchar, scores as double precision or real.";
    column_generated(column: &str): ERRCODE_INVALID_PARAMETER_VALUE,
        "column \"{column}\" is a generated column",
        "A trigger runs before columns are generated: name a plain column, or generate the score with sentiment_score_at().";
    column_nameless(): ERRCODE_INVALID_PARAMETER_VALUE,
        "a column's name is empty", "Give the name of a column to write, or NULL to write none.";
    column_reused(column: &str): ERRCODE_INVALID_PARAMETER_VALUE,
        "column \"{column}\" is named twice", "The text, the label, the score and the version need a column each.";
    column_filled(column: &str, table: &str): ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "column \"{column}\" of relation \"{table}\" holds values that were not scored",
        "With backfill => false its values stay, and only new rows are scored. Otherwise name another column, or empty this one first.";
    column_partitions(column: &str, table: &str): ERRCODE_FEATURE_NOT_SUPPORTED,
        "relation \"{table}\" is partitioned by column \"{column}\"",
        "A trigger cannot send a row to another partition: name another column.";
    value_too_long(column: &str, length: usize, limit: usize): ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
        "column \"{column}\" holds {limit} characters, but {length} are to be written",
        "Make the column type text.";

    name_malformed(name: Shown): ERRCODE_INVALID_NAME,
        "model name {name} is malformed",
        "A name is not empty, and holds no @ and no control characters.";
    name_too_long(bytes: usize, limit: usize): ERRCODE_NAME_TOO_LONG,
        "a model name has {bytes} bytes, {limit} are allowed", "Choose a shorter name.";
    name_reserved(name: &str): ERRCODE_RESERVED_NAME,
        "model \"{name}\" is part of the extension",
        "What ships stays as it is: train a model under another name, and have sentiment.default_model name it.";
    not_deployed(model: Shown): ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "no version of model {model} is deployed", "Call deploy_sentiment(model, version).";
    nothing_before(model: Shown): ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "model {model} has no earlier deployment to go back to", "The view sentiment.deployments lists what was deployed.";
    version_deployed(version: &str): ERRCODE_OBJECT_IN_USE,
        "model version \"{version}\" is deployed", "Deploy another version first, or drop the whole model.";
    version_pinned(version: &str, object: &str): ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
        "model version \"{version}\" is named by {object}", "Drop what names it first, or have it name another version.";
    registry_missing(): ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "this database has no registry of models", "Run CREATE EXTENSION pg_sentiment.";
    registry_damaged(): ERRCODE_DATA_CORRUPTED,
        "the registry lacks a part of a model", "Its tables were changed by hand: train or import the model again.";
    model_too_large(): ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        "the model would be larger than 500 MB, which dumps cannot hold",
        "Train with fewer rows, or with options that keep fewer terms.";
    too_many_terms(most: usize): ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        "the model has {most} terms of its users' own, and takes no more",
        "Take terms back with set_sentiment_term(model, term, NULL).";
    deploy_unknown(): ERRCODE_INVALID_PARAMETER_VALUE,
        "deploy must be if_better, always or never", "if_better deploys what does better than the deployed version on the rows held out.";
    max_rows_not_positive(rows: i32): ERRCODE_INVALID_PARAMETER_VALUE,
        "max_rows must be at least 1, not {rows}", "max_rows is the most examples that one refresh learns from.";

    relation_missing(oid: u32): ERRCODE_UNDEFINED_TABLE,
        "relation with OID {oid} does not exist", "It was dropped meanwhile, or never was.";
    not_a_table(relation: &str): ERRCODE_WRONG_OBJECT_TYPE,
        "relation \"{relation}\" is not a table", TARGETS;
    part_of_extension(relation: &str): ERRCODE_WRONG_OBJECT_TYPE,
        "relation \"{relation}\" is part of the extension", "Score a table of your own.";
    foreign_columns(table: &str, column: &str): ERRCODE_FEATURE_NOT_SUPPORTED,
        "column \"{column}\" cannot be added to foreign table \"{table}\"",
        "Add the column on the remote server and to the foreign table, then call enable_sentiment() again.";
    partition_columns(table: &str, column: &str): ERRCODE_WRONG_OBJECT_TYPE,
        "column \"{column}\" cannot be added to partition \"{table}\"",
        "Call enable_sentiment() for the partitioned table, or add the column to that one first.";
    typed_columns(table: &str, column: &str): ERRCODE_WRONG_OBJECT_TYPE,
        "column \"{column}\" cannot be added to typed table \"{table}\"",
        "Add it to the table's type (ALTER TYPE ... ADD ATTRIBUTE ... CASCADE), then call enable_sentiment() again.";
    column_inherited(column: &str, table: &str): ERRCODE_INVALID_TABLE_DEFINITION,
        "column \"{column}\" of relation \"{table}\" is inherited, and cannot be dropped here",
        "Call disable_sentiment() without drop_columns, and drop the column from the table that it comes from.";
    column_of_key(column: &str, table: &str): ERRCODE_INVALID_TABLE_DEFINITION,
        "relation \"{table}\" is partitioned by column \"{column}\", which cannot be dropped",
        "Call disable_sentiment() without drop_columns: the column stays.";
    trigger_cloned(trigger: &str): ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
        "trigger \"{trigger}\" of the partition comes from its partitioned table",
        "Call the function for the partitioned table, or detach the partition first.";
    column_of_type(column: &str, table: &str): ERRCODE_WRONG_OBJECT_TYPE,
        "column \"{column}\" cannot be dropped from typed table \"{table}\"",
        "Call disable_sentiment() without drop_columns, and drop it from the table's type (ALTER TYPE ... DROP ATTRIBUTE ... CASCADE).";
    not_enabled(table: &str): ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "relation \"{table}\" has no sentiment trigger", SEE_TABLES;
    version_not_kept(table: &str): ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the sentiment trigger of relation {table} writes no version",
        "Call enable_sentiment() with a version_column, so that rows say which version scored them.";
    trigger_conditional(trigger: &str, table: &str): ERRCODE_FEATURE_NOT_SUPPORTED,
        "trigger \"{trigger}\" of relation \"{table}\" has a WHEN condition, which is not evaluated here",
        "UPDATE the table with the text column set to itself: then the trigger scores the rows again.";
    rule_rewrites(rule: &str): ERRCODE_FEATURE_NOT_SUPPORTED,
        "{rule} rewrites the UPDATE by which rows are scored",
        "Disable it while rows are scored (ALTER TABLE ... DISABLE RULE ...). With backfill => false, enable_sentiment() leaves rows as they are.";
    read_only(command: &str, standby: bool): ERRCODE_READ_ONLY_SQL_TRANSACTION,
        "cannot execute {command} in a read-only transaction",
        if standby { PRIMARY } else { "Begin the transaction READ WRITE, or set default_transaction_read_only to off." };
    transaction_open(): ERRCODE_ACTIVE_SQL_TRANSACTION,
        "rescore_sentiment() cannot run inside a transaction block, a function or a procedure with SET",
        "It commits after each batch: call it at the top level, with autocommit on, and in no block with EXCEPTION.";
}

impl Failure {
    /// What a call comes to that ends with this error.
    pub fn outcome(&self) -> Outcome {
        Outcome::failed(&self.report(Level::Error))
    }

    /// Warns of this failure, with `prefix` before its message, and goes on.
    pub fn warn(self, prefix: &str) {
        Self { message: format!("{prefix}: {}", self.message), ..self }.report(Level::Warning).tell();
    }

    /// An error that the server raised while the background worker was at work.
    pub fn caught(error: &CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        Self {
            sqlstate: report.sql_error_code(),
            message: text::printable(report.message()),
            hint: "The worker tries again in a minute.".into(),
        }
    }

    /// Says in the hint that the model's name comes from the setting, not from the call.
    pub fn of_default_model(self) -> Self {
        self.named_by("The setting sentiment.default_model names it.")
    }

    /// Says in the hint that a trigger names the model, not the statement.
    pub fn of_model_of_trigger(self, name: &str) -> Self {
        self.named_by(&format!("Trigger \"{name}\" names it."))
    }

    /// Whoever meets what is named elsewhere has given no arguments that could be out of order.
    fn named_by(self, whence: &str) -> Self {
        let hint = if self.hint == IN_ORDER { SEE_MODELS } else { &*self.hint };
        Self { hint: format!("{whence} {hint}").into(), ..self }
    }

    /// Says in the hint that it is the arguments of a trigger which say so, not the statement.
    pub fn of_trigger(self, name: &str) -> Self {
        let hint = if self.hint == WRITE_COLUMN {
            format!(
                "Trigger \"{name}\" names it: if the column was renamed or dropped, call enable_sentiment() again; \
                 otherwise create the trigger anew with other arguments."
            )
        } else {
            format!(
                "{} Trigger \"{name}\" says so: drop it, or create it anew with other arguments.",
                self.hint
            )
        };
        Self { hint: hint.into(), ..self }
    }

    fn report(&self, level: Level) -> Report<'_> {
        Report {
            level,
            sqlstate: self.sqlstate,
            message: &self.message,
            detail: None,
            hint: Some(&self.hint),
        }
    }
}

impl From<sentiment_core::Error> for Failure {
    fn from(error: sentiment_core::Error) -> Self {
        let sqlstate = match error.kind() {
            ErrorKind::Damaged => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            ErrorKind::Unsupported => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            ErrorKind::Parameter => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            ErrorKind::Limit => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            ErrorKind::Memory => PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
            ErrorKind::Cancelled => PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
            _ => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        };
        Self { sqlstate, message: error.message().to_owned(), hint: error.hint().into() }
    }
}

/// A model's name or a label as a caller gave it, fit for a message.
///
/// Arguments get swapped by mistake, and then a name is somebody's message: what does not look like a name is not shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl Shown<'_> {
    fn is_like_a_name(self) -> bool {
        /// As long as an identifier may be.
        const LONGEST: usize = 63;
        let like_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
        self.0.len() <= LONGEST && self.0.chars().all(like_a_name)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_like_a_name() {
            write!(f, "\"{}\"", self.0)
        } else {
            write!(f, "(a name of {} bytes)", self.0.len())
        }
    }
}
