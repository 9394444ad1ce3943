//! Writing to the registry: versions, deployments, what goes with them. All of it inside [`super::as_owner`].

use std::ffi::CStr;

use pgrx::{IntoDatum, PgSubXactCallbackEvent, PgXactCallbackEvent, pg_sys};
use sentiment_core::Predictor;

use super::{lookup, moment, statement};
use crate::errors::{Failure, Result, Shown};
use crate::json;
use crate::models;
use crate::sql::{Parameter, Session};
use crate::text::{self, StoredText};

/// Most bytes of a model's name: those of any name in the server.
const NAME_BYTES: usize = 63;

/// A text as a statement's parameter.
pub fn text_value(value: &str) -> Parameter {
    (pg_sys::TEXTOID, text::datum(value))
}

/// A whole number as a statement's parameter.
pub fn number_value(value: i64) -> Parameter {
    (pg_sys::INT8OID, value.into())
}

/// Bytes as a statement's parameter.
pub fn bytes_value(value: &[u8]) -> Parameter {
    (pg_sys::BYTEAOID, value.into_datum().unwrap_or(pg_sys::Datum::null()))
}

/// Makes sure that a model may have this name.
pub fn check_name(name: &str) -> Result<()> {
    let length = text::c_string(name).count_bytes();
    if length > NAME_BYTES {
        return Err(Failure::name_too_long(name.len(), NAME_BYTES));
    }
    if name.is_empty() || name.contains('@') || name.chars().any(char::is_control) {
        return Err(Failure::name_malformed(Shown(name)));
    }
    if name == models::AUTO || models::ships(name) {
        return Err(Failure::name_reserved(name));
    }
    Ok(())
}

/// Locks a model until the transaction ends, so that its versions are numbered in the order of commits.
pub fn lock(session: &Session, model: &str) -> Result<()> {
    let insert = c"INSERT INTO sentiment.model (name) VALUES ($1) ON CONFLICT DO NOTHING";
    session.execute(insert, &[text_value(model)])?;
    let select = c"SELECT FROM sentiment.model WHERE name = $1 FOR UPDATE";
    session.execute(select, &[text_value(model)]).map(drop)
}

/// As [`lock`], for a model that has to be there.
pub fn lock_known(session: &Session, model: &str) -> Result<lookup::Name> {
    let select = c"SELECT FROM sentiment.model WHERE name = $1 AND last_version > 0 FOR UPDATE";
    if session.execute(select, &[text_value(model)])? == 0 {
        return Err(missing(model));
    }
    lookup::name(model)?.ok_or_else(|| Failure::unknown_model(Shown(model)))
}

/// Why a statement finds no such model: there is none, or it was made since the transaction's snapshot.
pub fn missing(model: &str) -> Failure {
    match lookup::has_version(model) {
        Ok(true) => Failure::made_meanwhile(Shown(model)),
        Ok(false) => Failure::unknown_model(Shown(model)),
        Err(failure) => failure,
    }
}

/// A part of a new version.
#[derive(Clone, Copy, Debug)]
pub enum Part<'p> {
    /// One that an earlier version has.
    Known(i64),
    /// A new one.
    New(&'p [u8]),
}

/// A version that is to be stored.
#[derive(Debug)]
pub struct NewVersion<'v> {
    pub model: &'v str,
    pub parts: Vec<Part<'v>>,
    /// train or import.
    pub origin: &'v str,
    /// A JSON object.
    pub options: &'v str,
    /// A JSON object.
    pub metrics: &'v str,
    /// Who asked for it.
    pub caller: &'v str,
}

/// The most bytes of a part: dumps and COPY write it in hexadecimal digits, and no text of the server's is over a gigabyte.
const PART_BYTES: usize = 500_000_000;

/// Stores parts that are not there yet; the numbers of all.
fn store_parts(session: &Session, parts: &[Part<'_>]) -> Result<Vec<i64>> {
    if parts.iter().any(|part| matches!(part, Part::New(bytes) if bytes.len() > PART_BYTES)) {
        return Err(Failure::model_too_large());
    }
    let insert = c"INSERT INTO sentiment.part (payload) VALUES ($1) RETURNING id::bigint";
    let id = |part: &Part<'_>| match part {
        Part::Known(id) => Ok(*id),
        Part::New(bytes) => session.query(insert, &[bytes_value(bytes)], |[id]| integer(id)),
    };
    parts.iter().map(id).collect()
}

