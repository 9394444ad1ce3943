//! Tables whose rows are scored: `enable_sentiment()`, `disable_sentiment()`, and how such a table is found.

use std::ffi::{CStr, CString};

use pgrx::{IntoDatum, direct_function_call, pg_sys};

use crate::call::{Answer, Call, nothing, sql_functions};
use crate::errors::{Failure, Result};
use crate::letter::{code, letter};
use crate::registry::store::text_of;
use crate::report;
use crate::sql::{self, Access, Session, compose, identifier};
use crate::statement::Scoring;
use crate::table::{ColumnsAre, Table, Trigger, UpdateRule};
use crate::text;
use crate::wiring::{Arguments, DEFAULT_COLUMNS, Output, Wiring};

sql_functions!(enable_sentiment, disable_sentiment);

/// What a trigger of ours is called, if the name is free.
const TRIGGER_NAME: &CStr = c"pg_sentiment";

/// `enable_sentiment(target, text_column, model, label_column, score_column, version_column, backfill)`.
///
/// A mistake that is found half way undoes what was done: all of it is one transaction.
fn enable_sentiment(call: &Call) -> Answer {
    refuse_read_only("enable_sentiment()")?;
    let target = Target::named(call)?;
    let arguments = requested(call)?;
    let backfill: bool = call.required(6, "backfill")?;
    let model = arguments.model()?;
    target.require_owner();
    let (missing, empty, scorers, taken) =
        target.look(pg_sys::AccessExclusiveLock.cast_signed(), |table| {
            let missing = target.missing_columns(&arguments, table)?;
            // What a rule does besides is the user's; rows that it leaves out would stay unscored, and nobody be told.
            if let Some(rule) = table.update_rule(UpdateRule::Instead).filter(|_| backfill) {
                return Err(Failure::rule_rewrites(&rule));
            }
            // A table that inherits from this one may have a column of that name, which becomes one with the new one.
            let empty = if table.has_children() { Vec::new() } else { missing.clone() };
            Ok((missing, empty, target.scorers(table), table.trigger_names()))
        })?;
    // The policy for errors cannot be asked for here: that of a trigger which is replaced stays.
    let known = scorers.iter().filter_map(|scorer| scorer.arguments.as_ref().ok());
    let on_error = known.filter(|known| known.collides(&arguments)).find_map(|replaced| replaced.on_error);
    let arguments = Arguments { on_error, ..arguments };
    let scored = Session::run(Access::Write, |session| {
        target.add_columns(session, &missing)?;
        let wiring = target.look(pg_sys::NoLock.cast_signed(), |table| Wiring::new(arguments, table))?;
        target.require_unpartitioned(session, &wiring)?;
        if backfill {
            target.require_unfilled(session, &wiring.arguments, &empty, &scorers)?;
        }
        target.replace_trigger(session, call.schema(), (&scorers, taken), &wiring.arguments)?;
        say_what_is_refused(&wiring);
        let scoring = Scoring::new(wiring, model)?;
        if backfill { scoring.score_all(session, call.schema(), target.oid) } else { Ok(0) }
    })?;
    Ok(i64::try_from(scored).ok().into_datum())
}

/// `disable_sentiment(target, drop_columns)`.
fn disable_sentiment(call: &Call) -> Answer {
    refuse_read_only("disable_sentiment()")?;
    let target = Target::named(call)?;
    let drop_columns: bool = call.required(1, "drop_columns")?;
    target.require_owner();
    let (scorers, dropped) = target.look(pg_sys::AccessExclusiveLock.cast_signed(), |table| {
        let scorers = target.some_scorers(table)?;
        let columns = scorers.iter().flat_map(|scorer| &scorer.columns).filter(|_| drop_columns);
        let dropped: Vec<_> = columns.filter_map(|name| table.column(name)).collect();
        let refusal = dropped.iter().find_map(|column| {
            let (name, table_name) = (text::string(&column.name), table.name());
            match table.columns_are() {
                ColumnsAre::OfType => Some(Failure::column_of_type(&name, &table_name)),
                _ => column.inherited.then(|| Failure::column_inherited(&name, &table_name)),
            }
        });
        refusal.map_or(Ok((scorers, dropped)), Err)
    })?;
    Session::run(Access::Write, |session| {
        // A trigger that was made by hand may write to any column.
        for column in &dropped {
            if let Some(table) = target.partitioned_by(session, column.number)? {
                return Err(Failure::column_of_key(&text::string(&column.name), &table));
            }
        }
        for scorer in &scorers {
            target.drop_trigger(session, scorer)?;
        }
        if drop_columns { target.drop_columns(session, &scorers) } else { Ok(()) }
    })?;
    nothing()
}

