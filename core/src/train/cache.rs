//! What the processor is told of the memory that is needed soon.

use crate::model::LINE;

/// Has what stands somewhere brought into the cache while other work goes on.
#[inline]
pub(super) fn fetch<T>(at: Option<&T>) {
    #[cfg(target_arch = "x86_64")]
    at.into_iter().for_each(safe_arch::prefetch_t0);
    // Elsewhere it is read when it is needed.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The same for numbers that span several lines.
#[inline]
pub(super) fn fetch_lines<T>(numbers: &[T]) {
    numbers.iter().step_by(LINE / size_of::<T>()).for_each(|number| fetch(Some(number)));
    fetch(numbers.last());
}