/// Sees to it that no plan of this session answers from a version that is stored now and rolled back later: functions of one
/// version are constant to the planner, and the next version has the same number. No other session can have planned with it.
fn forget_plans_on_abort() {
    // SAFETY: marks plans as invalid, and does nothing else; the server does so itself whenever a catalog changes.
    let forget = || unsafe { pg_sys::ResetPlanCache() };
    pgrx::register_xact_callback(PgXactCallbackEvent::Abort, forget);
    // Whether what was prepared is committed, another session decides.
    pgrx::register_xact_callback(PgXactCallbackEvent::Prepare, forget);
    pgrx::register_subxact_callback(PgSubXactCallbackEvent::AbortSub, move |_, _| forget());
}

/// Stores a version of a locked model; its number.
pub fn store(session: &Session, version: NewVersion<'_>, card: &Predictor<'_>) -> Result<i32> {
    let parts = store_parts(session, &version.parts)?;
    forget_plans_on_abort();
    let parts = parts.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let labels: Vec<String> = card.labels().iter().map(|label| json::string(label)).collect();
    let insert = c"WITH numbered AS (
            UPDATE sentiment.model SET last_version = last_version + 1 WHERE name = $1 RETURNING last_version)
        INSERT INTO sentiment.version (model, number, parts, origin, algorithm, language, labels, options, rows_train,
            metrics, terms, bytes, created_by)
        SELECT $1, last_version, string_to_array($2, ',')::bigint[], $3, $4, $5,
            ARRAY(SELECT jsonb_array_elements_text($6::jsonb)), $7::jsonb, $8, $9::jsonb, $10, $11, $12
        FROM numbered RETURNING number::bigint";
    let parameters = [
        text_value(version.model),
        text_value(&parts),
        text_value(version.origin),
        text_value(card.algorithm()),
        text_value(card.language()),
        text_value(&format!("[{}]", labels.join(","))),
        text_value(version.options),
        number_value(card.rows_train().try_into().unwrap_or(i64::MAX)),
        text_value(version.metrics),
        number_value(card.terms().try_into().unwrap_or(i64::MAX)),
        number_value(card.size().try_into().unwrap_or(i64::MAX)),
        text_value(version.caller),
    ];
    let number = session.query(insert, &parameters, |[number]| integer(number))?;
    moment::announce()?;
    Ok(i32::try_from(number).unwrap_or(i32::MAX))
}

/// A refreshed version that is to be stored.
#[derive(Debug)]
pub struct RefreshedVersion<'v> {
    pub model: &'v str,
    /// The version that it was refreshed from.
    pub from: i32,
    pub parts: Vec<Part<'v>>,
    pub rows_train: u64,
    pub terms: u64,
    /// Who asked for it.
    pub caller: &'v str,
}

/// Stores a refreshed version of a locked model; its number. What is not given is as in the version before.
pub fn store_refreshed(session: &Session, version: &RefreshedVersion<'_>) -> Result<i32> {
    let parts = store_parts(session, &version.parts)?;
    forget_plans_on_abort();
    let parts = parts.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let insert = c"WITH numbered AS (
            UPDATE sentiment.model SET last_version = last_version + 1 WHERE name = $1 RETURNING last_version)
        INSERT INTO sentiment.version (model, number, parts, origin, algorithm, language, labels, options, rows_train,
            metrics, terms, bytes, created_by)
        SELECT model, last_version, string_to_array($3, ',')::bigint[], 'refresh', algorithm, language, labels, options, $4,
            metrics, $5, (SELECT sum(octet_length(payload)) FROM sentiment.part
                          WHERE id = ANY (string_to_array($3, ',')::bigint[])), $6
        FROM numbered, sentiment.version WHERE model = $1 AND number = $2 RETURNING number::bigint";
    let parameters = [
        text_value(version.model),
        (pg_sys::INT4OID, version.from.into()),
        text_value(&parts),
        number_value(version.rows_train.try_into().unwrap_or(i64::MAX)),
        number_value(version.terms.try_into().unwrap_or(i64::MAX)),
        text_value(version.caller),
    ];
    let number = session.query(insert, &parameters, |[number]| integer(number))?;
    moment::announce()?;
    Ok(i32::try_from(number).unwrap_or(i32::MAX))
}

