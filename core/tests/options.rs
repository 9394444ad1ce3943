//! The README's table of training options is the code's.
#![allow(clippy::unwrap_used)]

use sentiment_core::train::{Algorithm, OPTIONS};

#[test]
fn the_readme_has_the_table() {
    let mut table =
        String::from("| option | of | default | may be | what it does |\n| --- | --- | --- | --- | --- |\n");
    for option in OPTIONS {
        let of: Vec<&str> = option.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        let of = if of.len() == Algorithm::ALL.len() { "all".to_owned() } else { of.join(", ") };
        let default = |algorithm: Algorithm| option.default_for(algorithm);
        // Those of the first one, and what others have instead.
        let first = default(option.algorithms[0]);
        let mut defaults = format!("`{first}`");
        for &algorithm in option.algorithms.iter().filter(|&&algorithm| default(algorithm) != first) {
            defaults += &format!("; {} `{}`", algorithm.name(), default(algorithm));
        }
        let (range, about) = (option.range(), option.about);
        table += &format!("| `{}` | {of} | {defaults} | {range} | {about} |\n", option.name);
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    assert!(readme.contains(&table), "the README lacks this table:\n{table}");
}
