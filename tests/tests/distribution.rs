//! What the project says of itself to PGXN agrees with what it is. `make test-package` asks PGXN's own validator too.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;

use sentiment_tests::repository;
use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A value of the control file.
fn control(key: &str) -> String {
    let control = read("pg_sentiment.control");
    let value = control.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    value.trim_matches('\'').to_owned()
}

#[test]
fn meta_json_agrees_with_control_scripts_and_crate() {
    let meta: Value = serde_json::from_str(&read("META.json")).unwrap();
    let version = control("default_version");
    assert_eq!(env!("CARGO_PKG_VERSION"), version, "Cargo.toml");
    assert_eq!(meta["version"], *version);
    let provides = meta["provides"].as_object().unwrap();
    assert_eq!(provides.keys().collect::<Vec<_>>(), ["pg_sentiment"]);
    let extension = &provides["pg_sentiment"];
    assert_eq!(extension["version"], *version);
    assert_eq!(extension["file"], format!("sql/pg_sentiment--{version}.sql"));
    for key in ["file", "docfile"] {
        let file = extension[key].as_str().unwrap();
        assert!(repository().join(file).is_file(), "{file} is not there");
    }
    let scripts = read("scripts/postgres.sh");
    let oldest = scripts.lines().find_map(|line| line.strip_prefix("oldest_major=")).unwrap();
    assert_eq!(meta["prereqs"]["runtime"]["requires"]["PostgreSQL"], format!("{oldest}.0.0"));
    assert!(
        read("CHANGELOG.md").contains(&format!("\n## {version} (")),
        "CHANGELOG.md has no heading for {version}"
    );
}

/// A bare library name: only then `dynamic_library_path` is searched, as it must be for an image volume or a private folder.
#[test]
fn module_pathname_is_a_bare_name() {
    assert_eq!(control("module_pathname"), "pg_sentiment");
}