/// The trigger arguments that `enable_sentiment` was asked for. A column given as NULL is left out.
fn requested(call: &Call) -> Result<Arguments> {
    let text = call.name(1).ok_or_else(|| Failure::null_argument("text_column"))?.to_owned();
    let model = call.text(2).map(|model| model.read(|model| text::c_string(&model.to_str())));
    let named = |(index, output): (usize, Output)| call.name(index).map(|name| (output, name.to_owned()));
    let outputs: Vec<_> = (3..).zip(DEFAULT_COLUMNS.map(|(output, _)| output)).filter_map(named).collect();
    if outputs.is_empty() {
        return Err(Failure::outputs_none());
    }
    if outputs.iter().any(|(_, name)| name.is_empty()) {
        return Err(Failure::column_nameless());
    }
    // Seen here and not only by the wiring: columns that are missing are added before there is one.
    let columns = || std::iter::once(&text).chain(outputs.iter().map(|(_, name)| name));
    if let Some(name) = columns().find(|name| columns().filter(|other| other == name).count() > 1) {
        return Err(Failure::column_reused(&text::string(name)));
    }
    Ok(Arguments { text, outputs, model, on_error: None })
}

/// Refuses on a standby and in a read-only transaction, before any lock is asked for, as the server refuses its own commands.
pub fn refuse_read_only(command: &str) -> Result<()> {
    // SAFETY: both read the state of the transaction and the server.
    match unsafe { (pg_sys::XactReadOnly, pg_sys::RecoveryInProgress()) } {
        (false, _) => Ok(()),
        (true, standby) => Err(Failure::read_only(command, standby)),
    }
}

/// A trigger of ours on a table.
#[derive(Debug)]
pub struct Scorer {
    trigger: Trigger,
    /// A trigger made by hand may make no sense.
    arguments: Result<Arguments>,
    /// The columns of the table that it writes.
    columns: Vec<CString>,
}

/// A table that is to be scored, or is.
#[derive(Debug)]
pub struct Target {
    /// The table.
    pub oid: pg_sys::Oid,
    relkind: u8,
    /// `sentiment_trigger()`.
    trigger_function: pg_sys::Oid,
}

