//! Fits side by side: each is a thread's, and their results are the same as one after the other.

use super::Watch;
use crate::{Error, ErrorKind, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that take part in a training. They call nothing but this crate: whoever watches is asked by the caller's thread.
#[derive(Clone, Copy, Debug)]
pub struct Helpers {
    /// How many there may be. There are fewer where the memory does not do for so many fits at once.
    pub most: usize,
    /// Runs what starts them, or does not where there is no memory for them. A caller that handles signals blocks them meanwhile,
    /// for a thread takes over what is blocked.
    pub start: fn(&mut dyn FnMut()),
}

/// Between two looks at whoever watches while only helpers are at work.
const LOOK: Duration = Duration::from_millis(1);

/// Helpers begin in microseconds. One that has no memory may not, and then it is waited for as for any other.
const TO_BEGIN: Duration = Duration::from_secs(1);

/// Bytes of a helper's stack: as many as a process has.
const STACK: usize = 8 << 20;

/// What a job is told: its number, and whom to ask whether to go on.
type Job<'j> = &'j (dyn Fn(usize, &mut dyn Watch) -> Result<()> + Sync);

/// Does `count` jobs on this thread, and on `at_once` others if they can be had. The first error ends all of them.
///
/// Whoever watches is asked until the last helper has come to its end, also after an error or a panic of its own, or of a job: there
/// may be more to do than to say so, and it alone can end a process in which a helper never comes to its end.
pub(super) fn side_by_side(
    count: usize,
    at_once: usize,
    helpers: Option<Helpers>,
    watch: &mut dyn Watch,
    job: Job<'_>,
) -> Result<()> {
    let Some(helpers) = helpers.filter(|_| at_once > 0) else {
        return (0..count).try_for_each(|number| job(number, watch));
    };
    let jobs = Jobs::new(count, job);
    thread::scope(|scope| {
        let mut panic = FirstPanic::default();
        let mut threads = Vec::with_capacity(at_once);
        let mut start = || {
            for _ in 0..at_once {
                let thread = thread::Builder::new().name("sentiment fit".to_owned()).stack_size(STACK);
                // Where there is no thread to be had, there is one fewer.
                threads.extend(thread.spawn_scoped(scope, || jobs.help()));
            }
            // A thread makes data of its own when it begins, and a C library that has no memory for them ends the process. So
            // nothing else is asked for until all have begun.
            let until = Instant::now() + TO_BEGIN;
            wait_until(|| jobs.ready.load(Ordering::Relaxed) == threads.len() || Instant::now() > until);
        };
        panic.caught(|| (helpers.start)(&mut start));
        jobs.stopped.store(!panic.is_empty(), Ordering::Relaxed);
        jobs.begun.store(true, Ordering::Relaxed);
        panic.caught(|| jobs.work(watch));
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            if !panic.is_empty() {
                jobs.stopped.store(true, Ordering::Relaxed);
            }
            panic.caught(|| {
                if let Err(error) = watch.step("fitting", jobs.done.load(Ordering::Relaxed), count) {
                    jobs.fail(error);
                }
            });
            thread::park_timeout(LOOK);
        }
        panic.extend(threads.into_iter().filter_map(|thread| thread.join().err()));
        panic.go_on();
    });
    jobs.failure().take().map_or(Ok(()), Err)
}

/// Waits for something that takes no longer than a thread does to begin.
fn wait_until(ready: impl Fn() -> bool) {
    while !ready() {
        thread::yield_now();
    }
}

/// The first panic, which goes on when all is at its end.
#[derive(Default)]
struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn caught(&mut self, work: impl FnOnce()) {
        // What was half done is not looked at any more.
        self.extend(catch_unwind(AssertUnwindSafe(work)).err());
    }

    fn extend(&mut self, more: impl IntoIterator<Item = Box<dyn Any + Send>>) {
        self.0 = self.0.take().or_else(|| more.into_iter().next());
    }

    fn go_on(self) {
        if let Some(panic) = self.0 {
            resume_unwind(panic);
        }
    }
}

