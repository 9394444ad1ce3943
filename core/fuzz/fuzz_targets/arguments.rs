//! Any bytes as a trigger's arguments: refused, or taken apart into what is written the same way again.
#![no_main]

#[path = "../../../src/wiring/arguments.rs"]
mod arguments;

use std::ffi::{CStr, CString};

use arguments::{Arguments, Output};
use libfuzzer_sys::fuzz_target;

fn parse(arguments: &[CString]) -> Option<Arguments<bool>> {
    let policy = |name: &CStr| match name.to_bytes() {
        b"null" => Some(false),
        b"raise" => Some(true),
        _ => None,
    };
    Arguments::parse(arguments.iter().map(CString::as_c_str), policy).ok()
}

fuzz_target!(|bytes: &[u8]| {
    // As the catalog has them: each ends with a zero byte.
    let given: Vec<CString> = bytes.split(|&byte| byte == 0).map(|part| CString::new(part).unwrap()).collect();
    let Some(parsed) = parse(&given) else { return };
    assert!(parsed.columns().count() >= 1);
    assert!(parsed.collides(&parsed));
    for output in [Output::Label, Output::Score, Output::Version] {
        assert!(parsed.output(output).is_none_or(|name| parsed.columns().any(|column| column == name)));
        assert!(parsed.outputs.iter().filter(|(known, _)| *known == output).count() <= 1);
    }
    let written: Vec<CString> = parsed.written().into_iter().map(|argument| argument.into_owned()).collect();
    let again = parse(&written).unwrap();
    assert_eq!(again, Arguments { on_error: None, ..parsed });
});
