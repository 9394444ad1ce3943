//! The data that is too large or too foreign to be in the repository.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use crate::psql::{repository, run_clean};

/// Reads a gzip file below `DATA` (default `../shared/data`, seen from the repository); none if it is not there.
pub fn data_file(path: &str) -> Option<String> {
    let data = std::env::var_os("DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let file = repository().join(data).join(path);
    file.exists().then(|| run_clean(Command::new("gzip").arg("-dc").arg(file)))
}

/// Says that a test was not run, and why.
pub fn skip(reason: &str) {
    note(&format!("skipped: {reason}"));
}

/// Writes a line past the test runner, which keeps to itself what a test prints.
pub fn note(line: &str) {
    writeln!(io::stderr().lock(), "{line}").expect("standard error is open");
}
