//! The letters by which the catalogs tell kinds apart: C's `char`, which has a sign on x86 and none on ARM.

use std::ffi::c_char;

/// A letter of the server's, as its constants are written.
pub const fn code(letter: c_char) -> u8 {
    letter.to_ne_bytes()[0]
}

/// A constant, as the server takes a letter.
pub const fn letter(code: u8) -> c_char {
    c_char::from_ne_bytes([code])
}
