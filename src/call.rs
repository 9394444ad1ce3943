//! How SQL reaches Rust: a call with its arguments, and an answer.

use std::ffi::CStr;
use std::ptr::NonNull;

use pgrx::{FromDatum, pg_sys};

use crate::errors::{Failure, Result};
use crate::memory;
use crate::report::{Outcome, with_told_errors};
use crate::text::StoredText;

/// What a function answers: a datum, NULL, or why not.
pub type Answer = Result<Option<pg_sys::Datum>>;

/// What a void function answers: nothing, which is not NULL.
pub fn nothing() -> Answer {
    Ok(Some(pg_sys::Datum::null()))
}

/// Exports functions of the form `fn(&Call) -> Answer` to SQL under their own names.
macro_rules! sql_functions {
    ($($name:ident),* $(,)?) => {
        $(const _: () = {
            /// Says that the function follows version 1 of the calling convention.
            #[unsafe(export_name = concat!("pg_finfo_", stringify!($name)))]
            extern "C" fn convention() -> &'static ::pgrx::pg_sys::Pg_finfo_record {
                &::pgrx::pg_sys::Pg_finfo_record { api_version: 1 }
            }

            #[unsafe(export_name = stringify!($name))]
            unsafe extern "C-unwind" fn entry(fcinfo: ::pgrx::pg_sys::FunctionCallInfo) -> ::pgrx::pg_sys::Datum {
                // SAFETY: the server calls this entry with a live call, and nothing in it is to be dropped.
                unsafe { guarded(fcinfo).hand_over() }
            }

            #[::pgrx::pg_guard]
            unsafe extern "C-unwind" fn guarded(fcinfo: ::pgrx::pg_sys::FunctionCallInfo) -> $crate::report::Outcome {
                // SAFETY: the entry hands on a live call.
                let call = unsafe { $crate::call::Call::new(fcinfo) };
                call.answer($name)
            }
        };)*
    };
}
pub(crate) use sql_functions;

/// One call of a function from SQL. Arguments are read as the install script declares them.
#[derive(Debug)]
pub struct Call {
    fcinfo: pg_sys::FunctionCallInfo,
}

impl Call {
    /// Takes up a call.
    ///
    /// # Safety
    /// `fcinfo` is a live call, by version 1 of the calling convention, of a function declared by our install script.
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        Self { fcinfo }
    }

    /// Has `function` answer.
    ///
    /// Meanwhile the server does not know what it is at: it would add that to whatever is logged, and of a COPY it is the row
    /// with the text in it. Only what is to be done for an error stands in its list.
    pub fn answer(&self, function: impl FnOnce(&Self) -> Answer) -> Outcome {
        // SAFETY: the server's list of what adds context may be any at any time. It is put back below; after an error whoever
        // catches it puts his own back.
        let context = unsafe {
            let context = pg_sys::error_context_stack;
            pg_sys::error_context_stack = memory::on_error();
            context
        };
        let answer = with_told_errors(|| {
            memory::set_aside()?;
            function(self)
        });
        let datum = match answer {
            Ok(Ok(datum)) => datum,
            Ok(Err(failure)) => return failure.outcome(),
            Err(outcome) => return outcome,
        };
        // SAFETY: as above; `new` was promised a live call.
        unsafe {
            pg_sys::error_context_stack = context;
            (*self.fcinfo).isnull = datum.is_none();
        }
        Outcome::answered(datum.unwrap_or(pg_sys::Datum::null()))
    }

    /// The call as the server's own functions take it.
    pub fn fcinfo(&self) -> pg_sys::FunctionCallInfo {
        self.fcinfo
    }

    /// Argument `index` as a text.
    pub fn text(&self, index: usize) -> Option<StoredText<'_>> {
        // SAFETY: the install script declares the arguments read this way as text; arguments live as long as the call.
        self.datum(index).map(|datum| unsafe { StoredText::new(datum) })
    }

    /// Argument `index` as a name. A value of type name is a C string in the server's encoding.
    pub fn name(&self, index: usize) -> Option<&CStr> {
        // SAFETY: the install script declares the arguments read this way as name; arguments live as long as the call.
        self.datum(index).map(|datum| unsafe { CStr::from_ptr(datum.cast_mut_ptr()) })
    }

    /// Argument `index` as a number, a flag or an oid.
    pub fn value<T: FromDatum>(&self, index: usize) -> Option<T> {
        let datum = self.datum(index)?;
        // SAFETY: the install script declares the arguments read this way with the type `T` stands for.
        unsafe { T::from_datum(datum, false) }
    }

    /// Argument `index`, called `name`, which must be given.
    pub fn required<T: FromDatum>(&self, index: usize, name: &str) -> Result<T> {
        self.value(index).ok_or_else(|| Failure::null_argument(name))
    }

    /// Argument `index`, if there is one and it is not null.
    pub fn datum(&self, index: usize) -> Option<pg_sys::Datum> {
        // SAFETY: `new` was promised a live call, whose arguments follow it in memory, `nargs` of them.
        let arguments = unsafe {
            let count = usize::try_from((*self.fcinfo).nargs).unwrap_or(0);
            (*self.fcinfo).args.as_slice(count)
        };
        arguments.get(index).filter(|argument| !argument.isnull).map(|argument| argument.value)
    }

    /// The node that says in what the call happens, if it is of type `tag`: a trigger, a CALL.
    pub fn context<T>(&self, tag: pg_sys::NodeTag) -> Option<&T> {
        // SAFETY: a node begins with its tag, and the tag says what it is.
        unsafe {
            let node = (*self.fcinfo).context;
            if node.is_null() || (*node).type_ != tag { None } else { node.cast::<T>().as_ref() }
        }
    }

    /// Where a function that returns rows is to put them, if the caller takes rows.
    pub fn result_info(&self) -> Option<NonNull<pg_sys::ReturnSetInfo>> {
        // SAFETY: a node begins with its tag, and the tag says what it is.
        unsafe {
            let node = NonNull::new((*self.fcinfo).resultinfo)?;
            (node.as_ref().type_ == pg_sys::NodeTag::T_ReturnSetInfo).then(|| node.cast())
        }
    }

    /// The schema that the extension's functions are in.
    pub fn schema(&self) -> &CStr {
        // SAFETY: the function being called exists, and so does its schema; the name is allocated for this call.
        unsafe {
            let namespace = pg_sys::get_func_namespace((*(*self.fcinfo).flinfo).fn_oid);
            CStr::from_ptr(pg_sys::get_namespace_name(namespace))
        }
    }

    /// What this call site keeps from call to call, made at its first call; the server drops it with the statement.
    pub fn kept<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        // SAFETY: `fn_extra` is a call site's own pointer, null at first; each function keeps one type of thing in it, in the
        // memory that lives as long as the call site.
        unsafe {
            let site = (*self.fcinfo).flinfo;
            if (*site).fn_extra.is_null() {
                let made = make()?;
                let kept = pgrx::PgMemoryContexts::For((*site).fn_mcxt).leak_and_drop_on_delete(made);
                (*site).fn_extra = kept.cast();
            }
            Ok(&*(*site).fn_extra.cast::<T>())
        }
    }
}
