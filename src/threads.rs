//! Threads that help a training: what the core starts them with, and what of the server's they must not meet.
//!
//! They call nothing but the core. The server's signal handlers are for the session's own thread, so helpers take no signals; an
//! interrupt is seen by that thread, which stops them. Nothing of theirs outlives the call.

use std::mem::MaybeUninit;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

use pgrx::pg_sys;
use sentiment_core::train::Helpers;

use crate::memory;

/// Bytes that are there for what all helpers need to begin.
const ROOM: usize = 64 << 10;

/// The session's own thread, as of the last time when helpers were started; 0 if none were.
static SESSION: AtomicUsize = AtomicUsize::new(0);

/// Whether a helper waits for memory.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Since when the session knows that one does, in milliseconds of a clock that only goes forward; 0 if none does.
static KNOWN: AtomicU64 = AtomicU64::new(0);

/// A helper that waits so many milliseconds more waits for what does not come: the training was stopped, and gave back what it had.
const PATIENCE: u64 = 1_000;

/// As many helpers as the server lets a maintenance command have workers, on processors of their own.
pub fn allowed() -> Option<Helpers> {
    // SAFETY: reads a variable of the server's.
    let workers = usize::try_from(unsafe { pg_sys::max_parallel_maintenance_workers }).unwrap_or_default();
    let most = workers.min(available_parallelism().map_or(0, NonZero::get).saturating_sub(1));
    (most > 0).then_some(Helpers { most, start })
}

/// Runs what starts them with all signals blocked.
fn start(starting: &mut dyn FnMut()) {
    if memory::make_room(ROOM).is_err() {
        return;
    }
    SESSION.store(this_thread(), Ordering::Relaxed);
    WAITING.store(false, Ordering::Relaxed);
    KNOWN.store(0, Ordering::Relaxed);
    if let Some(_blocked) = Blocked::all() {
        starting();
    }
}

/// Signals that this thread does not take as long as this lives.
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    /// Blocks all of them, if the system lets it.
    fn all() -> Option<Self> {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: the set is filled before it is read, and changes this thread alone; what was blocked before is only read if it was
        // written.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            let blocked = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0;
            blocked.then(|| Self { before: before.assume_init() })
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: as above; it is what this thread had blocked before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// What tells this thread from others.
#[allow(clippy::cast_possible_truncation, reason = "it is as wide as a pointer")]
fn this_thread() -> usize {
    // SAFETY: always there.
    (unsafe { libc::pthread_self() }) as usize
}

/// Whether this thread is a helper.
pub fn is_one() -> bool {
    let session = SESSION.load(Ordering::Relaxed);
    session != 0 && session != this_thread()
}

/// Milliseconds of a clock that only goes forward, and never 0; allocates nothing.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time to where it is told to; the clock is there on all systems.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (seconds, nanoseconds) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    (seconds * 1_000 + nanoseconds / 1_000_000).max(1)
}

/// A helper waits for memory, or does not any more.
pub fn wait_for_memory(waiting: bool) {
    WAITING.store(waiting, Ordering::Relaxed);
}

/// Whether a helper waits for memory, and the training is to be stopped, for what that gives back. Where this is asked on, and
/// the helper waits on, there is nothing more to give back: then the session ends, as where itself has no memory.
pub fn any_waits_for_memory() -> bool {
    let waits = WAITING.load(Ordering::Relaxed);
    match KNOWN.load(Ordering::Relaxed) {
        _ if !waits => KNOWN.store(0, Ordering::Relaxed),
        0 => KNOWN.store(now(), Ordering::Relaxed),
        since if now().saturating_sub(since) > PATIENCE => memory::end_session(),
        _ => {}
    }
    waits
}
