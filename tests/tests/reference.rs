//! The README's reference is what the server says: every view, every setting, and every SQLSTATE that an error of ours may have.
//! Its functions are in `catalog.rs`.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sentiment_tests::{Database, repository};

/// What stands in the README between a heading and the next one.
fn section(heading: &str) -> String {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, text) = readme.split_once(&format!("\n### {heading}\n")).unwrap();
    text.split_once("\n### ").unwrap().0.to_owned()
}

/// The rows of a section's tables that begin with a name, each as its cells.
fn rows(section: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
}

/// What stands between the first backquotes.
fn quoted(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap()
}

#[test]
fn views() {
    let reference = section("Functions");
    let mut shown: BTreeMap<&str, &str> = rows(&reference)
        .filter(|row| !row[0].contains('('))
        .map(|row| (quoted(row[0]), quoted(row[2])))
        .collect();
    let views = "SELECT relname::text, string_agg(attname, ', ' ORDER BY attnum) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
                 WHERE relnamespace = 'sentiment'::regnamespace AND relkind = 'v' AND attnum > 0 AND NOT attisdropped GROUP BY 1";
    for row in Database::new().rows(views) {
        let (view, columns): (String, String) = (row.get(0), row.get(1));
        assert_eq!(shown.remove(view.as_str()), Some(columns.as_str()), "{view}");
    }
    assert!(shown.is_empty(), "no such views: {shown:?}");
}

#[test]
fn settings() {
    let reference = section("Settings");
    let mut shown: BTreeMap<&str, (&str, &str)> =
        rows(&reference).map(|row| (quoted(row[0]), (row[1], row[2]))).collect();
    let mut database = Database::new();
    database.run("LOAD 'pg_sentiment'");
    let settings = "SELECT name, current_setting(name), context, coalesce(array_to_string(enumvals, ' or '),
                        'from ' || CASE WHEN unit = 'kB' AND min_val <> '-1' THEN min_val::int / 1024 || 'MB' ELSE min_val END)
                    FROM pg_settings WHERE name LIKE 'sentiment.%'";
    for row in database.rows(settings) {
        let (name, default, context): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (shown_default, may_be) =
            shown.remove(name.as_str()).unwrap_or_else(|| panic!("the README lacks {name}"));
        assert_eq!(shown_default.trim_matches('`'), default, "{name}");
        if let Some(range) = row.get::<_, Option<String>>(3) {
            assert_eq!(may_be.replace('`', ""), range, "{name}");
        }
        // The README says that these are the server's.
        assert_eq!(context == "sighup", name.starts_with("sentiment.refresh_"), "{name}");
    }
    assert!(shown.is_empty(), "no such settings: {shown:?}");
}

/// PL/pgSQL knows which SQLSTATE belongs to which name.
#[test]
fn errors() {
    let reference = section("Errors");
    let source = fs::read_to_string(repository().join("src/errors.rs")).unwrap();
    let mut names: BTreeSet<&str> = source
        .split("ERRCODE_")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap())
        .collect();
    assert!(names.len() > 15, "{names:?}");
    // A bug, which no log may show.
    assert!(names.remove("INTERNAL_ERROR") && reference.contains("XX000"));
    let mut database = Database::new();
    for name in names {
        let condition = name.trim_start_matches("T_R_").trim_start_matches("E_R_I_E_").to_lowercase();
        let state = database.failure(&format!("DO $$ BEGIN RAISE {condition}; END $$")).state;
        assert!(reference.contains(&state), "the README lacks {state}, {condition}");
    }
}
