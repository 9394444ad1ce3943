//! Tables as the server's cache has them: names, columns, triggers.

use std::ffi::{CStr, CString};

use pgrx::{PgTupleDesc, pg_sys};

use crate::errors::{Failure, Result};
use crate::letter::code;
use crate::text;

/// The catalog of rules, `pg_rewrite`, by its number (`catalog/pg_rewrite.h`).
const REWRITE_RELATION: pg_sys::Oid = pg_sys::Oid::from_u32(2618);

/// An open table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    relation: pg_sys::Relation,
}

impl Table {
    /// Looks at an open table.
    ///
    /// # Safety
    /// `relation` is open and locked, and stays so as long as the result is used.
    pub unsafe fn new(relation: pg_sys::Relation) -> Self {
        Self { relation }
    }

    /// Its name, for messages.
    pub fn name(self) -> String {
        // SAFETY: `new` was promised an open relation, which has a name.
        text::string(unsafe { CStr::from_ptr((*(*self.relation).rd_rel).relname.data.as_ptr()) }).into_owned()
    }

    /// Whether there may be tables that inherit from it, with columns of their own. Partitions have none.
    pub fn has_children(self) -> bool {
        // SAFETY: `new` was promised an open relation.
        let about = unsafe { &*(*self.relation).rd_rel };
        about.relhassubclass && code(about.relkind) != pg_sys::RELKIND_PARTITIONED_TABLE
    }

    /// Where its columns come from.
    pub fn columns_are(self) -> ColumnsAre {
        // SAFETY: `new` was promised an open relation.
        let about = unsafe { &*(*self.relation).rd_rel };
        if about.relispartition {
            ColumnsAre::OfPartitioned
        } else if about.reloftype == pg_sys::InvalidOid {
            ColumnsAre::Own
        } else {
            ColumnsAre::OfType
        }
    }

    /// The row type of its tuples.
    pub fn descriptor(self) -> pg_sys::TupleDesc {
        // SAFETY: `new` was promised an open relation.
        unsafe { (*self.relation).rd_att }
    }

    /// The column of a name; `None` too for one that was dropped and for the system's own.
    pub fn column(self, name: &CStr) -> Option<Column> {
        // SAFETY: `new` was promised an open relation, whose descriptor is not freed while it is open.
        let (descriptor, number) = unsafe {
            let descriptor = self.descriptor();
            (PgTupleDesc::from_pg_unchecked(descriptor), pg_sys::SPI_fnumber(descriptor, name.as_ptr()))
        };
        let attribute = descriptor.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        Some(Column {
            number,
            name: name.to_owned(),
            data_type: attribute.atttypid,
            modifier: attribute.atttypmod,
            generated: attribute.attgenerated != 0,
            inherited: attribute.attinhcount > 0,
            not_null: attribute.attnotnull,
        })
    }

    /// The column of a name that has to be there.
    pub fn require(self, name: &CStr) -> Result<Column> {
        self.column(name).ok_or_else(|| Failure::column_missing(&text::string(name), &self.name()))
    }

    /// The names of all triggers, whatever they call.
    pub fn trigger_names(self) -> Vec<CString> {
        // SAFETY: as in `all_triggers`.
        self.all_triggers()
            .iter()
            .map(|trigger| unsafe { CStr::from_ptr(trigger.tgname) }.to_owned())
            .collect()
    }

    /// The triggers that call `function`.
    pub fn triggers(self, function: pg_sys::Oid) -> Vec<Trigger> {
        let ours = self.all_triggers().iter().filter(|trigger| trigger.tgfoid == function);
        // SAFETY: as in `all_triggers`.
        let trigger = |trigger: &pg_sys::Trigger| unsafe {
            Trigger {
                name: CStr::from_ptr(trigger.tgname).to_owned(),
                arguments: trigger_arguments(trigger).map(CStr::to_owned).collect(),
                always: code(trigger.tgenabled) == pg_sys::TRIGGER_FIRES_ALWAYS,
                conditional: !trigger.tgqual.is_null(),
                cloned: trigger.tgisclone,
            }
        };
        ours.map(trigger).collect()
    }

    /// A rule of this sort by which the server rewrites updates of the table in this session, as the server describes it.
    pub fn update_rule(self, sort: UpdateRule) -> Option<String> {
        // SAFETY: `new` was promised an open relation, which has either no rules, or `numLocks` of them; the setting is the server's.
        let (rules, role) = unsafe {
            let rules = (*self.relation).rd_rules.as_ref().map_or(&[][..], |list| {
                std::slice::from_raw_parts(list.rules, usize::try_from(list.numLocks).unwrap_or(0))
            });
            (rules, pg_sys::SessionReplicationRole)
        };
        // Rules are marked with the letters of triggers.
        let passed_by = if role.cast_unsigned() == pg_sys::SESSION_REPLICATION_ROLE_REPLICA {
            pg_sys::TRIGGER_FIRES_ON_ORIGIN
        } else {
            pg_sys::TRIGGER_FIRES_ON_REPLICA
        };
        let takes_part = |rule: &&pg_sys::RewriteRule| {
            rule.event == pg_sys::CmdType::CMD_UPDATE
                && ![passed_by, pg_sys::TRIGGER_DISABLED].contains(&code(rule.enabled))
                && (rule.isInstead || sort == UpdateRule::Any)
        };
        // SAFETY: as above.
        let rule = rules.iter().map(|rule| unsafe { &**rule }).find(takes_part)?;
        let rule = pg_sys::ObjectAddress { classId: REWRITE_RELATION, objectId: rule.ruleId, objectSubId: 0 };
        // SAFETY: the server describes a rule of a table that is open, in memory of the current context.
        Some(
            text::string(unsafe { CStr::from_ptr(pg_sys::getObjectDescription(&raw const rule, false)) })
                .into_owned(),
        )
    }

