//! Rows that are in a table already: counting the stale ones, and scoring them again.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

use crate::call::{Answer, Call, sql_functions};
use crate::errors::{Failure, Result};
use crate::letter::code;
use crate::report;
use crate::sql::{self, Access, Session, compose};
use crate::statement::{Scoring, Way};
use crate::table::{Table, UpdateRule};
use crate::target::{Target, refuse_read_only};
use crate::text;
use crate::wiring::{Output, Wiring};

sql_functions!(stale_sentiment, rescore_sentiment);

/// `stale_sentiment(target)`: the number of rows that the current version of their model has not seen.
fn stale_sentiment(call: &Call) -> Answer {
    let target = Target::named(call)?;
    let scorings = scorings(&target)?;
    let conditions: Vec<_> = scorings.iter().map(Scoring::is_stale).collect();
    let query = compose(
        "SELECT pg_catalog.count(*) FROM % AS t WHERE %",
        &[&sql::relation(target.oid)?, &sql::join(&conditions, " OR ")],
    );
    Session::run(Access::Read, |session| session.query(&query, &[], |[count]| count))
}

/// `rescore_sentiment(target, batch)`: scores stale rows, and commits after each batch of them.
fn rescore_sentiment(call: &Call) -> Answer {
    refuse_read_only("rescore_sentiment()")?;
    let target = Target::named(call)?;
    let batch: i32 = call.required(1, "batch")?;
    let limit = u64::try_from(batch).ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| Failure::batch_not_positive(batch))?;
    match call.context::<pg_sys::CallContext>(pg_sys::NodeTag::T_CallContext) {
        Some(context) if !context.atomic => {}
        _ => return Err(Failure::transaction_open()),
    }
    let ways: Vec<_> = scorings(&target)?.iter().map(Scoring::way).collect();
    let leaves = Leaf::all_of(&target);
    // What refuses one of them is said before any is written to.
    for leaf in &leaves {
        leaf.lock(&target, pg_sys::AccessShareLock)?;
    }
    Session::run(Access::Commit, |session| {
        // This transaction has a snapshot, and with it the isolation that the caller's transactions begin with.
        session.commit();
        for way in &ways {
            for &leaf in &leaves {
                Rescoring { session, schema: call.schema(), target: &target, way, leaf, limit }.run()?;
            }
        }
        Ok(None)
    })
}

/// How the triggers of a table score it, each with its model as it is now; all must keep versions.
fn scorings(target: &Target) -> Result<Vec<Scoring>> {
    let scoring = |(trigger, wiring): (CString, Wiring)| {
        let model = wiring.arguments.model_of_trigger(&trigger)?;
        if wiring.output(Output::Version).is_none() {
            return Err(Failure::version_not_kept(&text::string(&sql::relation(target.oid)?)));
        }
        Scoring::new(wiring, model)
    };
    target.wirings()?.into_iter().map(scoring).collect()
}

/// One table that is being rescored.
struct Rescoring<'a> {
    session: &'a Session,
    schema: &'a CStr,
    target: &'a Target,
    way: &'a Way,
    leaf: Leaf,
    limit: u64,
}

