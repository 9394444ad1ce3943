//! SQL that we run for the caller: with the caller's rights, and whatever the caller's `search_path` is.
//!
//! Statements are put together in the server's encoding, so that names pass as the catalogs have them. All in them that is
//! not a name from the catalogs is qualified with its schema, operators too.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::thread::LocalKey;

use pgrx::pg_sys;

use crate::errors::{Failure, Result};

/// A parameter of a statement: its type and its value.
pub type Parameter = (pg_sys::Oid, pg_sys::Datum);

/// Puts a statement, or a piece of one, together: each `%` of the template becomes the next part.
pub fn compose(template: &str, parts: &[&CStr]) -> CString {
    let mut parts = parts.iter();
    let mut sql = Vec::with_capacity(2 * template.len());
    for piece in template.split_inclusive('%') {
        match piece.strip_suffix('%') {
            Some(before) => {
                sql.extend_from_slice(before.as_bytes());
                sql.extend_from_slice(parts.next().map_or(b"", |part| part.to_bytes()));
            }
            None => sql.extend_from_slice(piece.as_bytes()),
        }
    }
    owned(sql)
}

/// Puts pieces in a row, with `separator` between them.
pub fn join(pieces: &[CString], separator: &str) -> CString {
    let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_bytes()).collect();
    owned(pieces.join(separator.as_bytes()))
}

/// A name, quoted if it has to be.
pub fn identifier(name: &CStr) -> CString {
    // SAFETY: the server answers with a C string, the one it was given or a new one.
    unsafe { CStr::from_ptr(pg_sys::quote_identifier(name.as_ptr())) }.to_owned()
}

/// A string constant.
pub fn literal(value: &CStr) -> CString {
    // SAFETY: the server answers with a new C string.
    unsafe { CStr::from_ptr(pg_sys::quote_literal_cstr(value.as_ptr())) }.to_owned()
}

/// A relation's name with its schema, quoted.
pub fn relation(oid: pg_sys::Oid) -> Result<CString> {
    // SAFETY: a relation that exists has a name and a schema with a name; the server answers with new C strings.
    unsafe {
        let name = pg_sys::get_rel_name(oid);
        if name.is_null() {
            return Err(Failure::relation_missing(oid.to_u32()));
        }
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid));
        Ok(CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name)).to_owned())
    }
}

fn owned(bytes: Vec<u8>) -> CString {
    // The pieces are C strings and templates of ours: there is no zero byte in them.
    CString::new(bytes).unwrap_or_default()
}

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, with the snapshot of the calling statement.
    Read,
    /// Read and write, inside the caller's transaction.
    Write,
    /// Read and write, and commit between statements.
    Commit,
}

/// A statement's plan that the server keeps.
#[derive(Clone, Copy, Debug)]
pub struct Plan(pg_sys::SPIPlanPtr);

/// A connection to the server's own SQL interface.
#[derive(Debug)]
pub struct Session {
    access: Access,
}

impl Session {
    /// Opens a session for `work`. After a failure the server itself closes what is open.
    pub fn run<T>(access: Access, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let options = if access == Access::Commit { pg_sys::SPI_OPT_NONATOMIC.cast_signed() } else { 0 };
        // SAFETY: connecting has no precondition beyond being called by a function.
        check(unsafe { pg_sys::SPI_connect_ext(options) })?;
        let done = work(&Self { access })?;
        // SAFETY: the session is connected.
        check(unsafe { pg_sys::SPI_finish() })?;
        Ok(done)
    }

    /// Runs a statement, and returns the number of rows that it touched.
    pub fn execute(&self, statement: &CStr, parameters: &[Parameter]) -> Result<u64> {
        let count = i32::try_from(parameters.len()).unwrap_or_default();
        let (mut types, mut values): (Vec<_>, Vec<_>) = parameters.iter().copied().unzip();
        // SAFETY: the session is connected; `count` types and values are given, none of them null.
        unsafe {
            // A commit takes the caller's snapshot away, and planning over an index that not every transaction may use yet asks for one.
            if self.access == Access::Commit {
                pg_sys::EnsurePortalSnapshotExists();
            }
            check(pg_sys::SPI_execute_with_args(
                statement.as_ptr(),
                count,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                std::ptr::null(),
                self.access == Access::Read,
                0,
            ))?;
            Ok(pg_sys::SPI_processed)
        }
    }

