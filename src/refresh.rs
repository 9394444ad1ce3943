//! `refresh_sentiment()`: a model learns what is new, and is deployed.

use std::time::Instant;

use pgrx::IntoDatum;
use sentiment_core::refresh::{Lesson, RefreshedPart, refresh};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::{Failure, Result, Shown};
use crate::feedback;
use crate::lifecycle::model_argument;
use crate::models;
use crate::registry::store::{self, Part, RefreshedVersion};
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
    refuse_read_only("refresh_sentiment()")?;
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
    let current = match known.current {
        Some(current) => current,
        None if lookup::has_version(model)? => return Err(Failure::not_deployed(Shown(model))),
        None => return Err(Failure::unknown_model(Shown(model))),
    };
    let ids = lookup::parts(model, current)?.ok_or_else(Failure::registry_damaged)?;
    let (&base_id, delta_ids) = ids.split_first().ok_or_else(Failure::registry_damaged)?;
    let base = models::base(base_id)?;
    let deltas = delta_ids.iter().map(|&id| lookup::part(id)).collect::<Result<Vec<_>>>()?;
    let deltas: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
    let filed = feedback::new(session, model, current, most)?;
    let lessons: Vec<Lesson<'_>> =
        filed.iter().map(|filed| Lesson { text: filed.body.as_bytes(), label: &filed.label }).collect();
    let own_terms = feedback::terms_to_take(session, model)?;
    let refreshed = refresh(&base, &deltas, &lessons, own_terms.as_deref(), &mut interruptible)?;
    models::keep_base(base_id, base);
    let number = match &refreshed.parts {
        None => current,
        Some(now) => {
            let part = |part| match part {
                &RefreshedPart::Kept(at) => Part::Known(ids[at]),
                RefreshedPart::New(bytes) => Part::New(bytes),
            };
            let version = RefreshedVersion {
                model,
                from: current,
                parts: now.iter().map(part).collect(),
                rows_train: refreshed.rows_train,
                terms: refreshed.terms,
                caller,
            };
            let number = store::store_refreshed(session, &version)?;
            store::deploy(session, model, number, "refresh", caller)?;
            store::prune_as_set(session, model)?;
            number
        }
    };
    if refreshed.rows_skipped > 0 {
        pgrx::notice!(
            "examples that taught model {} nothing, for they hold nothing to score: {}",
            Shown(model),
            refreshed.rows_skipped
        );
    }
    let ids: Vec<i64> = filed.iter().map(|filed| filed.id).collect();
    feedback::learned(session, model, &ids)?;
    feedback::terms_changed(session, model, false)?;
    Ok(Refreshed { number, rows: refreshed.rows_used })
}

/// Lets a cancelled refresh end; the core calls this every few microseconds to milliseconds.
fn interruptible(_: &'static str, _: usize, _: usize) -> sentiment_core::Result<()> {
    pgrx::check_for_interrupts!();
    Ok(())
}