impl Rescoring<'_> {
    /// Scores the stale rows of one table, not those of its children.
    fn run(&self) -> Result<()> {
        let (mut rows, mut changed) = (0, false);
        // Rows that moved meanwhile, or that the server did not read in order, are left to the next pass, and so are all that were
        // scored before another version was deployed. The one that brings no row up to date is the last: rows that a
        // trigger of the user's keeps as they are must not be tried for ever. Nor are models that change faster than a pass ends
        // followed for ever.
        loop {
            let before = rows;
            let pass = self.pass(&mut rows)?;
            if rows == before || pass.changed && changed {
                return Ok(());
            }
            changed |= pass.changed;
        }
    }

    /// Goes through a table in storage order, batch by batch, as far as it reaches when that begins: what comes later is scored
    /// as it comes.
    fn pass(&self, rows: &mut u64) -> Result<Pass> {
        let mut pass = Pass::default();
        // What a batch has the server allocate goes with it, not with the procedure.
        let mut memory = pgrx::PgMemoryContexts::new("pg_sentiment batch");
        loop {
            // SAFETY: it is a child of the procedure's own context, which a commit leaves alone; nothing that is allocated in it is held
            // longer than a step.
            let on = unsafe {
                let on = memory.switch_to(|_| self.step(&mut pass, rows))?;
                memory.reset();
                on
            };
            if !on {
                return Ok(pass);
            }
        }
    }

    /// Scores the next batch, and commits it. Between two of them anything may change: the model, the trigger, the tables' names. So
    /// tables are locked first, and then looked at. Whether there may be another batch.
    fn step(&self, pass: &mut Pass, rows: &mut u64) -> Result<bool> {
        self.session.read_committed();
        self.target.look(pg_sys::RowExclusiveLock.cast_signed(), |_| Ok(()))?;
        let Some(open) = self.leaf.lock(self.target, pg_sys::RowExclusiveLock)? else {
            self.session.commit();
            return Ok(false);
        };
        let scoring = self.scoring()?;
        let version = scoring.version_name();
        pass.changed |= pass.version.as_ref().is_some_and(|before| *before != version);
        pass.version = Some(version);
        let Some(pages) = open.pages else { return self.at_once(&scoring, &open, rows) };
        let end = pass.end.get_or_insert(behind(pages));
        let tid = |place: &pg_sys::ItemPointerData| (pg_sys::TIDOID, std::ptr::from_ref(place).into());
        let statement = scoring.batch(self.schema, &open.name);
        let parameters =
            [scoring.version(), tid(&pass.place), tid(end), (pg_sys::INT8OID, self.limit.into())];
        let batch = self.session.query(&statement, &parameters, Batch::read)?;
        *rows += batch.changed;
        if batch.changed > 0 {
            open.notice(*rows, batch.last);
        }
        self.session.commit();
        pass.place = batch.last;
        Ok(batch.found >= self.limit)
    }

    /// How the table is scored now.
    fn scoring(&self) -> Result<Scoring> {
        let scoring = scorings(self.target)?.into_iter().find(|scoring| scoring.way() == *self.way);
        scoring.ok_or_else(|| {
            let name = sql::relation(self.target.oid).unwrap_or_default();
            Failure::not_enabled(&text::string(&name))
        })
    }

    /// Scores the stale rows of a foreign table in one statement: it has no places to go on from.
    fn at_once(&self, scoring: &Scoring, open: &Locked, rows: &mut u64) -> Result<bool> {
        // A second time there is nothing to gain.
        if *rows > 0 {
            self.session.commit();
            return Ok(false);
        }
        *rows = self.session.execute(&scoring.at_once(self.schema, &open.name), &[scoring.version()])?;
        if *rows > 0 {
            open.notice(*rows, pg_sys::ItemPointerData::default());
        }
        self.session.commit();
        Ok(false)
    }
}

/// How far a pass has come.
#[derive(Debug, Default)]
struct Pass {
    /// The last row that was picked, and the place where the table ended.
    place: pg_sys::ItemPointerData,
    end: Option<pg_sys::ItemPointerData>,
    /// The version that scores, and whether it was another before.
    version: Option<String>,
    changed: bool,
}

/// What a batch came to.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// The place of the last row that was picked.
    last: pg_sys::ItemPointerData,
    found: u64,
    changed: u64,
}

impl Batch {
    fn read([last, found, changed]: [Option<pg_sys::Datum>; 3]) -> Self {
        let count = |datum: Option<pg_sys::Datum>| datum.map_or(0, |datum| datum.value() as u64);
        // SAFETY: the query's first column is a tid, which is stored as an item pointer.
        let last = last.map(|tid| unsafe { *tid.cast_mut_ptr::<pg_sys::ItemPointerData>() });
        Self { last: last.unwrap_or_default(), found: count(found), changed: count(changed) }
    }
}

/// The page that a row is on, counted from 1.
fn page(place: pg_sys::ItemPointerData) -> u32 {
    let block = u32::from(place.ip_blkid.bi_hi) << 16 | u32::from(place.ip_blkid.bi_lo);
    block.saturating_add(1)
}

/// The place behind so many pages.
fn behind(pages: u32) -> pg_sys::ItemPointerData {
    let half = |bits: u32| u16::try_from(bits & 0xffff).unwrap_or_default();
    let page = pg_sys::BlockIdData { bi_hi: half(pages >> 16), bi_lo: half(pages) };
    pg_sys::ItemPointerData { ip_blkid: page, ip_posid: 0 }
}