    /// Runs a query, and hands its first row to `read`.
    pub fn query<const N: usize, T>(
        &self,
        query: &CStr,
        parameters: &[Parameter],
        read: impl FnOnce([Option<pg_sys::Datum>; N]) -> T,
    ) -> Result<T> {
        self.execute(query, parameters)?;
        // SAFETY: the query left its rows in the table.
        Ok(unsafe { first_row(read) })
    }

    /// As [`Session::query`], of a statement that a session may run for each row of a table: it is put together and planned once, and
    /// planned again where what it names has changed. `kept` is that statement's own.
    pub fn query_kept<const N: usize, T>(
        &self,
        kept: &'static LocalKey<Cell<Option<Plan>>>,
        query: impl FnOnce() -> CString,
        parameters: &[Parameter],
        read: impl FnOnce([Option<pg_sys::Datum>; N]) -> T,
    ) -> Result<T> {
        let (mut types, mut values): (Vec<_>, Vec<_>) = parameters.iter().copied().unzip();
        let count = i32::try_from(parameters.len()).unwrap_or_default();
        // SAFETY: the session is connected; `count` types and values are given, none of them null, always the same types for a
        // statement; a plan that is kept outlives the session, and the server watches what it rests on.
        unsafe {
            let plan = match kept.get() {
                Some(Plan(plan)) => plan,
                None => {
                    let plan = pg_sys::SPI_prepare(query().as_ptr(), count, types.as_mut_ptr());
                    if plan.is_null() {
                        return Err(Failure::sql_failed(pg_sys::SPI_result));
                    }
                    check(pg_sys::SPI_keepplan(plan))?;
                    kept.set(Some(Plan(plan)));
                    plan
                }
            };
            let read_only = self.access == Access::Read;
            check(pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), std::ptr::null(), read_only, 0))?;
            Ok(first_row(read))
        }
    }

    /// As [`Session::query`], of what is committed now, however old the transaction's snapshot: for what others may have made since.
    pub fn query_now<const N: usize, T>(
        &self,
        query: &CStr,
        parameters: &[Parameter],
        read: impl FnOnce([Option<pg_sys::Datum>; N]) -> T,
    ) -> Result<T> {
        // SAFETY: the session is connected; the snapshot is put back here, or by the server after an error. What was done before is seen.
        unsafe {
            pg_sys::CommandCounterIncrement();
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
            let answer = Self { access: Access::Read }.query(query, parameters, read);
            pg_sys::PopActiveSnapshot();
            answer
        }
    }

    /// Runs a query, and hands its rows to `take` one by one; no more than `batch` of them are held at a time, and fewer where they are
    /// large.
    pub fn each<const N: usize>(
        &self,
        query: &CStr,
        parameters: &[Parameter],
        batch: i64,
        mut take: impl FnMut([Option<pg_sys::Datum>; N]) -> Result<()>,
    ) -> Result<()> {
        let count = i32::try_from(parameters.len()).unwrap_or_default();
        let (mut types, mut values): (Vec<_>, Vec<_>) = parameters.iter().copied().unzip();
        // SAFETY: the session is connected; `count` types and values are given, none of them null; the portal and each batch are closed
        // when they have been read, or by the server after an error.
        unsafe {
            let portal = pg_sys::SPI_cursor_open_with_args(
                std::ptr::null(),
                query.as_ptr(),
                count,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                std::ptr::null(),
                self.access == Access::Read,
                0,
            );
            // What `take` has the server allocate goes with each batch: large values are copied out of their tables.
            let mut memory = pgrx::PgMemoryContexts::new("pg_sentiment batch");
            let mut next = 1;
            loop {
                pg_sys::SPI_cursor_fetch(portal, true, next);
                let (table, rows) = (pg_sys::SPI_tuptable, pg_sys::SPI_processed);
                for row in 0..usize::try_from(rows).unwrap_or(0) {
                    // Of long texts and a wide model, a batch takes seconds.
                    pgrx::check_for_interrupts!();
                    let columns = columns_of(table, row);
                    memory.switch_to(|_| take(columns))?;
                }
                let held = [(*table).tuptabcxt, memory.value()].map(|held| allocated(held)).iter().sum();
                next = next_batch(next, held).min(batch);
                memory.reset();
                pg_sys::SPI_freetuptable(table);
                if rows == 0 {
                    break;
                }
            }
            pg_sys::SPI_cursor_close(portal);
        }
        Ok(())
    }

    /// Makes what was done so far permanent, and begins a transaction as the caller's begin.
    pub fn commit(&self) {
        // SAFETY: the session is connected, and was opened for committing; otherwise the server refuses.
        unsafe { pg_sys::SPI_commit() }
    }

    /// Has the transaction that has just begun see what others commit: it works on rows that they change, and need not fail for that.
    pub fn read_committed(&self) {
        // SAFETY: sets a variable of the server's, as `SET TRANSACTION` does; where the transaction has a snapshot, it stays as it is.
        unsafe {
            if self.access == Access::Commit && !pg_sys::FirstSnapshotSet {
                pg_sys::XactIsoLevel = pg_sys::XACT_READ_COMMITTED.cast_signed();
            }
        }
    }
}

