//! How far the trainings of this server have come: for the view `sentiment.training_progress`, and as NOTICEs.
//!
//! The server keeps a few numbers for each session where all others can read them, without a lock and without preloading
//! anything, and clears them when a transaction fails: VACUUM and COPY report by them. A command number of our own keeps a
//! training out of the server's views of those.

use std::time::{Duration, Instant};

use pgrx::{IntoDatum, pg_sys};
use sentiment_core::train::Watch;

use crate::call::{Answer, Call, sql_functions};
use crate::errors::Shown;
use crate::report;
use crate::result::Rows;
use crate::settings;
use crate::text;
use crate::threads;

sql_functions!(training_sessions);

/// What marks a session's numbers as those of a training: none of the server's own commands.
const TRAINING: pg_sys::ProgressCommandType::Type = 0x5347;

/// Where the numbers stand among the session's.
const DONE: usize = 0;
const TOTAL: usize = 1;
const STARTED: usize = 2;
const PHASE: std::ops::Range<usize> = 3..7;
const MODEL: std::ops::Range<usize> = 7..15;
const NUMBERS: usize = MODEL.end;

/// How often the numbers are written: often enough to be watched, seldom enough to cost nothing.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// A training that can be watched and cancelled.
#[derive(Debug)]
pub struct Progress {
    model: String,
    phase: &'static str,
    begun: Instant,
    shown: Instant,
    told: Instant,
}

impl Progress {
    /// Begins to report; what an error leaves behind the server clears.
    pub fn begin(model: &str) -> Self {
        let now = Instant::now();
        let mut numbers = [0; NUMBERS];
        // SAFETY: reads the time.
        numbers[STARTED] = unsafe { pg_sys::GetCurrentTimestamp() };
        pack(model, &mut numbers[MODEL]);
        // SAFETY: the command is only compared with others, and the session has these numbers.
        unsafe { pg_sys::pgstat_progress_start_command(TRAINING, pg_sys::InvalidOid) };
        publish(STARTED, &numbers[STARTED..]);
        Self { model: model.to_owned(), phase: "", begun: now, shown: now, told: now }
    }

    /// The training is over.
    pub fn end(self) {
        // SAFETY: clears the session's own numbers.
        unsafe { pg_sys::pgstat_progress_end_command() };
    }

    /// Lets a cancelled query end, and reports now and then. `total` is 0 where it is not known.
    pub fn step(&mut self, phase: &'static str, done: usize, total: usize) {
        pgrx::check_for_interrupts!();
        let now = Instant::now();
        let new = phase != self.phase;
        if !new && now - self.shown < SHOWN_EVERY {
            return;
        }
        self.phase = phase;
        self.shown = now;
        let mut numbers = [0; PHASE.end];
        for (number, value) in [(DONE, done), (TOTAL, total)] {
            numbers[number] = i64::try_from(value).unwrap_or(i64::MAX);
        }
        pack(phase, &mut numbers[PHASE]);
        if new {
            publish(PHASE.start, &numbers[PHASE]);
        }
        publish(DONE, &numbers[..STARTED]);
        if settings::progress_interval().is_some_and(|interval| now - self.told >= interval) {
            self.told = now;
            self.tell(done, total);
        }
    }

    fn tell(&self, done: usize, total: usize) {
        let (model, phase, seconds) = (Shown(&self.model), self.phase, self.begun.elapsed().as_secs());
        let of = if total == 0 { String::new() } else { format!(" of {total}") };
        let notice = format!("training model {model} for {seconds} s: {phase}, {done}{of}");
        report::notice(&notice);
    }
}

impl Watch for Progress {
    fn step(&mut self, phase: &'static str, done: usize, total: usize) -> sentiment_core::Result<()> {
        Self::step(self, phase, done, total);
        if threads::any_waits_for_memory() { Err(sentiment_core::memory::lacking()) } else { Ok(()) }
    }
}

/// Writes some of the session's numbers, from `first` on.
fn publish(first: usize, values: &[i64]) {
    let places: Vec<i32> =
        (first..).take(values.len()).map(|place| i32::try_from(place).unwrap_or_default()).collect();
    // SAFETY: as many places as values, all of them below the number that a session has.
    unsafe {
        let count = i32::try_from(values.len()).unwrap_or_default();
        pg_sys::pgstat_progress_update_multi_param(count, places.as_ptr(), values.as_ptr());
    }
}

/// A name as numbers, eight bytes each; what does not fit is cut off.
fn pack(name: &str, numbers: &mut [i64]) {
    let mut bytes = name.bytes();
    for number in numbers {
        *number = i64::from_le_bytes(std::array::from_fn(|_| bytes.next().unwrap_or(0)));
    }
}

/// The name that was packed, without what was cut off in the middle of a character.
fn unpack(numbers: &[i64]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let name = String::from_utf8_lossy(&bytes);
    name.trim_end_matches(['\0', '\u{fffd}']).to_owned()
}

/// `sentiment.training_sessions()`: a row a training, on any database of the server. What it is about is shown to those to
/// whom the server shows what a session does.
fn training_sessions(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    // SAFETY: asks the server for its own copies of all sessions' states, which live until the transaction ends.
    let sessions = unsafe { pg_sys::pgstat_fetch_stat_numbackends() };
    for session in 1..=sessions {
        let Some(state) = state_of(session).filter(|state| state.st_progress_command == TRAINING) else {
            continue;
        };
        let numbers = &state.st_progress_param;
        let shown = may_see(state.st_userid);
        let told = |number: usize| if shown { numbers[number].into_datum() } else { None };
        let name = |range| if shown { Some(text::datum(&unpack(&numbers[range]))) } else { None };
        rows.push([
            state.st_procpid.into_datum(),
            state.st_databaseid.into_datum(),
            name(MODEL),
            name(PHASE),
            told(DONE),
            told(TOTAL),
            told(STARTED),
        ]);
    }
    Ok(None)
}

/// The state of a session, by its place in the server's list.
fn state_of(session: i32) -> Option<&'static pg_sys::PgBackendStatus> {
    // SAFETY: the place is in the list; the copy lives until the transaction ends, longer than anybody here uses it.
    unsafe {
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        let entry = pg_sys::pgstat_fetch_stat_local_beentry(session);
        #[cfg(not(any(feature = "pg14", feature = "pg15")))]
        let entry = pg_sys::pgstat_get_local_beentry_by_index(session);
        entry.as_ref().map(|entry| &entry.backendStatus)
    }
}

/// Whether the caller may see what a session of this user does, by the rule of the server's own views.
fn may_see(user: pg_sys::Oid) -> bool {
    // SAFETY: looks in the catalogs.
    unsafe {
        let caller = pg_sys::GetUserId();
        let statistician = pg_sys::Oid::from(pg_sys::ROLE_PG_READ_ALL_STATS);
        pg_sys::has_privs_of_role(caller, user) || pg_sys::has_privs_of_role(caller, statistician)
    }
}
