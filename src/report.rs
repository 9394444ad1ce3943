//! Errors, warnings and notices on their way to the server, in the database's encoding.
//!
//! pgrx hands messages over in UTF-8, whatever the encoding, and takes the server's own for UTF-8 too. So ours are handed over here.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, pg_sys};

use crate::text;

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Notice,
    Warning,
    Error,
}

/// What the server is told.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    pub level: Level,
    pub sqlstate: PgSqlErrorCode,
    pub message: &'a str,
    pub detail: Option<&'a str>,
    pub hint: Option<&'a str>,
}

impl Report<'_> {
    /// The report as the server keeps it, in memory of the current context. What the encoding lacks becomes `?`.
    fn stored(&self) -> *mut pg_sys::ErrorData {
        let stored = |text: Option<&str>| {
            // SAFETY: the server copies a C string.
            text.map_or(null_mut(), |text| unsafe { pg_sys::pstrdup(text::c_string(text).as_ptr()) })
        };
        let level = match self.level {
            Level::Notice => pg_sys::NOTICE,
            Level::Warning => pg_sys::WARNING,
            Level::Error => pg_sys::PGERROR,
        };
        let data = pg_sys::ErrorData {
            elevel: level.cast_signed(),
            // Where it was found is nobody's business but ours, and the server keeps the pointers.
            filename: c"report.rs".as_ptr(),
            lineno: line!().cast_signed(),
            funcname: c"pg_sentiment".as_ptr(),
            sqlerrcode: self.sqlstate as i32,
            message: stored(Some(self.message)),
            detail: stored(self.detail),
            hint: stored(self.hint),
            ..pg_sys::ErrorData::default()
        };
        // SAFETY: the server gives memory of the size that is written, aligned for anything, or raises an error.
        unsafe {
            let place = pg_sys::palloc(size_of_val(&data)).cast::<pg_sys::ErrorData>();
            place.write(data);
            place
        }
    }

    /// Tells the server, and goes on.
    pub fn tell(&self) {
        // SAFETY: the server copies what it is handed, and does not return from an error: that unwinds, as any of its errors does.
        unsafe { pg_sys::ThrowErrorData(self.stored()) };
    }
}

/// Tells whoever called what is no error.
pub fn notice(message: &str) {
    let sqlstate = PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    Report { level: Level::Notice, sqlstate, message, detail: None, hint: None }.tell();
}

/// What came of a call: an answer, or an error that is still to be raised. It holds nothing that would have to be dropped.
#[derive(Debug)]
#[repr(C)]
pub struct Outcome {
    datum: pg_sys::Datum,
    error: *mut pg_sys::ErrorData,
}

impl Outcome {
    /// Of a call that was answered.
    pub fn answered(datum: pg_sys::Datum) -> Self {
        Self { datum, error: null_mut() }
    }

    /// Of a call that failed.
    pub fn failed(report: &Report<'_>) -> Self {
        Self { datum: pg_sys::Datum::null(), error: report.stored() }
    }

    /// Hands the answer to the server, or raises the error.
    ///
    /// # Safety
    /// The server called, and there is nothing to drop between it and here: an error does not return, and unwinds nothing.
    pub unsafe fn hand_over(self) -> pg_sys::Datum {
        if !self.error.is_null() {
            // SAFETY: `stored` has made it; the caller promises the rest.
            unsafe { ThrowErrorData(self.error) };
        }
        self.datum
    }
}

/// Runs `work`; an error of the server's that ends it becomes one that can be told in this encoding. pgrx has read its message as UTF-8,
/// which it may not be: handed back as it is, it would end with another error where a client's encoding is another.
pub fn with_told_errors<T>(work: impl FnOnce() -> T) -> Result<T, Outcome> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| match panic.downcast_ref::<CaughtError>() {
        Some(CaughtError::PostgresError(error)) if !text::passes_unchanged() => {
            let printable = |text: Option<&str>| text.map(text::printable);
            let (detail, hint) = (printable(error.detail()), printable(error.hint()));
            Outcome::failed(&Report {
                level: Level::Error,
                sqlstate: error.sql_error_code(),
                message: &text::printable(error.message()),
                detail: detail.as_deref(),
                hint: hint.as_deref(),
            })
        }
        _ => resume_unwind(panic),
    })
}

unsafe extern "C-unwind" {
    /// Reports what was put together elsewhere (`utils/elog.h`). pgrx's own declaration would take the error for one to unwind from.
    fn ThrowErrorData(error: *mut pg_sys::ErrorData);
}
