//! JSON in text form, for the few objects the border makes.

use std::fmt::Write;

use pgrx::{direct_function_call_as_datum, pg_sys};

use crate::text;

/// An object of keys and values; the values are JSON already.
pub fn object<'k>(members: impl IntoIterator<Item = (&'k str, String)>) -> String {
    let members: Vec<_> =
        members.into_iter().map(|(key, value)| format!("{}:{value}", string(key))).collect();
    format!("{{{}}}", members.join(","))
}

/// A string.
pub fn string(value: &str) -> String {
    let mut json = String::with_capacity(value.len() + 2);
    json.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            // What need not be escaped stays as it is: a server without a known encoding refuses escapes beyond ASCII. Writing to a
            // string cannot fail.
            c if c.is_ascii_control() => drop(write!(json, "\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// A number that may have a fraction: with a point, or an exponent, also where it has none. Who tells types from values would
/// otherwise take such a column for one of whole numbers, and cut off the fractions of later rows.
pub fn number(value: f64) -> String {
    format!("{value:?}")
}

/// A value of type jsonb.
pub fn datum(json: &str) -> Option<pg_sys::Datum> {
    let json = text::c_string(json);
    // SAFETY: `jsonb_in` takes a C string and copies what it needs.
    unsafe { direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(json.as_ptr().into())]) }
}
