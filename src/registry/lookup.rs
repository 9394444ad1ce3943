//! What the registry says now, read straight from its tables.
//!
//! Scoring is everyone's right and happens in parallel workers, on standbys and inside transactions with old snapshots:
//! the tables are read as the server reads its own catalogs, with the newest snapshot and without asking for rights. What a statement
//! scores by, it asks of its own snapshot: it may have to ask again, and so may the processes that run it together. But the tables
//! are not the server's: their owner, who may be no superuser, can change them in any way. So nothing is taken for granted.

use std::ffi::CStr;

use pgrx::{FromDatum, pg_sys};
use sentiment_core::memory;

use super::moment::statement_snapshot;
use crate::errors::{Failure, Result};
use crate::letter::code;
use crate::text;

const TEXT_EQUALS: u32 = 67;
const INT4_EQUALS: u32 = 65;
const INT8_EQUALS: u32 = 467;

/// The relation of a name in the registry's schema, if it belongs to the extension: a schema of that name can be
/// anybody's.
pub fn relation(name: &CStr) -> Result<pg_sys::Oid> {
    // SAFETY: all look in the catalogs.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"pg_sentiment".as_ptr(), true);
        let schema = pg_sys::get_namespace_oid(c"sentiment".as_ptr(), true);
        let found = pg_sys::get_relname_relid(name.as_ptr(), schema);
        let owner = pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, found);
        if found == pg_sys::InvalidOid || extension == pg_sys::InvalidOid || owner != extension {
            return Err(Failure::registry_missing());
        }
        Ok(found)
    }
}

/// A key to look for: column number, operator, value.
type Key = (i16, u32, pg_sys::Datum);

/// A table that is read here: its name, and the types of its first columns.
struct Layout {
    name: &'static CStr,
    columns: &'static [pg_sys::Oid],
}

const MODEL: Layout =
    Layout { name: c"model", columns: &[pg_sys::TEXTOID, pg_sys::INT4OID, pg_sys::INT4OID] };
const VERSION: Layout =
    Layout { name: c"version", columns: &[pg_sys::TEXTOID, pg_sys::INT4OID, pg_sys::INT8ARRAYOID] };
const PART: Layout = Layout { name: c"part", columns: &[pg_sys::INT8OID, pg_sys::BYTEAOID] };

impl Layout {
    /// Whether an open relation is such a table.
    fn is_of(&self, relation: pg_sys::Relation) -> bool {
        // SAFETY: the relation is open, and its descriptor is not freed meanwhile.
        unsafe {
            let descriptor = pgrx::PgTupleDesc::from_pg_unchecked((*relation).rd_att);
            let fits = |(at, data_type): (usize, &pg_sys::Oid)| {
                descriptor.get(at).is_some_and(|column| !column.attisdropped && column.atttypid == *data_type)
            };
            code((*(*relation).rd_rel).relkind) == pg_sys::RELKIND_RELATION
                && self.columns.iter().enumerate().all(fits)
        }
    }
}

/// The index of a table's primary key, if its columns are the first ones, in their order.
///
/// # Safety
/// `relation` is open.
unsafe fn primary_key(relation: pg_sys::Relation, columns: usize) -> Option<pg_sys::Oid> {
    // SAFETY: the index of an open relation exists, and has `rd_index`, whose key columns follow it in memory.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        let index = pg_sys::RelationGetPrimaryKeyIndex(relation);
        #[cfg(feature = "pg18")]
        let index = pg_sys::RelationGetPrimaryKeyIndex(relation, false);
        if index == pg_sys::InvalidOid {
            return None;
        }
        let lock = pg_sys::AccessShareLock.cast_signed();
        let open = pg_sys::index_open(index, lock);
        let about = &*(*open).rd_index;
        let keys = about.indkey.values.as_slice(usize::try_from(about.indnkeyatts).unwrap_or(0));
        let fits = keys.len() >= columns && keys.iter().zip(1..).take(columns).all(|(key, at)| *key == at);
        pg_sys::index_close(open, lock);
        fits.then_some(index)
    }
}

/// Hands the row of these primary keys to `read`, or one of those that begin with them, if there is one now.
fn find<T>(layout: &Layout, keys: &[Key], read: impl FnOnce(&Row) -> T) -> Result<Option<T>> {
    find_as_of(std::ptr::null_mut(), layout, keys, read)
}

