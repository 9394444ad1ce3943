//! `refresh_sentiment()`: a model learns what is new, and is deployed.

use std::time::Instant;

use pgrx::IntoDatum;
use sentiment_core::Predictor;
use sentiment_core::refresh::{Lesson, RefreshedPart, refresh};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::{Failure, Result, Shown};
use crate::feedback;
use crate::lifecycle::model_argument;
use crate::registry::store::{self, NewVersion, Part};
use crate::registry::{as_owner, caller, lookup};
use crate::result::record;
use crate::sql::{Access, Session};
use crate::target::refuse_read_only;
use crate::text;

sql_functions!(refresh_sentiment);

/// What a refresh came to.
#[derive(Debug)]
pub struct Refreshed {
    /// The number of the version that is deployed now.
    pub number: i32,
    /// Examples that were learned from.
    pub rows: u64,
}

/// `refresh_sentiment(model, max_rows)`: learns what is new, and deploys it.
fn refresh_sentiment(call: &Call) -> Answer {
    let started = Instant::now();
    refuse_read_only(c"refresh_sentiment()");
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let most: i32 = call.required(1, "max_rows")?;
    if most < 1 {
        return Err(Failure::max_rows_not_positive(most));
    }
    let caller = caller();
    let refreshed = as_owner(Access::Write, |session| learn(session, &model, most.into(), &caller))?;
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    let version = text::datum(&format!("{model}@{}", refreshed.number));
    let rows = i64::try_from(refreshed.rows).ok().into_datum();
    record(call, [Some(version), rows, milliseconds.into_datum()]).map(Some)
}

/// Learns from examples that are not in the deployed version.
pub fn learn(session: &Session, model: &str, most: i64, caller: &str) -> Result<Refreshed> {
    let known = store::lock_known(session, model)?;
    let current = known.current.ok_or_else(|| Failure::not_deployed(Shown(model)))?;
    let ids = lookup::parts(model, current)?.ok_or_else(Failure::registry_damaged)?;
    let parts = ids.iter().map(|&id| lookup::part(id)).collect::<Result<Vec<_>>>()?;
    let (base, deltas) = apart(&parts)?;
    let filed = feedback::new(session, model, most)?;
    let lessons: Vec<Lesson<'_>> =
        filed.iter().map(|filed| Lesson { text: filed.body.as_bytes(), label: &filed.label }).collect();
    let own_terms = feedback::own_terms(session, model)?;
    let refreshed = refresh(base, &deltas, &lessons, &own_terms, &mut interruptible)?;
    let number = match &refreshed.parts {
        None => current,
        Some(now) => Version { model, ids: &ids, parts: &parts, now, caller }.store(session)?,
    };
    feedback::learned(session, model, &filed)?;
    feedback::terms_changed(session, model, false)?;
    Ok(Refreshed { number, rows: refreshed.rows_used })
}

/// Lets a cancelled refresh end; the core calls this every few microseconds to milliseconds.
fn interruptible(_: &'static str, _: usize, _: usize) -> sentiment_core::Result<()> {
    pgrx::check_for_interrupts!();
    Ok(())
}

/// The base and the deltas of a version.
fn apart(parts: &[Vec<u8>]) -> Result<(&[u8], Vec<&[u8]>)> {
    let (base, deltas) = parts.split_first().ok_or_else(Failure::registry_damaged)?;
    Ok((base, deltas.iter().map(Vec::as_slice).collect()))
}

/// A refreshed version that is to be stored.
struct Version<'v> {
    model: &'v str,
    /// The parts of the version before, with their numbers.
    ids: &'v [i64],
    parts: &'v [Vec<u8>],
    /// The parts of this one.
    now: &'v [RefreshedPart],
    caller: &'v str,
}

impl Version<'_> {
    /// Stores the version and deploys it; its number.
    fn store(&self, session: &Session) -> Result<i32> {
        let bytes: Vec<&[u8]> = self.now.iter().map(|part| self.bytes(part)).collect();
        let (base, deltas) = bytes.split_first().ok_or_else(Failure::registry_damaged)?;
        let card = Predictor::open_parts(base, deltas)?;
        let part = |part| match part {
            &RefreshedPart::Kept(at) => Part::Known(self.ids[at]),
            RefreshedPart::New(bytes) => Part::New(bytes),
        };
        let (options, metrics) = store::current_figures(session, self.model)?;
        let version = NewVersion {
            model: self.model,
            parts: self.now.iter().map(part).collect(),
            origin: "refresh",
            options: &options,
            metrics: &metrics,
            caller: self.caller,
        };
        let number = store::store(session, version, &card)?;
        store::deploy(session, self.model, number, "refresh", self.caller)?;
        store::prune_as_set(session, self.model)?;
        Ok(number)
    }

    fn bytes<'p>(&'p self, part: &'p RefreshedPart) -> &'p [u8] {
        match part {
            RefreshedPart::Kept(at) => &self.parts[*at],
            RefreshedPart::New(bytes) => bytes,
        }
    }
}
