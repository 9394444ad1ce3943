//! Memory that may not be there.
//!
//! Rust ends the process where an allocation fails, unless it was asked for with `try_reserve`. What grows with the data is
//! asked for that way, so that a server with no memory left answers with an error. An allocator that does better than to
//! return a null pointer learns from [`may_be_refused`] when it need not.

use std::cell::Cell;
use std::collections::{HashMap, TryReserveError};
use std::hash::{BuildHasher, Hash};

use crate::{Error, ErrorKind, Result};

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Whether whoever allocates now is ready to hear that there is no memory.
pub fn may_be_refused() -> bool {
    ASKING.get()
}

fn ask<T>(request: impl FnOnce() -> std::result::Result<T, TryReserveError>) -> Result<T> {
    let before = ASKING.replace(true);
    let answer = request();
    ASKING.set(before);
    answer.map_err(|_| lacking())
}

/// The error where there is no memory left.
pub fn lacking() -> Error {
    let hint = "Free memory, raise the limit of the server's processes, or train on fewer rows.";
    Error::new(ErrorKind::Memory, "the server has no memory left", hint)
}

/// A copy of bytes.
///
/// # Errors
/// `Memory` where there is no memory for it.
pub fn copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    ask(|| copy.try_reserve_exact(bytes.len()))?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Makes a vector one for so many in all.
///
/// # Errors
/// `Memory` where there is no memory for it.
pub(crate) fn resize<T>(vec: &mut Vec<T>, capacity: usize) -> Result<()> {
    ask(|| vec.try_reserve_exact(capacity.saturating_sub(vec.len())))
}

/// As [`resize`], for a string of so many bytes.
///
/// # Errors
/// `Memory` where there is no memory for it.
pub(crate) fn resize_string(string: &mut String, capacity: usize) -> Result<()> {
    ask(|| string.try_reserve_exact(capacity.saturating_sub(string.len())))
}

/// Makes sure that a map takes one more.
///
/// # Errors
/// `Memory` where there is no memory for it.
pub(crate) fn widen<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) -> Result<()> {
    ask(|| map.try_reserve(1))
}

/// Makes sure that so many bytes could be had now.
///
/// # Errors
/// `Memory` where they could not.
pub fn probe(bytes: usize) -> Result<()> {
    ask(|| {
        let mut room = Vec::<u8>::new();
        room.try_reserve_exact(bytes)?;
        // A compiler leaves out what is only asked for and given back.
        std::hint::black_box(room.as_ptr());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_an_error() {
        assert_eq!(probe(isize::MAX as usize).unwrap_err().kind(), ErrorKind::Memory);
        assert!(probe(1 << 20).is_ok() && !may_be_refused());
        assert_eq!(ask(|| Ok(may_be_refused())), Ok(true));
        assert_eq!(copy(b"bytes").as_deref(), Ok(&b"bytes"[..]));
    }
}
