//! Numbers for some of a table's terms: by them, what else is kept of a term is found with the term itself.
//!
//! The numbered terms of a bucket stand in its first slots, so that one number a bucket, that of its first, is enough.

use super::table::{HIDDEN, Layout, SLOTS, Table};
use super::writer::{EntryDraft, write_term};
use crate::{Error, ErrorKind, Result};

/// The numbers of a table's terms, from 1 on, as they lie in a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a>(&'a [[u8; 4]]);

impl<'a> Numbers<'a> {
    /// Those that `bytes` begin with, for a table of so many buckets, and what follows them; `None` if they are cut short.
    pub fn new(bytes: &'a [u8], buckets: usize) -> Option<(Self, &'a [u8])> {
        let (firsts, rest) = bytes.split_at_checked(buckets.checked_add(1)?.checked_mul(4)?)?;
        Some((Self(firsts.as_chunks().0), rest))
    }

    /// The number of the term in a slot, 0 if it has none.
    #[inline]
    pub fn of(self, slot: usize) -> usize {
        let firsts = self.0.get(slot / SLOTS..).and_then(|firsts| firsts.first_chunk());
        let [first, next] = firsts.unwrap_or(&[[0; 4]; 2]).map(|first| u32::from_le_bytes(first) as usize);
        let number = first + slot % SLOTS;
        std::hint::select_unpredictable(number < next, number, 0)
    }
}

/// A table whose terms are numbered.
pub(crate) struct Numbered {
    pub table: Vec<u8>,
    /// The bytes that [`Numbers::new`] reads.
    pub numbers: Vec<u8>,
    /// Which of the hashes has each number, from 1 on.
    pub order: Vec<usize>,
}

/// Numbers the terms of these hashes, each of which is there once. What is not in the table is put there hidden: nothing but its
/// number is known.
///
/// # Errors
/// `Limit` if the table has no room.
pub(crate) fn number(table: &Table<'_>, hashes: &[u64]) -> Result<Numbered> {
    let ((bytes, buckets), layout) = (table.parts(), table.layout());
    let mut bytes = bytes.to_vec();
    let mut free = table.records().filter(Option::is_none).count();
    let mut owners: Vec<[Option<usize>; SLOTS]> = vec![[None; SLOTS]; buckets];
    for (at, &hash) in hashes.iter().enumerate() {
        let known = Table::with_layout(&bytes, buckets, layout).slot(hash);
        let slot = match known {
            Some(slot) => slot,
            // One stays free, by which a search ends.
            None if free > 1 => {
                free -= 1;
                hide(&mut bytes, buckets, layout, hash)
            }
            None => return Err(full()),
        };
        owners[slot / SLOTS][slot % SLOTS] = Some(at);
    }
    let (mut numbers, mut order) = (Vec::new(), Vec::new());
    let next = |order: &[usize]| u32::try_from(order.len() + 1).map(u32::to_le_bytes).map_err(|_| full());
    for (line, owners) in bytes.chunks_exact_mut(layout.bucket).zip(&owners) {
        numbers.extend(next(&order)?);
        let old = line.to_vec();
        let (first, last): (Vec<usize>, Vec<usize>) = (0..SLOTS).partition(|&slot| owners[slot].is_some());
        for (to, &from) in first.iter().chain(&last).enumerate() {
            line[Layout::fingerprint(to)].copy_from_slice(&old[Layout::fingerprint(from)]);
            line[layout.record(to)].copy_from_slice(&old[layout.record(from)]);
        }
        order.extend(first.iter().filter_map(|&slot| owners[slot]));
    }
    numbers.extend(next(&order)?);
    Ok(Numbered { table: bytes, numbers, order })
}

/// Puts a term into a table so that it is found by its slot alone, which is returned.
fn hide(table: &mut [u8], buckets: usize, layout: Layout, hash: u64) -> usize {
    let weights = vec![0; layout.record - 1];
    let slot = write_term(table, buckets, layout, &EntryDraft { hash, weights, ..EntryDraft::default() });
    table[slot / SLOTS * layout.bucket + layout.record(slot % SLOTS).start] = HIDDEN;
    slot
}

fn full() -> Error {
    let message = "the network has more terms than there is room for in the table of its linear part";
    Error::new(
        ErrorKind::Limit,
        message,
        "Train the linear part on the same texts, so that it knows their words.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TableWriter;

    #[test]
    fn numbered_terms_are_found_by_their_numbers_and_the_others_as_before() {
        let hash = |term: u64| term.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term << 17;
        for (terms, hidden, classes) in [(1_u64, 0_u64, 3), (60, 3, 2), (3_000, 400, 3), (3_000, 400, 5)] {
            let mut writer = TableWriter::new(usize::try_from(terms).unwrap(), classes);
            for term in 0..terms {
                let weights = vec![i32::try_from(term % 100).unwrap(); classes];
                writer.put(&EntryDraft { hash: hash(term), weights, ..EntryDraft::default() });
            }
            let (bytes, buckets) = writer.finish();
            let before = Table::new(&bytes, buckets, classes).unwrap();
            let hashes: Vec<u64> = (terms / 2..terms + hidden).map(hash).collect();
            let Numbered { table, numbers, order } = number(&before, &hashes).unwrap();
            let table = Table::new(&table, buckets, classes).unwrap();
            let (numbers, rest) = Numbers::new(&numbers, buckets).unwrap();
            assert!(rest.is_empty() && Numbers::new(&[0; 8], buckets).is_none());
            assert_eq!(order.len(), hashes.len());
            for term in 0..terms + hidden + 50 {
                let slot = table.slot(hash(term));
                let number = slot.map_or(0, |slot| numbers.of(slot));
                let named = number.checked_sub(1).map(|at| hashes[order[at]]);
                assert_eq!(named, (terms / 2..terms + hidden).contains(&term).then(|| hash(term)));
                let record = |table: &Table<'_>| table.get(hash(term)).map(|entry| entry.record().to_vec());
                assert_eq!(record(&table), record(&before));
            }
            assert_eq!(numbers.of(usize::MAX), 0);
        }
    }

    #[test]
    fn a_table_is_not_filled_up() {
        let (bytes, buckets) = TableWriter::new(1, 2).finish();
        let table = Table::new(&bytes, buckets, 2).unwrap();
        let hashes: Vec<u64> = (1..16).collect();
        assert!(number(&table, &hashes).is_ok());
        let hashes: Vec<u64> = (1..17).collect();
        assert_eq!(number(&table, &hashes).err().unwrap().kind(), ErrorKind::Limit);
    }
}
