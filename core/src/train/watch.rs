//! Who looks on while a training runs.

use crate::Result;

/// Hears how far a training has come, and may end it. Asked every few microseconds to milliseconds.
pub trait Watch {
    /// `phase` has come to `done` of `total`.
    ///
    /// # Errors
    /// An error ends the training, which returns it.
    fn step(&mut self, phase: &'static str, done: usize, total: usize) -> Result<()>;
}

impl<F: FnMut(&'static str, usize, usize) -> Result<()>> Watch for F {
    fn step(&mut self, phase: &'static str, done: usize, total: usize) -> Result<()> {
        self(phase, done, total)
    }
}
