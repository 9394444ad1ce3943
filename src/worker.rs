//! The background worker that refreshes models on a schedule, where the library is in `shared_preload_libraries`.
//!
//! A launcher starts a worker for each database of `sentiment.refresh_databases`. A worker looks for new examples every
//! `sentiment.refresh_interval`, and refreshes each model that has any in a transaction of its own. Nothing depends on it:
//! without it any scheduler may call `refresh_sentiment()`.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, DynamicBackgroundWorker, SignalWakeFlags,
};
use pgrx::{PgTryBuilder, pg_guard, pg_sys};

use crate::errors::{Failure, Result, Shown};
use crate::memory;
use crate::refresh;
use crate::registry::store::text_of;
use crate::registry::{as_owner, caller, relation};
use crate::settings;
use crate::sql::Access;
use crate::text;

/// How long a worker that ended, or a model that could not be refreshed, is left alone: each try may leave a line in the log.
const RETRY: Duration = Duration::from_secs(60);

/// How long the launcher sleeps where there is nothing to do; a reload of the settings wakes it.
const IDLE: Duration = Duration::from_secs(60);

/// The most examples that one refresh learns from: it stays short, and the rest is next.
const BATCH: i64 = 10_000;

/// Registers the launcher, if the server is loading its preloaded libraries.
pub fn register() {
    // SAFETY: reads a variable of the server's.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        BackgroundWorkerBuilder::new("pg_sentiment launcher")
            .set_type("pg_sentiment launcher")
            .set_library("pg_sentiment")
            .set_function("pg_sentiment_launcher")
            .enable_shmem_access(None)
            .set_start_time(BgWorkerStartTime::RecoveryFinished)
            .set_restart_time(Some(Duration::from_secs(10)))
            .load();
    }
}

/// A worker that was started, and when.
struct Started {
    worker: DynamicBackgroundWorker,
    at: Instant,
}

/// The launcher's life.
#[unsafe(no_mangle)]
#[pg_guard]
extern "C-unwind" fn pg_sentiment_launcher(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    let mut workers: BTreeMap<String, Started> = BTreeMap::new();
    loop {
        if settings::refresh_interval().is_some() {
            for database in settings::refresh_databases() {
                let started = workers.get(&database);
                let rests = started
                    .is_some_and(|started| started.worker.pid().is_ok() || started.at.elapsed() < RETRY);
                if rests {
                    continue;
                }
                if let Some(worker) = start(&database) {
                    workers.insert(database, Started { worker, at: Instant::now() });
                }
            }
        }
        if !BackgroundWorker::wait_latch(Some(IDLE)) {
            return;
        }
        reload_settings();
    }
}

/// Starts the worker of a database; `None` where the server has no room for another worker.
fn start(database: &str) -> Option<DynamicBackgroundWorker> {
    let worker = BackgroundWorkerBuilder::new(&format!("pg_sentiment refresh of {database}"))
        .set_type("pg_sentiment refresh")
        .set_library("pg_sentiment")
        .set_function("pg_sentiment_refresh")
        .set_extra(database)
        .enable_spi_access()
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(None)
        // SAFETY: reads the process's own number; the server tells this process when the worker starts and ends.
        .set_notify_pid(unsafe { pg_sys::MyProcPid })
        .load_dynamic();
    if worker.is_err() {
        let message = "no background worker is free to refresh models";
        pgrx::warning!("{message}; raise max_worker_processes");
    }
    worker.ok()
}