/// Jobs that are being done.
struct Jobs<'j> {
    count: usize,
    job: Job<'j>,
    /// How many helpers are ready, and whether all are.
    ready: AtomicUsize,
    begun: AtomicBool,
    /// The number of the next, and how many are done.
    next: AtomicUsize,
    done: AtomicUsize,
    stopped: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl<'j> Jobs<'j> {
    fn new(count: usize, job: Job<'j>) -> Self {
        Self {
            count,
            job,
            ready: AtomicUsize::new(0),
            begun: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Takes part once all helpers do.
    fn help(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
        wait_until(|| self.begun.load(Ordering::Relaxed) || self.stopped.load(Ordering::Relaxed));
        self.work(&mut |_, _, _| Ok(()));
    }

    /// Does one job after the other until none is left.
    fn work(&self, watch: &mut dyn Watch) {
        let _stop = StopOnPanic(self);
        let mut watch = |phase: &'static str, done: usize, total: usize| {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            watch.step(phase, done, total)
        };
        while !self.stopped.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                break;
            }
            match (self.job)(number, &mut watch) {
                Ok(()) => _ = self.done.fetch_add(1, Ordering::Relaxed),
                Err(error) => self.fail(error),
            }
        }
    }

    /// Takes down the first error: those that follow only say that it came.
    fn fail(&self, error: Error) {
        self.failure().get_or_insert(error);
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn failure(&self) -> MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a job returns that is not to go on.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the training was stopped", "")
}