/// A table that holds rows itself: the target, a partition, a child.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    oid: pg_sys::Oid,
}

/// One that is locked until the next commit, so that it is not renamed meanwhile.
#[derive(Debug)]
struct Locked {
    name: CString,
    /// How large it is, unless it holds no rows or that is another server's matter.
    pages: Option<u32>,
}

impl Leaf {
    /// The tables that the rows of `target` are in, as far as this session can see them. Of a partitioned table these are its
    /// partitions.
    fn all_of(target: &Target) -> Vec<Self> {
        // SAFETY: the server allocates the list, which has the table itself in it; its cells are oids of relations that stay locked until the
        // next commit.
        let oids: Vec<pg_sys::Oid> = unsafe {
            let lock = pg_sys::AccessShareLock.cast_signed();
            let list = pg_guard_ffi_boundary(|| find_all_inheritors(target.oid, lock, std::ptr::null_mut()));
            let length = usize::try_from((*list).length).unwrap_or(0);
            std::slice::from_raw_parts((*list).elements, length).iter().map(|cell| cell.oid_value).collect()
        };
        // SAFETY: all look in the catalogs. What inherits may be another session's temporary table, whose rows are in that one's memory.
        let is_ours = |oid: &pg_sys::Oid| unsafe {
            code(pg_sys::get_rel_relkind(*oid)) != pg_sys::RELKIND_PARTITIONED_TABLE
                && !pg_sys::isOtherTempNamespace(pg_sys::get_rel_namespace(*oid))
        };
        oids.into_iter().filter(is_ours).map(|oid| Self { oid }).collect()
    }

    /// Locks it, and makes sure that no rule has a say in what is written: the server has none in such statements. `None` for one that is
    /// gone, or is not part of `target` any more.
    fn lock(self, target: &Target, lock: u32) -> Result<Option<Locked>> {
        // SAFETY: an open relation is looked at, and closed once; it stays locked. After an error the server closes it.
        let pages = unsafe {
            let open = pg_sys::try_relation_open(self.oid, lock.cast_signed());
            let Some(relation) = open.as_ref() else { return Ok(None) };
            let (row, whole) = ((*relation.rd_rel).reltype, pg_sys::get_rel_type_id(target.oid));
            if self.oid != target.oid && !pg_guard_ffi_boundary(|| typeInheritsFrom(row, whole)) {
                pg_sys::relation_close(open, pg_sys::NoLock.cast_signed());
                return Ok(None);
            }
            if let Some(rule) = Table::new(open).update_rule(UpdateRule::Any) {
                return Err(Failure::rule_rewrites(&rule));
            }
            let pages = match code((*relation.rd_rel).relkind) {
                pg_sys::RELKIND_FOREIGN_TABLE | pg_sys::RELKIND_PARTITIONED_TABLE => None,
                _ => Some(pg_sys::RelationGetNumberOfBlocksInFork(open, pg_sys::ForkNumber::MAIN_FORKNUM)),
            };
            pg_sys::relation_close(open, pg_sys::NoLock.cast_signed());
            pages
        };
        Ok(Some(Locked { name: sql::relation(self.oid)?, pages }))
    }
}

impl Locked {
    /// Says how far the work has come.
    fn notice(&self, rows: u64, last: pg_sys::ItemPointerData) {
        let rows = format!("{rows} {}", if rows == 1 { "row" } else { "rows" });
        let mut progress = format!("rescored {rows} of {}", text::string(&self.name));
        if let Some(pages) = self.pages {
            let page = page(last);
            progress += &format!(", page {page} of {}", pages.max(page));
        }
        report::notice(&progress);
    }
}

unsafe extern "C-unwind" {
    /// The relation itself and all that inherit from it, partitions among them (`catalog/pg_inherits.h`).
    fn find_all_inheritors(
        parent: pg_sys::Oid,
        lock: pg_sys::LOCKMODE,
        parents: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;

    /// Whether rows of one type are rows of another's table, too (`catalog/pg_inherits.h`).
    fn typeInheritsFrom(child: pg_sys::Oid, parent: pg_sys::Oid) -> bool;
}
