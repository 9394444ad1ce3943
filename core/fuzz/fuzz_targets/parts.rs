//! Models whose bytes were changed on purpose, checksums made right again: opened or refused, read, taught, compacted.
#![no_main]

#[path = "../../tests/parts/tampering.rs"]
mod tampering;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<(u16, u8)>, bool)| {
    let (model, changes, much) = input;
    // So many lessons that they are taken into the base cost a hundred times as much: they are tried less often.
    let much = much && changes.len() % 8 == 7;
    tampering::survive(usize::from(model), &changes, if much { 6_000 } else { 20 });
});
