//! What the views for operators show beside the registry's tables: what this session has scored, and which tables are scored.

use std::ffi::CStr;

use pgrx::{FromDatum, IntoDatum, pg_sys};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::Result;
use crate::models;
use crate::result::{Columns, Rows};
use crate::settings;
use crate::sql::{self, Access, Session};
use crate::table::is_readable;
use crate::text;
use crate::wiring::{Arguments, DEFAULT_COLUMNS, Output};

sql_functions!(session_texts, scored_tables);

/// `sentiment.session_texts()`: a row a model that this session has had read texts, by whichever version.
fn session_texts(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    for (model, texts) in models::texts_by_name() {
        rows.push([Some(text::datum(&model)), i64::try_from(texts).ok().into_datum()]);
    }
    Ok(None)
}

/// Triggers that call ours, without the copies that partitions have, but with those that are off where the trigger that they are copies of
/// is not. One that fires for replicated rows alone scores nothing that arrives; nor does one that does not fire for each row (1), before it
/// is written (2), where it is inserted (4) or updated (16): that one refuses it.
const TRIGGERS: &CStr = c"SELECT t.tgrelid, t.tgname::pg_catalog.text,
        t.tgenabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog.\"char\"[])
            AND (t.tgtype OPERATOR(pg_catalog.&) 3::pg_catalog.int2) OPERATOR(pg_catalog.=) 3::pg_catalog.int2
            AND (t.tgtype OPERATOR(pg_catalog.&) 20::pg_catalog.int2) OPERATOR(pg_catalog.<>) 0::pg_catalog.int2,
        t.tgargs
    FROM pg_catalog.pg_trigger AS t
        JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
        JOIN pg_catalog.pg_extension AS e ON e.extnamespace OPERATOR(pg_catalog.=) p.pronamespace
    WHERE e.extname OPERATOR(pg_catalog.=) 'pg_sentiment'::pg_catalog.name
        AND p.proname OPERATOR(pg_catalog.=) 'sentiment_trigger'::pg_catalog.name
        AND p.pronargs OPERATOR(pg_catalog.=) 0::pg_catalog.int2
        AND (t.tgparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
            OR t.tgenabled OPERATOR(pg_catalog.=) ANY (ARRAY['D', 'R']::pg_catalog.\"char\"[])
                AND (SELECT c.tgenabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog.\"char\"[])
                    FROM pg_catalog.pg_trigger AS c WHERE c.oid OPERATOR(pg_catalog.=) t.tgparentid))
    ORDER BY t.tgrelid, t.tgname";

/// Triggers that are fetched at a time.
const BATCH: i64 = 1_000;

/// `sentiment.scored_tables()`: a row a trigger of ours, with its arguments and the version that it scores by now; enabled if it
/// fires for what arrives, and its columns are there. Of one whose arguments make no sense the rest is null.
fn scored_tables(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    Session::run(Access::Read, |session| {
        session.each(TRIGGERS, &[], BATCH, |[target, trigger, enabled, arguments]| {
            let arguments = read(arguments);
            let fits = arguments.as_ref().is_some_and(|arguments| fits(target, arguments));
            let enabled = (fits && enabled.is_some_and(|enabled| enabled.value() != 0)).into_datum();
            let [text, label, score, version, model, current] =
                arguments.map(|arguments| columns(&arguments)).unwrap_or_default();
            rows.push([target, trigger, enabled, text, label, score, version, model, current]);
            Ok(())
        })
    })?;
    Ok(None)
}

/// The tables that a model scores, by a trigger that names it without a version; quoted, sorted.
pub fn scored_by(session: &Session, model: &str) -> Result<Vec<String>> {
    let model = text::c_string(model);
    let mut tables = Vec::new();
    session.each(TRIGGERS, &[], BATCH, |[target, _, _, arguments]| {
        let names_it =
            read(arguments).is_some_and(|arguments| arguments.model.is_some_and(|named| named == model));
        // SAFETY: the query's first column is an oid.
        let table = target.and_then(|target| unsafe { pg_sys::Oid::from_datum(target, false) });
        tables.extend(table.filter(|_| names_it).and_then(|table| sql::relation(table).ok()));
        Ok(())
    })?;
    let mut tables: Vec<String> = tables.iter().map(|table| text::string(table).into_owned()).collect();
    tables.sort_unstable();
    tables.dedup();
    Ok(tables)
}

/// The arguments of a trigger, as the catalog has them; `None` where they make no sense.
fn read(arguments: Option<pg_sys::Datum>) -> Option<Arguments> {
    // SAFETY: the query's last column is a bytea.
    let bytes: Vec<u8> = arguments.and_then(|datum| unsafe { Vec::from_datum(datum, false) })?;
    let written =
        bytes.split_inclusive(|&byte| byte == 0).filter_map(|one| CStr::from_bytes_with_nul(one).ok());
    Arguments::of(written).ok()
}

/// Whether the columns that a trigger names are in its table and can be read and written, as [`Wiring`](crate::wiring::Wiring) asks
/// where it fires: somebody may have renamed or dropped them, or given them another type, and then it refuses rows. Asked of the
/// catalogs alone, without a lock on the table.
fn fits(table: Option<pg_sys::Datum>, arguments: &Arguments) -> bool {
    // SAFETY: the query's first column is an oid.
    let table = table.and_then(|table| unsafe { pg_sys::Oid::from_datum(table, false) });
    let table = table.unwrap_or(pg_sys::InvalidOid);
    // SAFETY: all look in the catalogs.
    let column = |name: &CStr| unsafe {
        let number = pg_sys::get_attnum(table, name.as_ptr());
        (number > 0)
            .then(|| (pg_sys::get_atttype(table, number), pg_sys::get_attgenerated(table, number) != 0))
    };
    let is_there = |(_, name): &(Output, &CStr)| column(name).is_some();
    let plain =
        |name: &CStr| column(name).filter(|(_, generated)| !generated).map(|(data_type, _)| data_type);
    let written: Vec<(Output, &CStr)> = if arguments.outputs.is_empty() {
        DEFAULT_COLUMNS.into_iter().filter(is_there).collect()
    } else {
        arguments.outputs.iter().map(|(output, name)| (*output, name.as_c_str())).collect()
    };
    let is_writable = |(output, name): &(Output, &CStr)| {
        plain(name).is_some_and(|data_type| output.types().0.contains(&data_type))
    };
    let mut names: Vec<&CStr> =
        written.iter().map(|(_, name)| *name).chain([arguments.text.as_c_str()]).collect();
    names.sort_unstable();
    !written.is_empty()
        && written.iter().all(is_writable)
        && names.is_sorted_by(|one, next| one < next)
        && plain(&arguments.text).is_some_and(is_readable)
}

/// Text column, output columns, model and version of a trigger.
fn columns(arguments: &Arguments) -> Columns<6> {
    let name = |name: &CStr| text::datum(&text::string(name));
    let output = |output: Output| arguments.output(output).map(name);
    let with_version = |model: &CStr| (name(model), models::current_version(&text::string(model)));
    let (model, version) = match &arguments.model {
        Some(model) => with_version(model),
        None => settings::with_default_model(with_version),
    };
    [
        Some(name(&arguments.text)),
        output(Output::Label),
        output(Output::Score),
        output(Output::Version),
        Some(model),
        version.map(|version| text::datum(&version)),
    ]
}