/// Whether a table of the registry has a column that the script of 0.1.0 did not make: the library may be newer than what was updated.
pub fn has_column(session: &Session, table: &CStr, column: &CStr) -> Result<bool> {
    let name = |name: &CStr| text_value(&text::string(name));
    let query = c"SELECT EXISTS (SELECT FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'sentiment'::regnamespace AND c.relname = $1::name AND a.attname = $2::name AND NOT a.attisdropped)";
    session
        .query(query, &[name(table), name(column)], |[found]| found.is_some_and(|found| found.value() != 0))
}

/// A whole number that a query returned. Queries name the type of every column that they ask for: the tables' owner may have
/// changed it.
pub fn integer(datum: Option<pg_sys::Datum>) -> i64 {
    datum.map_or(0, |datum| datum.value().cast_signed() as i64)
}

/// Deploys a version of a locked model. `false` if there is no such version. What is deployed already is what it was for a rollback: who
/// says it twice means to go back to another version.
pub fn deploy(session: &Session, model: &str, number: i32, reason: &str, caller: &str) -> Result<bool> {
    let deploy = c"WITH deployed AS (
            INSERT INTO sentiment.deployment (model, number, follows, reason, deployed_at, deployed_by)
            SELECT m.name, v.number, CASE WHEN m.current_version = v.number THEN c.follows ELSE m.current_deployment END, $3,
                clock_timestamp(), $4
            FROM sentiment.model AS m JOIN sentiment.version AS v ON v.model = m.name
            LEFT JOIN sentiment.deployment AS c ON c.id = m.current_deployment
            WHERE m.name = $1 AND v.number = $2 RETURNING id)
        UPDATE sentiment.model SET current_version = $2, current_deployment = d.id FROM deployed AS d WHERE name = $1";
    let number = (pg_sys::INT4OID, number.into());
    let parameters = [text_value(model), number, text_value(reason), text_value(caller)];
    let rows = session.execute(deploy, &parameters)?;
    moment::announce()?;
    Ok(rows > 0)
}

/// Goes back to the deployment before the current one of a locked model. The version's number; `None` if there is none.
pub fn roll_back(session: &Session, model: &str, caller: &str) -> Result<Option<i32>> {
    let roll_back = c"WITH back AS (
            INSERT INTO sentiment.deployment (model, number, follows, reason, deployed_at, deployed_by)
            SELECT m.name, t.number, t.follows, 'rollback', clock_timestamp(), $2
            FROM sentiment.model AS m
            JOIN sentiment.deployment AS c ON c.id = m.current_deployment
            JOIN sentiment.deployment AS t ON t.id = c.follows
            WHERE m.name = $1 RETURNING id, number)
        UPDATE sentiment.model SET current_version = b.number, current_deployment = b.id FROM back AS b
        WHERE name = $1 RETURNING b.number::bigint";
    let number = session.query(roll_back, &[text_value(model), text_value(caller)], |[number]| number)?;
    moment::announce()?;
    Ok(number.map(|number| i32::try_from(integer(Some(number))).unwrap_or(i32::MAX)))
}

/// Has each deployment of the model in parameter 1 follow the last one before it whose version is left, and is another than its own.
const FOLLOW_WHAT_IS_LEFT: &CStr = c"WITH RECURSIVE passed AS (
        SELECT d.id, d.number, v.number IS NULL AS gone, d.follows FROM sentiment.deployment AS d
        LEFT JOIN sentiment.version AS v ON v.model = d.model AND v.number = d.number WHERE d.model = $1),
    led AS (
        SELECT id, number, follows FROM passed WHERE NOT gone
        UNION SELECT l.id, l.number, p.follows FROM led AS l JOIN passed AS p ON p.id = l.follows
        WHERE p.gone OR p.number = l.number)
    UPDATE sentiment.deployment AS d SET follows = l.follows FROM led AS l
    WHERE d.id = l.id AND d.follows IS DISTINCT FROM l.follows
        AND NOT EXISTS (SELECT FROM passed AS p WHERE p.id = l.follows AND (p.gone OR p.number = l.number))";

