//! Work on the registry's tables: done as their owner, whoever calls.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use super::relation;
use crate::errors::{Failure, Result};
use crate::sql::{Access, Session};
use crate::text;

/// The name of the role that calls, for the columns that say who did what.
pub fn caller() -> String {
    // SAFETY: the current user exists; the server answers with a new C string.
    let name = unsafe { CStr::from_ptr(pg_sys::GetUserNameFromId(pg_sys::GetUserId(), false)) };
    text::string(name).into_owned()
}

/// Runs `work` with the rights of the registry's owner and a search_path that nobody else can put anything into.
///
/// Statements that `work` runs are ours alone, on the registry's own tables. What their owner has put on these, triggers say,
/// runs with the owner's rights, and leaves nothing behind that would run with the caller's when the transaction ends: the
/// server restricts it as it does maintenance of other people's tables. After an error the server itself puts user and
/// settings back.
pub fn as_owner<T>(access: Access, work: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
    let model = relation(c"model")?;
    // SAFETY: the relation was just found; user and settings are put back below, or by the end of the (sub)transaction.
    unsafe {
        let owner = owner_of(model)?;
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        let inside = context | restricted.cast_signed();
        pg_sys::SetUserIdAndSecContext(owner, inside);
        let nesting = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        let done = Session::run(access, work);
        if done.is_ok() {
            pg_sys::AtEOXact_GUC(true, nesting);
            pg_sys::SetUserIdAndSecContext(user, context);
        }
        done
    }
}

/// The owner of a relation.
unsafe fn owner_of(relation: pg_sys::Oid) -> Result<pg_sys::Oid> {
    // SAFETY: the relation is open while its owner is read.
    unsafe {
        let open = pg_sys::try_relation_open(relation, pg_sys::AccessShareLock.cast_signed());
        if open.is_null() {
            return Err(Failure::registry_missing());
        }
        let owner = (*(*open).rd_rel).relowner;
        pg_sys::relation_close(open, pg_sys::NoLock.cast_signed());
        Ok(owner)
    }
}

/// A statement of ours as the server takes it.
pub fn statement(sql: &str) -> CString {
    CString::new(sql).unwrap_or_default()
}
