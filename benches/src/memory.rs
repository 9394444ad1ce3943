//! What processes hold, as the kernel counts it.

use crate::Result;
use crate::figures::count;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The kilobytes of a line such as `Private_Dirty:    512 kB`.
fn kilobytes(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What the kernel calls the mapping that holds the server's shared buffers, in small pages and in large ones.
const SHARED_BUFFERS: [&str; 2] = ["/dev/zero (deleted)", "/anon_hugepage (deleted)"];

/// What a process holds, in kilobytes, by one of the kernel's measures. The server's own shared buffers are left out: which
/// of their pages a session has seen says nothing about what it holds.
fn held(pid: i32, measure: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let (mut sum, mut counts) = (0, true);
    for line in text.lines() {
        // A mapping begins with its addresses, which are hexadecimal; what is counted of it begins with a capital.
        if line.starts_with(|first: char| first.is_ascii_digit() || first.is_ascii_lowercase()) {
            counts = !SHARED_BUFFERS.iter().any(|name| line.ends_with(name));
        } else if counts {
            sum += kilobytes(line, measure).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// The memory that a process alone holds and has written, in kilobytes.
pub fn private_dirty(pid: i32) -> Result<f64> {
    Ok(whole(held(pid, "Private_Dirty")?))
}

/// The memory of processes together in kilobytes, what they share counted once.
pub fn together(pids: &[i32]) -> Result<f64> {
    let held: Result<Vec<u64>> = pids.iter().map(|pid| held(*pid, "Pss")).collect();
    Ok(whole(held?.iter().sum()))
}

/// How far the memory that a process has written rises above what it is now while something goes on, in kilobytes.
pub fn rise<T: Send>(pid: i32, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let before = written(pid).ok_or("the kernel does not count anonymous memory")?;
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(before));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(written(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    })?;
    Ok((result, whole(most.into_inner() - before)))
}

fn written(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| kilobytes(line, "RssAnon"))
}

fn whole(kilobytes: u64) -> f64 {
    count(usize::try_from(kilobytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(kilobytes("Pss:                  12 kB", "Pss"), Some(12));
        assert_eq!(kilobytes("Pss_Anon:             12 kB", "Pss"), None);
    }
}