    /// What the server keeps of the triggers while the relation is open.
    fn all_triggers<'a>(self) -> &'a [pg_sys::Trigger] {
        // SAFETY: `new` was promised an open relation; it has either no trigger list, or `numtriggers` triggers with names.
        unsafe {
            (*self.relation).trigdesc.as_ref().map_or(&[], |list| {
                std::slice::from_raw_parts(list.triggers, usize::try_from(list.numtriggers).unwrap_or(0))
            })
        }
    }
}

/// Sorts of rules that rewrite updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateRule {
    /// All.
    Any,
    /// Those that may leave rows out: DO INSTEAD.
    Instead,
}

/// Where a table's columns come from: no other can be added to one that has them from elsewhere.
#[derive(Clone, Copy, Debug)]
pub enum ColumnsAre {
    /// They are its own, though it may have inherited some.
    Own,
    /// It is a partition.
    OfPartitioned,
    /// It was made `OF` a type.
    OfType,
}

/// What a table knows of a trigger.
#[derive(Debug)]
pub struct Trigger {
    /// Its name.
    pub name: CString,
    /// Its arguments.
    pub arguments: Vec<CString>,
    /// Whether it fires where rows are replicated, too.
    pub always: bool,
    /// Whether it has a `WHEN`.
    pub conditional: bool,
    /// Whether a partition has it from its partitioned table.
    pub cloned: bool,
}

/// A trigger's arguments, as `CREATE TRIGGER` was given them.
///
/// # Safety
/// `trigger` is a trigger of the server's cache, and the result is used no longer than it.
pub unsafe fn trigger_arguments<'a>(trigger: &pg_sys::Trigger) -> impl Iterator<Item = &'a CStr> + use<'a> {
    let (arguments, count) = (trigger.tgargs, usize::try_from(trigger.tgnargs).unwrap_or(0));
    // SAFETY: the server keeps `tgnargs` C strings there, and no array at all where there are none.
    (0..count).map(move |index| unsafe { CStr::from_ptr(*arguments.add(index)) })
}

/// Whether texts can be read from values of a type in place.
pub fn is_readable(data_type: pg_sys::Oid) -> bool {
    // SAFETY: both look the type up in the catalogs.
    unsafe {
        pg_sys::getBaseType(data_type) == pg_sys::BPCHAROID
            || pg_sys::IsBinaryCoercible(data_type, pg_sys::TEXTOID)
    }
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its number, counted from 1.
    pub number: i32,
    /// Its name, as the catalogs have it.
    pub name: CString,
    /// Its type.
    pub data_type: pg_sys::Oid,
    modifier: i32,
    generated: bool,
    /// Whether it is there because another table has it.
    pub inherited: bool,
    /// Whether it is NOT NULL.
    pub not_null: bool,
}

impl Column {
    /// Characters that it can hold, if that is limited.
    fn limit(&self) -> Option<usize> {
        let limit = self.modifier - i32::try_from(pg_sys::VARHDRSZ).unwrap_or_default();
        usize::try_from(limit).ok().filter(|_| self.data_type == pg_sys::VARCHAROID)
    }

    /// Makes sure that `value` fits.
    pub fn fits(&self, value: &str) -> Result<()> {
        match self.limit() {
            Some(limit) if value.chars().count() > limit => {
                Err(Failure::value_too_long(&text::string(&self.name), value.chars().count(), limit))
            }
            _ => Ok(()),
        }
    }

    fn type_name(&self) -> String {
        // SAFETY: the server formats the type's name into memory of the current context.
        text::string(unsafe { CStr::from_ptr(pg_sys::format_type_be(self.data_type)) }).into_owned()
    }

    /// Makes sure that a trigger that fires before the row is written has a say in it.
    pub fn not_generated(self) -> Result<Self> {
        if self.generated { Err(Failure::column_generated(&text::string(&self.name))) } else { Ok(self) }
    }

    /// Makes sure that texts can be read from it in place.
    pub fn readable(self) -> Result<Self> {
        if is_readable(self.data_type) {
            Ok(self)
        } else {
            Err(Failure::column_not_text(&text::string(&self.name), &self.type_name()))
        }
    }

    /// Makes sure that it is of one of `types`, which are described as `expected`. Domains are refused: no one would check
    /// their constraints.
    pub fn writable(self, types: &[pg_sys::Oid], expected: &str) -> Result<Self> {
        if types.contains(&self.data_type) {
            return Ok(self);
        }
        Err(Failure::output_type(&text::string(&self.name), &self.type_name(), expected))
    }
}