fn reload_settings() {
    if BackgroundWorker::sighup_received() {
        // SAFETY: a worker's main loop is where the server has settings read again.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
}

/// A worker's life: as long as its database is listed.
#[unsafe(no_mangle)]
#[pg_guard]
extern "C-unwind" fn pg_sentiment_refresh(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    let database = BackgroundWorker::get_extra().to_owned();
    BackgroundWorker::connect_worker_to_spi(Some(&database), None);
    set_own_defaults();
    // SAFETY: nothing else is in the server's list of what adds context.
    unsafe { pg_sys::error_context_stack = memory::on_error() };
    let mut failed: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let listed = settings::refresh_databases().contains(&database);
        let Some(interval) = settings::refresh_interval().filter(|_| listed) else { return };
        failed.retain(|_, at| at.elapsed() < RETRY);
        let place = format!("in database {}", Shown(&database));
        let found = in_transaction(&format!("finding new examples {place}"), due);
        // Where even that fails, the next try has time as well.
        let interval = if found.is_some() { interval } else { RETRY.max(interval) };
        for model in found.unwrap_or_default() {
            if failed.contains_key(&model) {
                continue;
            }
            let activity = format!("refreshing model {} {place}", Shown(&model));
            let refreshed = in_transaction(&activity, || refresh(&model));
            if refreshed.is_none() {
                failed.insert(model, Instant::now());
            }
        }
        if !rest(interval) {
            return;
        }
        reload_settings();
    }
}

/// Waits for the next look. A cancel that comes meanwhile finds nothing to cancel, and is taken as any session at rest takes it: it had
/// ended the worker. Whether the worker goes on.
fn rest(interval: Duration) -> bool {
    // SAFETY: counters and flags of this process, which is all that writes them but for signals, and those set the flag alone. Where
    // the wait ends with an error, so does the process.
    unsafe {
        pg_sys::QueryCancelHoldoffCount += 1;
        let goes_on = BackgroundWorker::wait_latch(Some(interval));
        pg_sys::QueryCancelPending = 0;
        pg_sys::QueryCancelHoldoffCount -= 1;
        goes_on
    }
}

/// Sets what the worker's transactions rest on, whatever the server's sessions begin with. A model that somebody has locked for long is
/// left for later, and does not keep the others waiting.
fn set_own_defaults() {
    for (name, value) in [
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_isolation", c"read committed"),
        (c"lock_timeout", c"1s"),
    ] {
        // SAFETY: the settings are the server's own, and take these values.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}

/// The models of this database for which there is something new; none where the extension is not installed.
fn due() -> Result<Vec<String>> {
    if relation(c"model").is_err() {
        return Ok(Vec::new());
    }
    let mut models = Vec::new();
    as_owner(Access::Read, |session| {
        let query = c"SELECT m.name::text FROM sentiment.model AS m
            JOIN sentiment.version AS v ON v.model = m.name AND v.number = m.current_version
            WHERE v.algorithm IN ('naive_bayes', 'logistic_regression') AND (m.terms_changed OR EXISTS (
                SELECT FROM sentiment.unlearned AS u JOIN sentiment.feedback AS f ON f.id = u.feedback
                WHERE u.model = m.name AND f.label = ANY (v.labels::text[])))
            ORDER BY m.name";
        session.each(query, &[], 1_000, |[name]| {
            models.push(text_of(name));
            Ok(())
        })
    })?;
    Ok(models)
}

fn refresh(model: &str) -> Result<()> {
    let caller = caller();
    as_owner(Access::Write, |session| refresh::learn(session, model, BATCH, &caller)).map(drop)
}

/// Runs `work` in a transaction of its own. A failure is logged as a warning, and undone; the worker goes on.
fn in_transaction<T>(activity: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
    let shown = text::c_string(activity);
    // SAFETY: the worker is connected to its database and in no transaction; each one that is begun here ends here.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, shown.as_ptr());
    }
    let work = || memory::set_aside().map_err(Failure::from).and_then(|()| work());
    let work = AssertUnwindSafe(|| work().map_err(|failure| failure.warn(activity)).ok());
    let done = PgTryBuilder::new(work)
        .catch_others(|error| {
            Failure::caught(&error).warn(activity);
            None
        })
        .execute();
    // SAFETY: as above.
    unsafe {
        if done.is_some() {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        } else {
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    done
}
