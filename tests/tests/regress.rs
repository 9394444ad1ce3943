//! Runs `regress/sql/*.sql`, each in a fresh database, and compares with `regress/expected/*.out`.
//!
//! The output shows each error whole: SQLSTATE, message, detail, hint. `BLESS=1` writes the expected files anew.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sentiment_tests::{Database, Level, fixture};

#[test]
fn expected_output() {
    let mut names = BTreeSet::new();
    for (folder, extension) in [("regress/sql", "sql"), ("regress/expected", "out")] {
        for file in fs::read_dir(fixture(folder)).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(path.extension().unwrap(), extension, "{path:?} does not belong there");
            names.insert(path.file_stem().unwrap().to_str().unwrap().to_string());
        }
    }
    assert!(!names.is_empty());
    let different: Vec<String> = names.iter().filter_map(|name| compare(name)).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Runs one file; returns how its output differs from what is expected.
fn compare(name: &str) -> Option<String> {
    let expected = fixture("regress/expected").join(format!("{name}.out"));
    let output = run(name, &fixture("regress/sql").join(format!("{name}.sql")));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected, &output).unwrap();
        return None;
    }
    let result = result_file(name);
    fs::write(&result, &output).unwrap();
    let diff = Command::new("diff").arg("-uN").arg(&expected).arg(&result).output().unwrap();
    (!diff.status.success()).then(|| String::from_utf8_lossy(&diff.stdout).into_owned())
}

/// Runs psql over one file, as pg_regress does: statements and what came of them in one stream.
fn run(name: &str, script: &Path) -> String {
    let mut database = Database::new();
    let output = result_file(name);
    let stream = File::create(&output).unwrap();
    let mut psql = database.server().program("psql", database.name(), "postgres");
    psql.args(["--no-psqlrc", "--quiet", "--echo-all", "--variable=VERBOSITY=verbose"]);
    psql.env("PGTZ", "UTC").env("PGOPTIONS", "-c intervalstyle=postgres -c client_min_messages=notice");
    psql.stdin(File::open(script).unwrap()).stdout(stream.try_clone().unwrap()).stderr(stream);
    assert!(psql.status().unwrap().success(), "psql failed over {script:?}");

    let output = fs::read_to_string(output).unwrap();
    for line in output.lines() {
        for (start, level) in [("ERROR:  ", Level::Error), ("WARNING:  ", Level::Warning)] {
            if let Some(state) = line.strip_prefix(start).and_then(|rest| rest.get(..5)) {
                database.ask(level, state);
            }
        }
    }
    // Where in the sources an error was raised is nobody's business but the developer's.
    output.lines().filter(|line| !line.starts_with("LOCATION:  ")).map(|line| format!("{line}\n")).collect()
}

fn result_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.out"))
}
