//! Deploying, rolling back, dropping, moving: the life of a model after it was trained.

use pgrx::{IntoDatum, pg_sys};
use sentiment_core::{Predictor, bundle, memory};

use crate::call::{Answer, Call, nothing, sql_functions};
use crate::errors::{Failure, Result, Shown};
use crate::feedback;
use crate::models::{self, Model};
use crate::overview;
use crate::registry::store::{self, NewVersion, Part};
use crate::registry::{as_owner, caller};
use crate::report;
use crate::sql::{Access, Session};
use crate::target::refuse_read_only;
use crate::text;

sql_functions!(deploy_sentiment, rollback_sentiment, drop_sentiment, export_sentiment, import_sentiment);

/// The model that argument `index` names.
pub fn model_argument(call: &Call, index: usize) -> Result<String> {
    let name = call.text(index).ok_or_else(|| Failure::null_argument("model"))?;
    Ok(name.read(|name| name.to_str().into_owned()))
}

/// A version's name as an answer.
pub fn version_datum(model: &str, number: i32) -> Answer {
    Ok(Some(text::datum(&format!("{model}@{number}"))))
}

/// `deploy_sentiment(model, version)`.
fn deploy_sentiment(call: &Call) -> Answer {
    refuse_read_only("deploy_sentiment()")?;
    let model = model_argument(call, 0)?;
    let number: i32 = call.required(1, "version")?;
    store::check_name(&model)?;
    let caller = caller();
    as_owner(Access::Write, |session| {
        store::lock_known(session, &model)?;
        if store::deploy(session, &model, number, "deploy", &caller)? {
            return feedback::deployed_by_hand(session, &model, number);
        }
        Err(Failure::unknown_version(Shown(&model), Shown(&number.to_string())))
    })?;
    version_datum(&model, number)
}

/// `rollback_sentiment(model)`.
fn rollback_sentiment(call: &Call) -> Answer {
    refuse_read_only("rollback_sentiment()")?;
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let caller = caller();
    let number = as_owner(Access::Write, |session| {
        store::lock_known(session, &model)?;
        let number = store::roll_back(session, &model, &caller)?;
        number.ok_or_else(|| Failure::nothing_before(Shown(&model)))
    })?;
    version_datum(&model, number)
}

/// `drop_sentiment(model, version)`.
fn drop_sentiment(call: &Call) -> Answer {
    refuse_read_only("drop_sentiment()")?;
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let number: Option<i32> = call.value(1);
    as_owner(Access::Write, |session| {
        let known = store::lock_known(session, &model)?;
        let Some(number) = number else {
            store::drop_model(session, &model)?;
            return tell_of_triggers(session, &model);
        };
        let version = format!("{model}@{number}");
        if known.current == Some(number) {
            return Err(Failure::version_deployed(&version));
        }
        store::require_unpinned(session, &version)?;
        if store::drop_version(session, &model, number)? {
            return Ok(());
        }
        Err(Failure::unknown_version(Shown(&model), Shown(&number.to_string())))
    })?;
    nothing()
}

/// Tells whoever dropped a model which tables it scored: their rows are stored without sentiment from now on.
fn tell_of_triggers(session: &Session, model: &str) -> Result<()> {
    let tables = overview::scored_by(session, model)?;
    if !tables.is_empty() {
        let notice = format!(
            "triggers still name the model, and rows are stored without sentiment: {}",
            tables.join(", ")
        );
        report::notice(&notice);
    }
    Ok(())
}

/// `export_sentiment(model, version)`: the bytes of a version.
fn export_sentiment(call: &Call) -> Answer {
    let model = model_argument(call, 0)?;
    if model == models::AUTO {
        return Err(Failure::auto_has_no_version());
    }
    let reference = match call.value::<i32>(1) {
        Some(number) => format!("{model}@{number}"),
        None => model.clone(),
    };
    let open = Model::by_name(&reference)?;
    if let Some(bytes) = open.shipped_bytes() {
        return Ok(bytes.into_datum());
    }
    let parts = models::parts(&reference)?;
    memory::probe(2 * parts.iter().map(Vec::len).sum::<usize>())?;
    Ok(bundle::write(&parts).as_slice().into_datum())
}

/// `import_sentiment(model, payload)`: stores bytes as a new version.
fn import_sentiment(call: &Call) -> Answer {
    refuse_read_only("import_sentiment()")?;
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let payload = call.datum(1).ok_or_else(|| Failure::null_argument("payload"))?;
    // SAFETY: the install script declares the argument as bytea; what is not yet in memory as a whole is copied by the server,
    // and lives as long as the call.
    let payload = unsafe { pgrx::varlena_to_byte_slice(pg_sys::pg_detoast_datum(payload.cast_mut_ptr())) };
    let (base, deltas) = bundle::read(payload)?;
    let card = Predictor::open_parts(base, &deltas)?;
    let caller = caller();
    let version = NewVersion {
        model: &model,
        parts: std::iter::once(base).chain(deltas.iter().copied()).map(Part::New).collect(),
        origin: "import",
        options: "{}",
        metrics: card.metrics(),
        caller: &caller,
    };
    let number = as_owner(Access::Write, |session| {
        store::lock(session, &model)?;
        let number = store::store(session, version, &card)?;
        store::prune_as_set(session, &model)?;
        Ok(number)
    })?;
    version_datum(&model, number)
}