/// Removes versions: those that `which` (a condition on `v`) says, of the model in parameter 1. The rest of the registry
/// forgets them.
fn remove(session: &Session, which: &str, parameters: &[Parameter]) -> Result<u64> {
    // Parts are shared by versions of one model only: what others have need not be looked at.
    let sql = format!(
        "WITH gone AS (
            DELETE FROM sentiment.version AS v WHERE v.model = $1 AND {which} RETURNING v.number, v.parts),
        unused AS (
            SELECT part FROM gone, unnest(gone.parts) AS part
            EXCEPT SELECT unnest(v.parts) FROM sentiment.version AS v
            WHERE v.model = $1 AND v.number NOT IN (SELECT number FROM gone)),
        dropped AS (DELETE FROM sentiment.part WHERE id IN (SELECT part FROM unused) RETURNING id)
        SELECT (SELECT count(*) FROM gone), (SELECT string_agg(id::text, ',') FROM dropped)"
    );
    let (removed, parts) =
        session.query(&statement(&sql), parameters, |[count, parts]| (integer(count), list_of(parts)))?;
    models::remove_at_commit(parts.split(',').filter_map(|id| id.parse().ok()).collect())?;
    if removed > 0 {
        let model = &parameters[..1];
        // The model's row is changed, and not locked alone: a transaction with an older snapshot, which still sees what is gone, is to fail
        // (40001) before it deploys it.
        let clean: [&CStr; 3] = [
            c"UPDATE sentiment.model SET last_version = last_version WHERE name = $1",
            FOLLOW_WHAT_IS_LEFT,
            c"DELETE FROM sentiment.deployment AS d WHERE d.model = $1 AND NOT EXISTS (
                SELECT FROM sentiment.version AS v WHERE v.model = d.model AND v.number = d.number)",
        ];
        for statement in clean {
            session.execute(statement, model)?;
        }
    }
    moment::announce()?;
    Ok(u64::try_from(removed).unwrap_or_default())
}

/// The versions `v` of the model in parameter 1 that pruning to the number in parameter 2 may take: never the current one, and
/// never the one that a rollback goes back to.
const OLD: &str = "v.number NOT IN (
        SELECT n.number FROM sentiment.version AS n WHERE n.model = $1 ORDER BY n.number DESC LIMIT $2)
    AND NOT EXISTS (
        SELECT FROM sentiment.model AS m
        LEFT JOIN sentiment.deployment AS c ON c.id = m.current_deployment
        LEFT JOIN sentiment.deployment AS t ON t.id = c.follows
        WHERE m.name = $1 AND v.number IN (m.current_version, t.number))";

/// Removes the old versions of a locked model, but none that is pinned.
///
/// Whether an index names one that another session is building, nobody sees until that session commits. So while another makes
/// anything out of relations, or changes one, all stay, until the next time; and what is committed counts, however old this
/// transaction's snapshot. (Asked of the function behind `pg_locks`, for some servers let nobody read that view.)
pub fn prune(session: &Session, model: &str, keep: u32) -> Result<()> {
    let parameters = [text_value(model), number_value(keep.into())];
    let waits = format!(
        "SELECT EXISTS (SELECT FROM sentiment.version AS v WHERE v.model = $1 AND {OLD}) AND EXISTS (
            SELECT FROM pg_lock_status() AS l JOIN pg_database AS d ON d.oid = l.database
            WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.granted
                AND l.mode IN ('AccessExclusiveLock', 'ShareRowExclusiveLock') AND l.pid IS DISTINCT FROM pg_backend_pid())"
    );
    if session
        .query(&statement(&waits), &parameters, |[waits]| waits.is_some_and(|waits| waits.value() != 0))?
    {
        return Ok(());
    }
    let old = format!(
        "SELECT string_agg(v.number::text, ',') FROM sentiment.version AS v
        WHERE v.model = $1 AND {OLD} AND NOT sentiment.is_pinned(v.model || '@' || v.number)"
    );
    let old = session.query_now(&statement(&old), &parameters, |[old]| list_of(old))?;
    let which = "v.number = ANY (string_to_array($2, ',')::int[])";
    remove(session, which, &[text_value(model), text_value(&old)]).map(drop)
}

