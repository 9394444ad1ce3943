//! Answers of more than one value: a record, or rows.

use pgrx::pg_sys;

use crate::call::Call;
use crate::errors::{Failure, Result};

/// One value a column, in the order of the declaration.
pub type Columns<const N: usize> = [Option<pg_sys::Datum>; N];

/// The type of a function's record, worked out once per call site.
#[derive(Debug)]
struct RecordType(pg_sys::TupleDesc);

/// Makes the record that the call returns.
pub fn record<const N: usize>(call: &Call, columns: Columns<N>) -> Result<pg_sys::Datum> {
    // SAFETY: the call is live, so is its call site, whose memory the copied descriptor is put in.
    let RecordType(descriptor) = call.kept(|| unsafe {
        let site = (*call.fcinfo()).flinfo;
        pgrx::PgMemoryContexts::For((*site).fn_mcxt).switch_to(|_| {
            declared::<N>(call).map(|descriptor| RecordType(pg_sys::BlessTupleDesc(descriptor)))
        })
    })?;
    let (mut values, mut nulls) = split(columns);
    // SAFETY: `declared` made sure that the descriptor has N columns.
    unsafe {
        let tuple = pg_sys::heap_form_tuple(*descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        Ok(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data))
    }
}

/// Rows on their way out of a set-returning function. They are stored as they come, on disk if `work_mem` is not enough.
#[derive(Debug)]
pub struct Rows<const N: usize> {
    store: *mut pg_sys::Tuplestorestate,
    descriptor: pg_sys::TupleDesc,
}

impl<const N: usize> Rows<N> {
    /// Prepares the call to return rows.
    pub fn begin(call: &Call) -> Result<Self> {
        let place = call.result_info().ok_or_else(Failure::set_not_accepted)?.as_ptr();
        // SAFETY: the place for the result belongs to the live call; store and descriptor are put in the memory of its query,
        // as the server asks of a function that returns all its rows at once.
        unsafe {
            let accepted = (*place).allowedModes.cast_unsigned();
            if accepted & pg_sys::SetFunctionReturnMode::SFRM_Materialize == 0 {
                return Err(Failure::set_not_accepted());
            }
            // A cursor may go back. What is on disk is stored otherwise then.
            let backward = accepted & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random != 0;
            let context = (*(*place).econtext).ecxt_per_query_memory;
            pgrx::PgMemoryContexts::For(context).switch_to(|_| {
                let descriptor = declared::<N>(call)?;
                let store = pg_sys::tuplestore_begin_heap(backward, false, pg_sys::work_mem);
                (*place).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
                (*place).setResult = store;
                (*place).setDesc = descriptor;
                Ok(Self { store, descriptor })
            })
        }
    }

    /// Adds a row, and lets a cancelled query end.
    pub fn push(&mut self, columns: Columns<N>) {
        pgrx::check_for_interrupts!();
        let (mut values, mut nulls) = split(columns);
        // SAFETY: `declared` made sure that the descriptor has N columns; the store copies what it is given.
        unsafe {
            pg_sys::tuplestore_putvalues(self.store, self.descriptor, values.as_mut_ptr(), nulls.as_mut_ptr())
        }
    }
}

/// The columns that the function is declared with, copied to the current memory context.
///
/// The library and the install script may be of different releases: reading past the end of a row must be impossible.
fn declared<const N: usize>(call: &Call) -> Result<pg_sys::TupleDesc> {
    let mut descriptor = std::ptr::null_mut();
    // SAFETY: the call is live, and a composite result has a descriptor.
    unsafe {
        let class = pg_sys::get_call_result_type(call.fcinfo(), std::ptr::null_mut(), &mut descriptor);
        let columns =
            if class == pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE { (*descriptor).natts } else { 1 };
        let columns = usize::try_from(columns).unwrap_or(0);
        if columns != N {
            return Err(Failure::columns_differ(N, columns));
        }
        Ok(pg_sys::CreateTupleDescCopy(descriptor))
    }
}

/// Values and null flags apart, as the server takes them.
fn split<const N: usize>(columns: Columns<N>) -> ([pg_sys::Datum; N], [bool; N]) {
    (columns.map(|column| column.unwrap_or(pg_sys::Datum::null())), columns.map(|column| column.is_none()))
}