impl Target {
    /// The table that a call's first argument names.
    pub fn named(call: &Call) -> Result<Self> {
        let oid = call.required(0, "target")?;
        let trigger_function = compose("%.sentiment_trigger()", &[&identifier(call.schema())]);
        // SAFETY: both look in the catalogs; `regprocedurein` takes a C string, and finds the function of our own schema.
        let (relkind, trigger_function) = unsafe {
            let name = Some(pg_sys::Datum::from(trigger_function.as_ptr()));
            (code(pg_sys::get_rel_relkind(oid)), direct_function_call(pg_sys::regprocedurein, &[name]))
        };
        let target = Self { oid, relkind, trigger_function: trigger_function.unwrap_or(pg_sys::InvalidOid) };
        // SAFETY: both look in the catalogs.
        let ours = unsafe {
            let extension = pg_sys::get_extension_oid(c"pg_sentiment".as_ptr(), true);
            extension != pg_sys::InvalidOid
                && pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, oid) == extension
        };
        match relkind {
            _ if ours => target.look(pg_sys::AccessShareLock.cast_signed(), |table| {
                Err(Failure::part_of_extension(&table.name()))
            }),
            0 => Err(Failure::relation_missing(oid.to_u32())),
            pg_sys::RELKIND_RELATION | pg_sys::RELKIND_PARTITIONED_TABLE | pg_sys::RELKIND_FOREIGN_TABLE => {
                Ok(target)
            }
            _ => target.look(pg_sys::AccessShareLock.cast_signed(), |table| {
                Err(Failure::not_a_table(&table.name()))
            }),
        }
    }

    /// Ends with the server's own error if the caller does not own the table.
    fn require_owner(&self) {
        // SAFETY: all look in the catalogs.
        unsafe {
            let user = pg_sys::GetUserId();
            #[cfg(any(feature = "pg14", feature = "pg15"))]
            let owned = pg_sys::pg_class_ownercheck(self.oid, user);
            #[cfg(not(any(feature = "pg14", feature = "pg15")))]
            let owned = pg_sys::object_ownercheck(pg_sys::RelationRelationId, self.oid, user);
            if !owned {
                let object = pg_sys::get_relkind_objtype(letter(self.relkind));
                let name = pg_sys::get_rel_name(self.oid);
                pg_sys::aclcheck_error(pg_sys::AclResult::ACLCHECK_NOT_OWNER, object, name);
            }
        }
    }

    /// Opens the table for `look`; the lock stays until the transaction ends.
    pub fn look<T>(&self, lock: pg_sys::LOCKMODE, look: impl FnOnce(Table) -> Result<T>) -> Result<T> {
        // SAFETY: the relation is used only while it is open, and closed once. After an error the server closes it.
        unsafe {
            let relation = pg_sys::try_relation_open(self.oid, lock);
            if relation.is_null() {
                return Err(Failure::relation_missing(self.oid.to_u32()));
            }
            let seen = look(Table::new(relation));
            pg_sys::relation_close(relation, pg_sys::NoLock.cast_signed());
            seen
        }
    }

    /// The triggers of ours on the table.
    fn scorers(&self, table: Table) -> Vec<Scorer> {
        let scorer = |trigger: Trigger| {
            let arguments = Arguments::of(trigger.arguments.iter().map(CString::as_c_str));
            let columns = arguments.iter().flat_map(Arguments::columns);
            let columns =
                columns.filter(|column| table.column(column).is_some()).map(CStr::to_owned).collect();
            Scorer { trigger, arguments, columns }
        };
        table.triggers(self.trigger_function).into_iter().map(scorer).collect()
    }

    /// As `scorers`, for a table that has to have one.
    fn some_scorers(&self, table: Table) -> Result<Vec<Scorer>> {
        let scorers = self.scorers(table);
        if scorers.is_empty() { Err(Failure::not_enabled(&table.name())) } else { Ok(scorers) }
    }

    /// The table's triggers by their names, and how each scores it: at least one of them does.
    pub fn wirings(&self) -> Result<Vec<(CString, Wiring)>> {
        self.look(pg_sys::AccessShareLock.cast_signed(), |table| {
            let wiring = |Scorer { trigger, arguments, .. }: Scorer| {
                let name = text::string(&trigger.name);
                if trigger.conditional {
                    return Err(Failure::trigger_conditional(&name, &table.name()));
                }
                let wiring = arguments.and_then(|arguments| Wiring::new(arguments, table));
                let wiring = wiring.map_err(|failure| failure.of_trigger(&name))?;
                Ok((trigger.name, wiring))
            };
            self.some_scorers(table)?.into_iter().map(wiring).collect()
        })
    }

    /// The columns that have to be added.
    fn missing_columns(&self, arguments: &Arguments, table: Table) -> Result<Vec<(Output, CString)>> {
        let missing = arguments.outputs.iter().filter(|(_, name)| table.column(name).is_none());
        let missing: Vec<_> = missing.cloned().collect();
        let Some((_, column)) = missing.first() else { return Ok(missing) };
        let (name, column) = (table.name(), text::string(column));
        match table.columns_are() {
            _ if self.relkind == pg_sys::RELKIND_FOREIGN_TABLE => {
                Err(Failure::foreign_columns(&name, &column))
            }
            ColumnsAre::OfPartitioned => Err(Failure::partition_columns(&name, &column)),
            ColumnsAre::OfType => Err(Failure::typed_columns(&name, &column)),
            ColumnsAre::Own => Ok(missing),
        }
    }

    /// Makes sure that scoring the rows that are there overwrites nothing but sentiment: a column of somebody's labels may have
    /// the name of one of ours.
    fn require_unfilled(
        &self,
        session: &Session,
        arguments: &Arguments,
        empty: &[(Output, CString)],
        scorers: &[Scorer],
    ) -> Result<()> {
        let is_empty = |name: &CStr| empty.iter().any(|(_, empty)| empty.as_c_str() == name);
        let is_ours = |name: &CStr| {
            scorers.iter().flat_map(|scorer| &scorer.columns).any(|column| column.as_c_str() == name)
        };
        let version =
            arguments.outputs.iter().find(|(output, name)| *output == Output::Version && !is_empty(name));
        // What names the version that it comes from was scored. A column that names none is somebody's own, too. Its collation may be
        // one that no pattern is asked by.
        let names = "% COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.~) '@[0-9]+$'";
        let named = version.map(|(_, name)| compose(names, &[&identifier(name)]));
        let unscored =
            named.map_or_else(CString::default, |named| compose(" AND (%) IS NOT TRUE", &[&named]));
        // A version that a trigger writes speaks for what this trigger writes, and for a column of it that was renamed since.
        let is_of_others = |output: Output| {
            scorers.iter().any(|scorer| {
                let Ok(known) = &scorer.arguments else { return false };
                known.output(Output::Version) == version.map(|(_, name)| name.as_c_str())
                    && known
                        .output(output)
                        .is_none_or(|own| scorer.columns.iter().any(|column| column.as_c_str() == own))
            })
        };
        for (output, name) in &arguments.outputs {
            if is_empty(name) || is_ours(name) {
                continue;
            }
            let unscored = if is_of_others(*output) { c"" } else { unscored.as_c_str() };
            let query = compose(
                "SELECT EXISTS (SELECT FROM % WHERE % IS NOT NULL%)",
                &[&sql::relation(self.oid)?, &identifier(name), unscored],
            );
            if session.query(&query, &[], |[filled]| filled.is_some_and(|filled| filled.value() != 0))? {
                let table = self.look(pg_sys::NoLock.cast_signed(), |table| Ok(table.name()))?;
                return Err(Failure::column_filled(&text::string(name), &table));
            }
        }
        Ok(())
    }

    /// Makes sure that no column which is written decides into which partition a row goes.
    fn require_unpartitioned(&self, session: &Session, wiring: &Wiring) -> Result<()> {
        for (_, column) in &wiring.outputs {
            if let Some(table) = self.partitioned_by(session, column.number)? {
                return Err(Failure::column_partitions(&text::string(&column.name), &table));
            }
        }
        Ok(())
    }

    /// The table that a column of this one partitions: this one, a partition of it that is partitioned itself, or what it is a partition
    /// of. The server has each column of a partition key depend on its table, those of expressions too.
    fn partitioned_by(&self, session: &Session, column: i32) -> Result<Option<String>> {
        let query = c"SELECT c.relname::text FROM (
                SELECT t.relid FROM pg_catalog.pg_partition_tree($1) AS t
                UNION SELECT a.relid FROM pg_catalog.pg_partition_ancestors($1) AS a) AS tree
            JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) tree.relid
            JOIN pg_catalog.pg_attribute AS o ON o.attrelid OPERATOR(pg_catalog.=) $1
                AND o.attnum OPERATOR(pg_catalog.=) $2
            JOIN pg_catalog.pg_attribute AS k ON k.attrelid OPERATOR(pg_catalog.=) c.oid
                AND k.attname OPERATOR(pg_catalog.=) o.attname
            JOIN pg_catalog.pg_depend AS d ON d.classid OPERATOR(pg_catalog.=) c.tableoid
                AND d.objid OPERATOR(pg_catalog.=) c.oid
                AND d.objsubid OPERATOR(pg_catalog.=) k.attnum::pg_catalog.int4
                AND d.refclassid OPERATOR(pg_catalog.=) c.tableoid AND d.refobjid OPERATOR(pg_catalog.=) c.oid
                AND d.refobjsubid OPERATOR(pg_catalog.=) 0 AND d.deptype OPERATOR(pg_catalog.=) 'i'
            LIMIT 1";
        let parameters = [(pg_sys::REGCLASSOID, self.oid.into()), (pg_sys::INT4OID, column.into())];
        let table = session.query(query, &parameters, |[table]| text_of(table))?;
        Ok((!table.is_empty()).then_some(table))
    }

    fn add_columns(&self, session: &Session, missing: &[(Output, CString)]) -> Result<()> {
        let addition = |(output, name): &(Output, CString)| {
            let data_type = match output {
                Output::Label | Output::Version => "text",
                Output::Score => "float8",
            };
            compose(&format!("ADD COLUMN % pg_catalog.{data_type}"), &[&identifier(name)])
        };
        self.alter(session, missing.iter().map(addition).collect())
    }

    fn drop_columns(&self, session: &Session, scorers: &[Scorer]) -> Result<()> {
        let arguments = scorers.iter().filter_map(|scorer| scorer.arguments.as_ref().ok());
        let mut columns: Vec<_> = arguments.flat_map(Arguments::columns).collect();
        columns.sort_unstable();
        columns.dedup();
        let removals = columns.iter().map(|name| compose("DROP COLUMN IF EXISTS %", &[&identifier(name)]));
        self.alter(session, removals.collect())
    }

    fn alter(&self, session: &Session, actions: Vec<CString>) -> Result<()> {
        if actions.is_empty() {
            return Ok(());
        }
        let statement = compose("ALTER TABLE % %", &[&sql::relation(self.oid)?, &sql::join(&actions, ", ")]);
        session.execute(&statement, &[]).map(drop)
    }

    fn drop_trigger(&self, session: &Session, scorer: &Scorer) -> Result<()> {
        if scorer.trigger.cloned {
            return Err(Failure::trigger_cloned(&text::string(&scorer.trigger.name)));
        }
        let statement =
            compose("DROP TRIGGER % ON %", &[&identifier(&scorer.trigger.name), &sql::relation(self.oid)?]);
        session.execute(&statement, &[]).map(drop)
    }

    /// Creates the trigger, in place of those that read the same column or write the same ones.
    fn replace_trigger(
        &self,
        session: &Session,
        schema: &CStr,
        (scorers, mut taken): (&[Scorer], Vec<CString>),
        wanted: &Arguments,
    ) -> Result<()> {
        let in_the_way =
            |scorer: &&Scorer| scorer.arguments.as_ref().map_or(true, |known| known.collides(wanted));
        let replaced: Vec<&Scorer> = scorers.iter().filter(in_the_way).collect();
        for scorer in &replaced {
            self.drop_trigger(session, scorer)?;
            taken.retain(|name| *name != scorer.trigger.name);
            scorer.say_what_is_lost(wanted);
        }
        let name = identifier(&free_name(&taken));
        let statement = compose(
            "CREATE TRIGGER % BEFORE INSERT OR UPDATE OF % ON % FOR EACH ROW EXECUTE FUNCTION %.sentiment_trigger(%)",
            &[
                &name,
                &identifier(&wanted.text),
                &sql::relation(self.oid)?,
                &identifier(schema),
                &sql::join(&wanted.literals(), ", "),
            ],
        );
        session.execute(&statement, &[])?;
        let always = replaced.iter().any(|scorer| scorer.trigger.always);
        let action = always.then(|| compose("ENABLE ALWAYS TRIGGER %", &[&name]));
        self.alter(session, action.into_iter().collect())
    }
}

