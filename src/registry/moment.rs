//! When a look-up happens: what the session knows of changes of the registry by then, and what the statement sees of them.

use std::cell::Cell;

use pgrx::pg_sys;

use super::relation;
use crate::errors::Result;

thread_local! {
    /// Counts what may have changed the registry.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    /// The table that tells of changes.
    static WATCHED: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::InvalidOid) };
    /// The statement that asked last: when it began, and its snapshot's place.
    static STATEMENT: Cell<(i64, Place)> = const { Cell::new((0, Place::NOWHERE)) };
}

/// Called by the server when a relation has changed: one of ours, or possibly any.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn changed(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    if relation == pg_sys::InvalidOid || relation == WATCHED.get() {
        GENERATION.set(GENERATION.get() + 1);
    }
}

/// A snapshot's place among others that see other changes: the later it was taken, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where it ends, and how many transactions were not running any more before that, counted down from the most that can be: the fewer
    /// run, the later it is. (A standby counts all of them as subtransactions; elsewhere these may be past its end.)
    transactions: u64,
    /// Which commands of its own transaction it sees.
    commands: u32,
}

impl Place {
    /// Where a statement has no snapshot of its own.
    const NOWHERE: Self = Self { transactions: 0, commands: 0 };

    fn of(snapshot: &pg_sys::SnapshotData) -> Self {
        let running =
            if snapshot.takenDuringRecovery { snapshot.subxcnt.cast_unsigned() } else { snapshot.xcnt };
        let transactions = u64::from(snapshot.xmax.into_inner()) << 32 | u64::from(u32::MAX - running);
        Self { transactions, commands: snapshot.curcid }
    }
}

/// What a look-up rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The number of changes of the registry that this session knows of.
    pub generation: u64,
    /// The place of the statement's snapshot.
    pub snapshot: Place,
}

/// Where the session stands. Once a statement, news from other sessions is taken in first, so that a change shows in the next
/// statement, prepared or not, of a transaction that had begun before.
pub fn now() -> Moment {
    // SAFETY: reads the statement's time and snapshot, and takes messages in as the server does itself when it locks a relation.
    let snapshot = unsafe {
        let snapshot = statement_snapshot().map_or(Place::NOWHERE, |snapshot| Place::of(&*snapshot));
        let statement = (pg_sys::GetCurrentStatementStartTimestamp(), snapshot);
        if STATEMENT.replace(statement) != statement {
            pg_sys::AcceptInvalidationMessages();
        }
        snapshot
    };
    Moment { generation: GENERATION.get(), snapshot }
}

/// Begins to listen to changes of the table that it returns.
pub fn watch() -> Result<pg_sys::Oid> {
    let table = relation(c"model")?;
    if WATCHED.get() == pg_sys::InvalidOid {
        // SAFETY: the server keeps the callback as long as the process lives, and so does the library.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(changed), pg_sys::Datum::null()) };
    }
    WATCHED.set(table);
    Ok(table)
}

/// Tells every session, at commit, that the registry has changed; this one with its next command.
pub fn announce() -> Result<()> {
    // SAFETY: the relation was just found.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation(c"model")?) };
    Ok(())
}

/// The snapshot of the statement that runs, where each has its own. That of a transaction that is repeatable read may be much older,
/// and would hide deployments.
pub fn statement_snapshot() -> Option<pg_sys::Snapshot> {
    // SAFETY: an active snapshot is live as long as the statement that runs by it; all else only reads the transaction's state.
    unsafe {
        let own = pg_sys::XactIsoLevel <= pg_sys::XACT_READ_COMMITTED.cast_signed() && ActiveSnapshotSet();
        let snapshot = own.then(|| GetActiveSnapshot());
        snapshot.filter(|snapshot| (**snapshot).snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC)
    }
}

// Neither can fail, and both are asked for each row: the guard that the bindings put around them costs more than they do.
unsafe extern "C-unwind" {
    /// Whether there is a snapshot that statements run by (`utils/snapmgr.h`).
    fn ActiveSnapshotSet() -> bool;
    /// That snapshot.
    fn GetActiveSnapshot() -> pg_sys::Snapshot;
}