/// As [`find`], with the rows that a snapshot sees; a null pointer is the newest.
fn find_as_of<T>(
    snapshot: pg_sys::Snapshot,
    layout: &Layout,
    keys: &[Key],
    read: impl FnOnce(&Row) -> T,
) -> Result<Option<T>> {
    let table = relation(layout.name)?;
    // SAFETY: table and index are open while they are read; the keys are of their columns' types, which were looked at.
    unsafe {
        let lock = pg_sys::AccessShareLock.cast_signed();
        let open = pg_sys::try_relation_open(table, lock);
        if open.is_null() {
            return Err(Failure::registry_missing());
        }
        if !layout.is_of(open) {
            pg_sys::relation_close(open, lock);
            return Err(Failure::registry_damaged());
        }
        let mut scan_keys = [pg_sys::ScanKeyData::default(); 2];
        for (scan_key, &(column, equals, value)) in scan_keys.iter_mut().zip(keys) {
            let strategy = u16::try_from(pg_sys::BTEqualStrategyNumber).unwrap_or_default();
            pg_sys::ScanKeyInit(scan_key, column, strategy, equals.into(), value);
        }
        let index = primary_key(open, keys.len());
        let count = i32::try_from(keys.len()).unwrap_or_default();
        let scan = pg_sys::systable_beginscan(
            open,
            index.unwrap_or(pg_sys::InvalidOid),
            index.is_some(),
            snapshot,
            count,
            scan_keys.as_mut_ptr(),
        );
        let tuple = pg_sys::systable_getnext(scan);
        let found = (!tuple.is_null()).then(|| read(&Row { tuple, descriptor: (*open).rd_att }));
        pg_sys::systable_endscan(scan);
        pg_sys::relation_close(open, lock);
        Ok(found)
    }
}

/// A row while its table is open.
struct Row {
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
}

impl Row {
    /// The value of a column, counted from 1.
    fn value<T: FromDatum>(&self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: the row is live, and its columns are those of the install script.
        unsafe {
            let datum = pg_sys::heap_getattr(self.tuple, column, self.descriptor, &mut null);
            T::from_datum(datum, null)
        }
    }

    /// The stored bytes of a column.
    fn stored(&self, column: i32) -> Option<pg_sys::Datum> {
        let mut null = false;
        // SAFETY: as above.
        let datum = unsafe { pg_sys::heap_getattr(self.tuple, column, self.descriptor, &mut null) };
        (!null).then_some(datum)
    }

    /// The bytes of a column, copied out; none where it is null.
    fn bytes(&self, column: i32) -> Result<Vec<u8>> {
        let Some(datum) = self.stored(column) else { return Ok(Vec::new()) };
        // SAFETY: as above, and the column is a bytea; the server copies the value out of its table if it is there.
        unsafe {
            let whole = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            let bytes = memory::copy(pgrx::varlena_to_byte_slice(whole));
            if whole != datum.cast_mut_ptr() {
                pg_sys::pfree(whole.cast());
            }
            Ok(bytes?)
        }
    }

    /// How the bytes of a column begin: of a large value one row of its table is read.
    fn beginning(&self, column: i32) -> Beginning {
        let Some(datum) = self.stored(column) else { return Beginning { bytes: Vec::new(), length: 0 } };
        // SAFETY: as above; a slice is always a copy.
        unsafe {
            let length = pg_sys::toast_raw_datum_size(datum).saturating_sub(pg_sys::VARHDRSZ);
            let slice = pg_sys::pg_detoast_datum_slice(datum.cast_mut_ptr(), 0, BEGINNING);
            Beginning { bytes: pgrx::varlena_to_byte_slice(slice).to_vec(), length }
        }
    }

    /// Hands the bytes of a column to `take`, piece by piece, until it fails.
    fn pieces<E>(
        &self,
        column: i32,
        mut take: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Some(datum) = self.stored(column) else { return Ok(()) };
        // SAFETY: as above; each slice is a copy, freed when it was taken.
        unsafe {
            for start in (0..).step_by(PIECE as usize) {
                let slice = pg_sys::pg_detoast_datum_slice(datum.cast_mut_ptr(), start, PIECE);
                let bytes = pgrx::varlena_to_byte_slice(slice);
                let (taken, length) = (take(bytes), bytes.len());
                pg_sys::pfree(slice.cast());
                taken?;
                if length < PIECE as usize {
                    break;
                }
            }
            Ok(())
        }
    }
}

