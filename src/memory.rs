//! What happens where there is no memory left.
//!
//! PostgreSQL's own allocations end the statement then. Rust's would end the process by a signal, upon which the server ends
//! every other session and recovers from its log. Here the session alone ends, as orderly as after an administrator's command:
//! an error cannot be raised from within an allocation, for the compiler counts on none. What is large is asked for so that
//! the answer may be no (`sentiment_core::memory`), and then the statement alone ends. So it does where a helper of a training has
//! no memory: it waits until the session has stopped the training, and with it given back what that held. If that does not do, the
//! session ends.
//!
//! An error of the server's on its way through Rust is copied, which takes memory again; where there is none, that is an error in an
//! error, and after five of them the server ends every session. So a session sets some memory aside and gives it up in time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};
use sentiment_core::memory::may_be_refused;

use crate::threads;

/// After so long a helper asks for memory again.
const AGAIN: Duration = Duration::from_millis(1);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// The C library's memory, as Rust's default, with another end.
struct Allocator;

// SAFETY: all is left to the system's allocator, and what it answers is passed on unchanged or not at all.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        had(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        had(|| unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; what is refused leaves the place as it was.
        had(|| unsafe { System.realloc(place, layout, size) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[inline]
fn had(ask: impl Fn() -> *mut u8) -> *mut u8 {
    let place = ask();
    if place.is_null() && !may_be_refused() {
        return go_without(ask);
    }
    place
}

#[cold]
fn go_without(ask: impl Fn() -> *mut u8) -> *mut u8 {
    if !threads::is_one() {
        end_session();
    }
    loop {
        threads::wait_for_memory(true);
        std::thread::sleep(AGAIN);
        let place = ask();
        if !place.is_null() {
            threads::wait_for_memory(false);
            return place;
        }
    }
}

/// Makes sure that threads have so many bytes for their own data when they begin, if nothing else asks for memory meanwhile: a C
/// library that has none ends the process then, and the server with it. Threads share the session's memory for that, which
/// is also what can be given back.
pub fn make_room(bytes: usize) -> sentiment_core::Result<()> {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes effect for threads that are yet to come.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
    sentiment_core::memory::probe(bytes)
}

/// Gives back to the system what is free of the session's memory. The C library keeps that for later, in pieces that a next
/// large vector may not fit into: after a training a session would hold many times what it uses.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only what is free is given back.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that are set aside. A memory context that has grown asks for a megabyte at least, whatever it needs. They are address
/// space that nobody touches.
const ASIDE: usize = 2 << 20;

/// What is set aside, or null.
static PLACE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// What the server calls for each error, if it stands in its list of what adds context.
struct OnError(UnsafeCell<pg_sys::ErrorContextCallback>);

// SAFETY: the server reads it in the session's thread, and nobody writes.
unsafe impl Sync for OnError {}

static ON_ERROR: OnError = OnError(UnsafeCell::new(pg_sys::ErrorContextCallback {
    previous: null_mut(),
    callback: Some(give_up),
    arg: null_mut(),
}));

/// The entry of the server's list of what adds context that gives up what is set aside.
#[inline]
pub fn on_error() -> *mut pg_sys::ErrorContextCallback {
    ON_ERROR.0.get()
}

/// Sets memory aside, if none is, for the way of an error through Rust.
///
/// # Errors
/// `Memory` where there is none: what the call would ask for could end the server.
#[inline]
pub fn set_aside() -> sentiment_core::Result<()> {
    if PLACE.load(Ordering::Relaxed).is_null() { refill() } else { Ok(()) }
}

#[cold]
fn refill() -> sentiment_core::Result<()> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own at a place that the system chooses.
    let place = unsafe { libc::mmap(null_mut(), ASIDE, access, kind, -1, 0) };
    if place == libc::MAP_FAILED {
        return Err(sentiment_core::memory::lacking());
    }
    PLACE.store(place, Ordering::Relaxed);
    Ok(())
}

/// Gives up what is set aside, if the error is that there is no memory.
unsafe extern "C-unwind" fn give_up(_: *mut c_void) {
    // SAFETY: the server calls this while it reports an error.
    if unsafe { geterrcode() } != PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int {
        return;
    }
    let place = PLACE.swap(null_mut(), Ordering::Relaxed);
    if !place.is_null() {
        // SAFETY: it was mapped above, and nobody knows of it any more.
        unsafe { libc::munmap(place, ASIDE) };
    }
}

unsafe extern "C-unwind" {
    fn geterrcode() -> c_int;
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(sqlstate: c_int) -> c_int;
    fn errmsg(format: *const c_char, ...) -> c_int;
    fn errhint(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

/// Ends the session with an error message; allocates nothing of Rust's.
#[cold]
pub fn end_session() -> ! {
    // SAFETY: the server's own way to report; it has memory set aside for this. At this level it does not return but has the
    // process exit, which unwinds nothing.
    unsafe {
        pg_sys::error_context_stack = null_mut();
        if errstart(PgLogLevel::FATAL as c_int, std::ptr::null()) {
            errcode(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
            errmsg(c"%s".as_ptr(), c"out of memory".as_ptr());
            let hint = c"Free memory, or raise the limit of the server's processes; then connect again.";
            errhint(c"%s".as_ptr(), hint.as_ptr());
            errfinish(c"memory.rs".as_ptr(), 0, c"pg_sentiment".as_ptr());
        }
    }
    std::process::abort()
}