/// Stops all jobs if it is dropped by a panic.
struct StopOnPanic<'e, 'j>(&'e Jobs<'j>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        self.0.stopped.fetch_or(thread::panicking(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const HELPERS: Option<Helpers> = Some(Helpers { most: 3, start: |start| start() });

    fn quiet(_: &'static str, _: usize, _: usize) -> Result<()> {
        Ok(())
    }

    /// Waits until it is stopped.
    fn wait(watch: &mut dyn Watch) -> Result<()> {
        loop {
            watch.step("waiting", 0, 0)?;
            thread::yield_now();
        }
    }

    #[test]
    fn each_job_is_done_once() {
        for (helpers, at_once) in [(None, 3), (HELPERS, 0), (HELPERS, 1), (HELPERS, 3)] {
            let done = Mutex::new(Vec::new());
            let job = |number, _: &mut dyn Watch| {
                done.lock().unwrap().push(number);
                Ok(())
            };
            side_by_side(9, at_once, helpers, &mut quiet, &job).unwrap();
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!(done, (0..9).collect::<Vec<_>>());
        }
    }

    #[test]
    fn where_there_is_no_memory_for_them_there_are_none() {
        let caller = thread::current().id();
        let job = |_, _: &mut dyn Watch| {
            assert_eq!(thread::current().id(), caller);
            Ok(())
        };
        let none = Some(Helpers { most: 3, start: |_| () });
        side_by_side(9, 3, none, &mut quiet, &job).unwrap();
    }

    #[test]
    fn they_are_on_several_threads() {
        // Each of the two waits for the other.
        let both = std::sync::Barrier::new(2);
        let job = |_, _: &mut dyn Watch| {
            both.wait();
            Ok(())
        };
        side_by_side(2, 1, HELPERS, &mut quiet, &job).unwrap();
    }

    #[test]
    fn the_first_error_ends_all() {
        for failing in 0..4 {
            let job = |number, watch: &mut dyn Watch| {
                let error = Error::new(ErrorKind::Limit, format!("job {number}"), "");
                if number == failing { Err(error) } else { wait(watch) }
            };
            let error = side_by_side(4, 3, HELPERS, &mut quiet, &job).unwrap_err();
            assert_eq!(error.message(), format!("job {failing}"));
        }
    }

    #[test]
    fn whoever_watches_ends_all_from_one_thread() {
        let caller = thread::current().id();
        for busy in [true, false] {
            let mut calls = 0;
            let mut watch = |_: &'static str, _: usize, _: usize| {
                assert_eq!(thread::current().id(), caller);
                calls += 1;
                if calls > 20 { Err(Error::new(ErrorKind::Cancelled, "enough", "")) } else { Ok(()) }
            };
            // The caller's thread is at work as well, or waits for the helpers.
            let both = std::sync::Barrier::new(2);
            let job = |_, watch: &mut dyn Watch| {
                both.wait();
                if busy || thread::current().id() != caller { wait(watch) } else { Ok(()) }
            };
            let error = side_by_side(2, 2, HELPERS, &mut watch, &job).unwrap_err();
            assert_eq!(error.message(), "enough");
            assert!(calls > 20);
        }
    }

    /// A helper that waits for what only whoever watches can bring about, as one does that waits for memory: it is asked on and on,
    /// whether this thread is at work or not, whether it says no or panics, and is cancelled meanwhile.
    #[test]
    fn whoever_watches_is_asked_until_the_last_helper_ends() {
        #[derive(Clone, Copy, PartialEq, Debug)]
        enum Says {
            Nothing,
            No,
            Panics,
        }
        for (busy, says) in [false, true]
            .into_iter()
            .flat_map(|busy| [Says::Nothing, Says::No, Says::Panics].map(|says| (busy, says)))
        {
            let (tell, ended) = std::sync::mpsc::channel();
            // On a thread of its own: where it does not end, the test does.
            thread::spawn(move || {
                let (caller, given) = (thread::current().id(), AtomicBool::new(false));
                let mut calls = 0;
                let mut watch = |_: &'static str, _: usize, _: usize| {
                    calls += 1;
                    given.fetch_or(calls == 50, Ordering::Relaxed);
                    match says {
                        Says::Panics => panic!("on purpose"),
                        Says::No => Err(Error::new(ErrorKind::Cancelled, "enough", "")),
                        Says::Nothing => Ok(()),
                    }
                };
                let both = std::sync::Barrier::new(2);
                let job = |_, watch: &mut dyn Watch| {
                    both.wait();
                    if thread::current().id() != caller {
                        wait_until(|| given.load(Ordering::Relaxed));
                    } else if busy {
                        while !given.load(Ordering::Relaxed) {
                            watch.step("working", 0, 0)?;
                        }
                    }
                    Ok(())
                };
                let run = || side_by_side(2, 1, HELPERS, &mut watch, &job);
                let outcome = catch_unwind(AssertUnwindSafe(run));
                let as_said = match (says, outcome) {
                    (Says::Nothing, Ok(Ok(()))) => true,
                    (Says::No, Ok(Err(error))) => error.message() == "enough",
                    (Says::Panics, Err(panic)) => panic.downcast_ref() == Some(&"on purpose"),
                    _ => false,
                };
                tell.send((as_said, calls)).unwrap();
            });
            let (as_said, calls) = ended.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(as_said && calls >= 50, "{busy} {says:?}: {calls}");
        }
    }

    #[test]
    fn a_panic_ends_all_and_goes_on() {
        let mut panics = |_: &'static str, _: usize, _: usize| panic!("on purpose");
        let job = |_, watch: &mut dyn Watch| wait(watch);
        let run = || side_by_side(2, 1, HELPERS, &mut panics, &job);
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        for panicking in [true, false] {
            let caller = thread::current().id();
            let job = |_, watch: &mut dyn Watch| {
                assert!((thread::current().id() == caller) != panicking, "on purpose");
                wait(watch)
            };
            let mut watch = |_: &'static str, _: usize, _: usize| Ok(());
            let run = || side_by_side(2, 1, HELPERS, &mut watch, &job);
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
    }
}
