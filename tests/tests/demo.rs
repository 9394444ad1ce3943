//! `make demo`'s script, on a server of its own: it may be run again, and it shows what it promises.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::path::Path;
use std::process::Command;

use sentiment_tests::{repository, run_clean};

/// Removes the demo's server, whatever becomes of the test.
struct Demo(String);

impl Drop for Demo {
    fn drop(&mut self) {
        run_clean(Command::new(repository().join("scripts/server")).args(["remove", &self.0]));
    }
}

#[test]
fn shows_scored_messages_and_may_be_run_again() {
    let messages = std::fs::read_to_string(repository().join("demo/messages.tsv")).unwrap();
    assert_eq!(messages.lines().count(), 400);
    assert_eq!(messages.lines().filter(|line| line.split('\t').nth(1) == Some("sms")).count(), 200);

    let demo = Demo(format!("{}/demo-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id()));
    for run in ["first", "second"] {
        let output = run_clean(Command::new(repository().join("demo/run")).arg(&demo.0));
        for part in
            ["CREATE TRIGGER pg_sentiment BEFORE INSERT OR UPDATE OF body", "By label:", "By hour:", "(bias)"]
        {
            assert!(output.contains(part), "{run} run: no {part}:\n{output}");
        }
        for label in ["positive", "neutral", "negative"] {
            let row = output.lines().find(|line| line.trim_start().starts_with(&format!("{label} ")));
            let count =
                row.and_then(|row| row.split('|').nth(1)).and_then(|count| count.trim().parse::<u32>().ok());
            assert!(count.is_some_and(|count| count > 40), "{run} run: {label} messages:\n{output}");
        }
        // the command to go on with is a command that works
        let command = output.lines().find(|line| line.contains("scripts/server psql")).unwrap().trim();
        let count = format!("{command} -At -c 'SELECT count(sentiment_version) FROM messages'");
        let count = run_clean(Command::new("bash").args(["-c", &count]).current_dir(repository()));
        assert_eq!(count, "400\n");
    }
    run_clean(Command::new(repository().join("scripts/server")).args(["remove", &demo.0]));
    assert!(!Path::new(&demo.0).exists(), "nothing is left of it");
}
