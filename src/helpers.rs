//! Threads that help a training: what the core starts them with, and what of the server's they must not meet.
//!
//! They call nothing but the core. The server's signal handlers are for the session's own thread, so helpers take no signals; an
//! interrupt is seen by that thread, which stops them. Nothing of theirs outlives the call.

use std::mem::MaybeUninit;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the set is filled before it is read, and changes this thread alone; what was blocked before is only read if it was
    // written.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        if libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) != 0 {
            return;
        }
    }
    starting();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
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

/// A helper waits for memory, or does not any more.
pub fn wait_for_memory(waiting: bool) {
    WAITING.store(waiting, Ordering::Relaxed);
}

/// Whether a helper waits for memory, which it gets when the training ends.
pub fn any_waits_for_memory() -> bool {
    WAITING.load(Ordering::Relaxed)
}