/// Hands the first of the rows that a statement has left to `read`, and frees them.
///
/// # Safety
/// A statement has run, and its rows have not been freed.
unsafe fn first_row<const N: usize, T>(read: impl FnOnce([Option<pg_sys::Datum>; N]) -> T) -> T {
    // SAFETY: as promised; a statement without rows leaves an empty table, or none.
    unsafe {
        let (table, rows) = (pg_sys::SPI_tuptable, pg_sys::SPI_processed);
        let columns = if rows > 0 && !table.is_null() { columns_of(table, 0) } else { [None; N] };
        let result = read(columns);
        pg_sys::SPI_freetuptable(table);
        result
    }
}

/// Bytes of rows that are held at a time, as far as the rows before tell: a view makes texts of any length.
const BATCH_BYTES: usize = 2 << 20;

/// How many rows to fetch after so many that took so many bytes.
fn next_batch(rows: i64, held: usize) -> i64 {
    let fit = i64::try_from(BATCH_BYTES / (held / usize::try_from(rows).unwrap_or(1).max(1)).max(1));
    fit.unwrap_or(i64::MAX).clamp(1, rows.saturating_mul(4))
}

/// Bytes that a memory context takes, with all below it.
///
/// # Safety
/// `context` is a live memory context.
unsafe fn allocated(context: pg_sys::MemoryContext) -> usize {
    // SAFETY: as promised; it is only looked at.
    unsafe { pg_sys::MemoryContextMemAllocated(context, true) }
}

/// The columns of a fetched row; NULL is `None`.
///
/// # Safety
/// `table` is live and has so many rows, of at least `N` columns.
unsafe fn columns_of<const N: usize>(
    table: *mut pg_sys::SPITupleTable,
    row: usize,
) -> [Option<pg_sys::Datum>; N] {
    let mut columns = [None; N];
    for (number, column) in (1..).zip(&mut columns) {
        let mut null = false;
        // SAFETY: as promised.
        let value =
            unsafe { pg_sys::SPI_getbinval(*(*table).vals.add(row), (*table).tupdesc, number, &mut null) };
        *column = (!null).then_some(value);
    }
    columns
}

/// The interface's own errors are negative; those of statements do not come back here at all.
fn check(code: i32) -> Result<()> {
    if code < 0 { Err(Failure::sql_failed(code)) } else { Ok(()) }
}