impl Scorer {
    /// Tells the caller what the trigger did that the one in its place, with the arguments `wanted`, does not.
    fn say_what_is_lost(&self, wanted: &Arguments) {
        let written = |column: &&CString| wanted.columns().any(|written| written == column.as_c_str());
        for column in self.columns.iter().filter(|column| !written(column)) {
            let column = text::string(column);
            report::notice(&format!("column \"{column}\" is not written any more: its trigger was replaced"));
        }
        if let Ok(arguments) = &self.arguments
            && arguments.text != wanted.text
        {
            let column = text::string(&arguments.text);
            report::notice(&format!("column \"{column}\" is not read any more: its trigger was replaced"));
        }
        if self.trigger.conditional {
            let name = text::string(&self.trigger.name);
            report::notice(&format!(
                "all rows are scored now: the trigger \"{name}\" that was replaced had a WHEN"
            ));
        }
    }
}

/// Tells the caller which columns, being NOT NULL, refuse rows that would be stored otherwise.
fn say_what_is_refused(wiring: &Wiring) {
    for (output, column) in wiring.outputs.iter().filter(|(_, column)| column.not_null) {
        let column = text::string(&column.name);
        let rows = match output {
            Output::Label | Output::Score => "rows without sentiment, such as those with a blank text,",
            Output::Version => "rows that cannot be scored",
        };
        report::notice(&format!("column \"{column}\" is NOT NULL: {rows} are refused"));
    }
}

/// A name for a trigger beside those that have a name already.
fn free_name(taken: &[CString]) -> CString {
    let numbered = (2..).map(|number: usize| compose(&format!("%_{number}"), &[TRIGGER_NAME]));
    let mut names = std::iter::once(TRIGGER_NAME.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}