/// How a part begins, and how long it is.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The first bytes.
    pub bytes: Vec<u8>,
    /// The length of the whole.
    pub length: usize,
}

/// Bytes of a part's beginning that are read: those of a model's header, which has the checksum.
const BEGINNING: i32 = 64;

/// Bytes of a part that are held at a time where it is read piece by piece.
const PIECE: i32 = 64 * 1024;

/// What is known of a model's name.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// The last number given; 0 if there never was a version.
    pub last: i32,
    /// The deployed version.
    pub current: Option<i32>,
}

/// Looks a model up by its name.
pub fn name(model: &str) -> Result<Option<Name>> {
    name_as_of(std::ptr::null_mut(), model)
}

fn name_as_of(snapshot: pg_sys::Snapshot, model: &str) -> Result<Option<Name>> {
    let key = [(1, TEXT_EQUALS, text::datum(model))];
    let read = |row: &Row| Name { last: row.value(2).unwrap_or(0), current: row.value(3) };
    find_as_of(snapshot, &MODEL, &key, read)
}

/// The version of a model that the statement's snapshot sees deployed, if the statement has one.
pub fn deployed_in_statement(model: &str) -> Result<Option<i32>> {
    let Some(snapshot) = statement_snapshot() else { return Ok(None) };
    Ok(name_as_of(snapshot, model)?.and_then(|name| name.current))
}

/// The parts of a version that the statement's snapshot sees, if the statement has one.
pub fn parts_in_statement(model: &str, number: i32) -> Result<Option<Vec<i64>>> {
    statement_snapshot().map_or(Ok(None), |snapshot| parts_as_of(snapshot, model, number))
}

/// The parts of a version, the base first.
pub fn parts(model: &str, number: i32) -> Result<Option<Vec<i64>>> {
    parts_as_of(std::ptr::null_mut(), model, number)
}

fn parts_as_of(snapshot: pg_sys::Snapshot, model: &str, number: i32) -> Result<Option<Vec<i64>>> {
    let keys = [(1, TEXT_EQUALS, text::datum(model)), (2, INT4_EQUALS, number.into())];
    let parts =
        find_as_of(snapshot, &VERSION, &keys, |row| row.value::<Vec<Option<i64>>>(3).unwrap_or_default())?;
    let whole = |parts: Vec<Option<i64>>| parts.into_iter().collect::<Option<_>>();
    parts.map(|parts| whole(parts).ok_or_else(Failure::registry_damaged)).transpose()
}

/// Whether a model has any version.
pub fn has_version(model: &str) -> Result<bool> {
    let key = [(1, TEXT_EQUALS, text::datum(model))];
    Ok(find(&VERSION, &key, |_| ())?.is_some())
}

/// The bytes of a part.
pub fn part(id: i64) -> Result<Vec<u8>> {
    let key = [(1, INT8_EQUALS, id.into())];
    let bytes = find_as_of(seeing(id)?, &PART, &key, |row| row.bytes(2))?;
    bytes.ok_or_else(Failure::registry_damaged)?
}

/// How a part begins.
pub fn beginning(id: i64) -> Result<Beginning> {
    let key = [(1, INT8_EQUALS, id.into())];
    let beginning = find_as_of(seeing(id)?, &PART, &key, |row| row.beginning(2))?;
    beginning.ok_or_else(Failure::registry_damaged)
}

/// Hands the bytes of a part to `take`, piece by piece, until it fails: so that a large one is never held as a whole.
pub fn pieces<E>(
    id: i64,
    take: impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> Result<std::result::Result<(), E>> {
    let key = [(1, INT8_EQUALS, id.into())];
    let taken = find_as_of(seeing(id)?, &PART, &key, |row| row.pieces(2, take))?;
    taken.ok_or_else(Failure::registry_damaged)
}

/// The snapshot that a part is read with: the newest, or the statement's where the part is gone since that began.
fn seeing(id: i64) -> Result<pg_sys::Snapshot> {
    let snapshot = if has_part(id)? { None } else { statement_snapshot() };
    Ok(snapshot.unwrap_or(std::ptr::null_mut()))
}

/// Whether there is a part of this number.
pub fn has_part(id: i64) -> Result<bool> {
    let key = [(1, INT8_EQUALS, id.into())];
    Ok(find(&PART, &key, |_| ())?.is_some())
}
