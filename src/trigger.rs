//! `sentiment_trigger()`: scores a row on its way into a table.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::{IntoDatum, pg_sys};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::{Failure, Result};
use crate::models::Model;
use crate::result::Columns;
use crate::settings::OnError;
use crate::table::{Table, trigger_arguments};
use crate::text::{self, StoredText};
use crate::wiring::{Arguments, Output, Wiring};

sql_functions!(sentiment_trigger);

/// What a trigger keeps while a statement runs. Its table is locked that long, so nothing in here can go out of date.
#[derive(Debug)]
struct Kept {
    wiring: Wiring,
    /// Whether a failure was reported: a COPY of a million rows need not say a million times that a model is gone.
    warned: Cell<bool>,
}

/// `sentiment_trigger()`: fills the columns that the arguments name.
fn sentiment_trigger(call: &Call) -> Answer {
    let event = call.context(pg_sys::NodeTag::T_TriggerData).ok_or_else(Failure::not_fired)?;
    let row = row_to_write(event)?;
    // SAFETY: the server keeps the table open and locked while its triggers run.
    let table = unsafe { Table::new(event.tg_relation) };
    let Kept { wiring, warned } = call.kept(|| {
        // SAFETY: the trigger is that of a live event.
        let arguments = unsafe { Arguments::of(trigger_arguments(&*event.tg_trigger)) };
        let wiring = arguments.and_then(|arguments| Wiring::new(arguments, table));
        let wiring = wiring.map_err(|failure| failure.of_trigger(&text::string(name(event))))?;
        Ok(Kept { wiring, warned: Cell::new(false) })
    })?;
    let columns = match score(wiring, event, table, row) {
        Ok(columns) => columns,
        Err(failure) if wiring.on_error() == OnError::Raise => return Err(failure),
        Err(failure) => {
            if !warned.replace(true) {
                failure.warn("rows are stored without their sentiment");
            }
            Columns::default()
        }
    };
    Ok(Some(write(wiring, table, row, columns)))
}

/// What the trigger is called.
fn name(event: &pg_sys::TriggerData) -> &CStr {
    // SAFETY: the trigger of a live event has a name, which the server keeps as long.
    unsafe { CStr::from_ptr((*event.tg_trigger).tgname) }
}

/// The row that is about to be written, if the trigger fires when that can still be changed.
fn row_to_write(event: &pg_sys::TriggerData) -> Result<pg_sys::HeapTuple> {
    let timing = event.tg_event & (pg_sys::TRIGGER_EVENT_TIMINGMASK | pg_sys::TRIGGER_EVENT_ROW);
    let in_time = timing == pg_sys::TRIGGER_EVENT_BEFORE | pg_sys::TRIGGER_EVENT_ROW;
    match event.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
        pg_sys::TRIGGER_EVENT_INSERT if in_time => Ok(event.tg_trigtuple),
        pg_sys::TRIGGER_EVENT_UPDATE if in_time => Ok(event.tg_newtuple),
        _ => Err(Failure::fired_otherwise(&text::string(name(event)))),
    }
}

/// Values for the columns of label, score and version.
///
/// The version says which model looked at the text, also where it found nothing to score.
fn score(
    wiring: &Wiring,
    event: &pg_sys::TriggerData,
    table: Table,
    row: pg_sys::HeapTuple,
) -> Result<Columns<3>> {
    let model = wiring.arguments.model_of_trigger(name(event))?;
    let mut null = false;
    // SAFETY: the row is of the table, and the wiring found the column there; it is stored like text.
    let body = unsafe {
        let datum = pg_sys::heap_getattr(row, wiring.text.number, table.descriptor(), &mut null);
        (!null).then(|| StoredText::new(datum))
    };
    let version = |model: &Model| -> Result<Option<pg_sys::Datum>> {
        let version = model.version_name();
        wiring.output(Output::Version).map_or(Ok(()), |column| column.fits(version))?;
        Ok(Some(text::datum(version)))
    };
    let answer: Option<Result<Columns<3>>> = body.and_then(|body| {
        model.read(body, |model, reading| {
            let label = model.label(reading.label);
            wiring.output(Output::Label).map_or(Ok(()), |column| column.fits(label))?;
            let score = reading.score.and_then(|score| number(wiring, score));
            Ok([Some(text::datum(label)), score, version(model)?])
        })
    });
    answer.unwrap_or_else(|| Ok([None, None, version(&model)?]))
}

/// A score as its column stores it.
fn number(wiring: &Wiring, score: f64) -> Option<pg_sys::Datum> {
    match wiring.output(Output::Score)?.data_type {
        // The rounding is what the column asks for.
        #[allow(clippy::cast_possible_truncation)]
        pg_sys::FLOAT4OID => (score as f32).into_datum(),
        _ => score.into_datum(),
    }
}

/// The row with its new values.
fn write(wiring: &Wiring, table: Table, row: pg_sys::HeapTuple, columns: Columns<3>) -> pg_sys::Datum {
    let [label, score, version] = columns;
    let (mut numbers, mut values, mut nulls) = ([0; 3], [pg_sys::Datum::null(); 3], [true; 3]);
    for (index, (output, column)) in wiring.outputs.iter().enumerate() {
        let value = match output {
            Output::Label => label,
            Output::Score => score,
            Output::Version => version,
        };
        numbers[index] = column.number;
        nulls[index] = value.is_none();
        values[index] = value.unwrap_or(pg_sys::Datum::null());
    }
    // SAFETY: the row is of the table; the wiring has at most three outputs, all of them columns of it of the types written.
    unsafe {
        pg_sys::heap_modify_tuple_by_cols(
            row,
            table.descriptor(),
            i32::try_from(wiring.outputs.len()).unwrap_or_default(),
            numbers.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
        )
    }
    .into()
}
