//! How many readers there are, and whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::problem::Problem;

/// The readers that there are by their key; those without one are one.
#[derive(Clone, Debug)]
pub struct Readers {
    taken: Arc<Mutex<HashMap<Option<i64>, usize>>>,
    most: usize,
}

/// A reader's place. Dropping it makes room for another.
#[derive(Debug)]
pub struct Seat {
    readers: Readers,
    key: Option<i64>,
}

impl Readers {
    pub fn new(most: usize) -> Readers {
        Readers { taken: Arc::default(), most }
    }

    /// A place for the holder of a key: at most a quarter of all, so that one does not take them from all others. Those without
    /// one leave a quarter to those that have one.
    pub fn seat(&self, key: Option<i64>) -> Result<Seat, Problem> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= self.most {
            return Err(Problem::unavailable("the gateway has as many live streams as it may have"));
        }
        let own = taken.entry(key).or_default();
        let (most, detail) = match key {
            Some(_) => (self.most / 4, "this key has a quarter of all live streams, as many as it may have"),
            None => (self.most - self.most / 4, "the other live streams are for those who have a key"),
        };
        if *own >= most.max(1) {
            return Err(Problem::unavailable(detail));
        }
        *own += 1;
        Ok(Seat { readers: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<i64>, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.readers.lock();
        if let Some(own) = taken.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_quarter_and_gives_it_back() {
        let readers = Readers::new(8);
        let first = readers.seat(Some(1)).unwrap();
        let _second = readers.seat(Some(1)).unwrap();
        assert_eq!(readers.seat(Some(1)).unwrap_err().status(), 503);
        let _without: Vec<Seat> = (0..6).map(|_| readers.seat(None).unwrap()).collect();
        assert_eq!(readers.seat(Some(2)).unwrap_err().status(), 503);
        drop(first);
        let other = readers.seat(Some(2)).unwrap();
        drop(other);
        readers.seat(Some(1)).unwrap();
        assert_eq!(readers.lock().len(), 2);
    }

    #[test]
    fn those_without_a_key_leave_some_to_those_who_have_one() {
        let readers = Readers::new(8);
        let _without: Vec<Seat> = (0..6).map(|_| readers.seat(None).unwrap()).collect();
        assert_eq!(readers.seat(None).unwrap_err().status(), 503);
        readers.seat(Some(1)).unwrap();
        Readers::new(1).seat(None).unwrap();
    }
}