/// As [`prune`], to the number that the model's last training asked for.
pub fn prune_as_set(session: &Session, model: &str) -> Result<()> {
    let query = c"SELECT keep_versions::bigint FROM sentiment.model WHERE name = $1";
    let keep = session.query(query, &[text_value(model)], |[keep]| integer(keep))?;
    prune(session, model, u32::try_from(keep).unwrap_or(u32::MAX))
}

/// Sets how many versions of a locked model are kept.
pub fn keep_versions(session: &Session, model: &str, keep: u32) -> Result<()> {
    let update = c"UPDATE sentiment.model SET keep_versions = $2 WHERE name = $1";
    let keep = (pg_sys::INT4OID, i32::try_from(keep).unwrap_or(i32::MAX).into());
    session.execute(update, &[text_value(model), keep]).map(drop)
}

/// A list of numbers that a query returned as a text, with commas between them: however long it is, for it is not for the core to read.
pub fn list_of(datum: Option<pg_sys::Datum>) -> String {
    // SAFETY: queries ask for the columns that are read this way as text; the server copies out what is stored elsewhere.
    let bytes = |datum: pg_sys::Datum| unsafe {
        pgrx::varlena_to_byte_slice(pg_sys::pg_detoast_datum(datum.cast_mut_ptr()))
    };
    datum.map(|datum| String::from_utf8_lossy(bytes(datum)).into_owned()).unwrap_or_default()
}

/// A text that a query returned; no more of it than is read of any text.
pub fn text_of(datum: Option<pg_sys::Datum>) -> String {
    // SAFETY: queries ask for the columns that are read this way as text.
    datum
        .map(|datum| unsafe { StoredText::new(datum) }.read(|text| text.to_str().into_owned()))
        .unwrap_or_default()
}

/// Makes sure that no object of the database names a version.
pub fn require_unpinned(session: &Session, version: &str) -> Result<()> {
    let query = c"SELECT sentiment.is_pinned($1)";
    let pinned = session.query_now(query, &[text_value(version)], |[pinned]| pinned)?;
    if pinned.is_some_and(|datum| datum.value() != 0) { Err(pinned_by(session, version)?) } else { Ok(()) }
}

/// The error that says what names a version. The script of 0.1.0, which the library may be newer than, has no function that knows.
fn pinned_by(session: &Session, version: &str) -> Result<Failure> {
    let query = c"SELECT to_regprocedure('sentiment.pinned_by(text)') IS NULL";
    if session.query(query, &[], |[missing]| missing.is_some_and(|missing| missing.value() != 0))? {
        return Ok(Failure::version_pinned(version, "an object of the database"));
    }
    let query = c"SELECT sentiment.pinned_by($1)::text";
    let object = session.query_now(query, &[text_value(version)], |[object]| text_of(object))?;
    Ok(Failure::version_pinned(version, &object))
}

/// Removes one version of a locked model; `false` if there is none.
pub fn drop_version(session: &Session, model: &str, number: i32) -> Result<bool> {
    let number = (pg_sys::INT4OID, number.into());
    Ok(remove(session, "v.number = $2", &[text_value(model), number])? > 0)
}

/// Removes a locked model; its name keeps its last number.
pub fn drop_model(session: &Session, model: &str) -> Result<()> {
    let parameters = [text_value(model)];
    let pinned = c"SELECT (v.model || '@' || v.number)::text FROM sentiment.version AS v
        WHERE v.model = $1 AND sentiment.is_pinned(v.model || '@' || v.number) LIMIT 1";
    let found = session.query_now(pinned, &parameters, |[version]| text_of(version))?;
    if !found.is_empty() {
        return Err(pinned_by(session, &found)?);
    }
    remove(session, "true", &parameters)?;
    let clean: [&CStr; 4] = [
        c"UPDATE sentiment.model SET current_version = NULL, current_deployment = NULL WHERE name = $1",
        c"DELETE FROM sentiment.feedback WHERE model = $1",
        c"DELETE FROM sentiment.unlearned WHERE model = $1",
        c"DELETE FROM sentiment.term WHERE model = $1",
    ];
    clean.into_iter().try_for_each(|statement| session.execute(statement, &parameters).map(drop))
}
