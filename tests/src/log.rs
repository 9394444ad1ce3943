//! What the server logged, read back line by line.

use std::collections::BTreeSet;
use std::fmt;

/// A word that the tests put into the texts they score. It may never turn up in a log, at any level.
pub const CANARY: &str = "ocelotquux";

/// How bad the server found it; the levels that a test has to account for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The statement went on.
    Warning,
    /// The statement failed.
    Error,
    /// The session or the server ended.
    Fatal,
}

/// One log line with the lines that continue it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The kind of process: `client backend`, `parallel worker`, `checkpointer`.
    pub process: String,
    /// The database that the session was in, empty outside of one.
    pub database: String,
    /// The SQLSTATE.
    pub state: String,
    /// The level, for warnings and worse.
    pub level: Option<Level>,
    /// Level, colon and message, as logged.
    pub text: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} <{}> {} {}", self.process, self.database, self.state, self.text)
    }
}

/// Reads a log that was written with the `log_line_prefix` of `scripts/server`: `%m [%p] %b <%d> %e `.
pub(crate) fn parse(log: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in log.lines() {
        match (parse_line(line), entries.last_mut()) {
            (Some(entry), _) => entries.push(entry),
            (None, Some(last)) => last.text.extend(["\n", line]),
            (None, None) => {}
        }
    }
    entries
}

fn parse_line(line: &str) -> Option<Entry> {
    let (head, rest) = line.split_once(" <").filter(|(head, _)| head.starts_with("20"))?;
    let (_, process) = head.split_once("] ")?;
    let (database, rest) = rest.split_once("> ")?;
    let (state, text) = rest.split_once(' ').filter(|(state, _)| state.len() == 5)?;
    let level = match text.split_once(':')?.0 {
        "WARNING" => Some(Level::Warning),
        "ERROR" => Some(Level::Error),
        "FATAL" | "PANIC" => Some(Level::Fatal),
        _ => None,
    };
    Some(Entry {
        process: process.into(),
        database: database.into(),
        state: state.into(),
        level,
        text: text.into(),
    })
}

/// Finds what nobody asked for: in the given database, and in the server processes that belong to no database.
/// An internal error (XX000) and a crash are never asked for, and no entry may hold a text. That a client went away while
/// it was being answered (08006) is the client's affair.
pub(crate) fn unasked(entries: &[Entry], database: &str, asked: &BTreeSet<(Level, String)>) -> Vec<Entry> {
    let ours = entries.iter().filter(|entry| entry.database == database);
    let server = entries.iter().filter(|entry| entry.database.is_empty());
    let unasked = ours.filter(|entry| {
        let level = entry.level.is_some_and(|level| {
            entry.state == "XX000"
                || entry.text.starts_with("PANIC")
                || entry.state != "08006" && !asked.contains(&(level, entry.state.clone()))
        });
        level || entry.text.contains(CANARY)
    });
    let broken = server.filter(|entry| {
        let crash = entry.text.contains("was terminated by") || entry.text.starts_with("PANIC");
        // The leader of a parallel worker logs the worker's error again, with the database.
        let level = entry
            .level
            .is_some_and(|level| level < Level::Fatal && !asked.contains(&(level, entry.state.clone())))
            && entry.process != "parallel worker";
        crash || level || entry.text.contains(CANARY)
    });
    unasked.chain(broken).cloned().collect()
}

/// Finds what may not be in a log even where processes were killed: panics, internal errors, leaks, texts, crashes by another
/// signal than 9, and warnings and errors of other SQLSTATEs than `expected`.
pub fn trouble(entries: &[Entry], expected: &[&str]) -> Vec<Entry> {
    let bad = |entry: &&Entry| {
        let crash = entry.text.contains("was terminated by signal") && !entry.text.contains("by signal 9");
        let worst = entry.text.starts_with("PANIC") || entry.state == "XX000" || entry.text.contains(CANARY);
        let leak = entry.level.is_some() && entry.text.contains("leak");
        crash || worst || leak || (entry.level.is_some() && !expected.contains(&entry.state.as_str()))
    };
    entries.iter().filter(bad).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-01-01 10:00:00.000 UTC [7] postmaster <> 00000 LOG:  starting PostgreSQL
2026-01-01 10:00:01.000 UTC [8] client backend <one> 42704 ERROR:  sentiment model \"x\" does not exist
2026-01-01 10:00:01.000 UTC [8] client backend <one> 42704 HINT:  two
\tlines
2026-01-01 10:00:02.000 UTC [8] client backend <one> XX000 ERROR:  unexpected
2026-01-01 10:00:03.000 UTC [9] client backend <two> 00000 DEBUG:  saw ocelotquux
2026-01-01 10:00:04.000 UTC [9] parallel worker <> 42704 ERROR:  sentiment model \"x\" does not exist
2026-01-01 10:00:05.000 UTC [7] postmaster <> 00000 LOG:  server process (PID 9) was terminated by signal 11
";

    fn unasked_in(database: &str, asked: &[(Level, &str)]) -> Vec<String> {
        let asked = asked.iter().map(|(level, state)| (*level, (*state).to_string())).collect();
        unasked(&parse(LOG), database, &asked).iter().map(|entry| entry.text.clone()).collect()
    }

    #[test]
    fn lines_that_continue_an_entry_belong_to_it() {
        let entries = parse(LOG);
        assert_eq!(entries.len(), 7);
        assert_eq!(entries[2].text, "HINT:  two\n\tlines");
        assert_eq!((entries[1].level, entries[1].state.as_str()), (Some(Level::Error), "42704"));
    }

    #[test]
    fn what_was_asked_for_is_fine_but_never_an_internal_error_or_a_crash() {
        let found = unasked_in("one", &[(Level::Error, "42704"), (Level::Error, "XX000")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "ERROR:  unexpected");
        assert!(found[1].contains("signal 11"));
        assert_eq!(unasked_in("one", &[]).len(), 3);
    }

    #[test]
    fn trouble_is_what_is_bad_where_processes_are_killed() {
        let found = |expected: &[&str]| trouble(&parse(LOG), expected).len();
        assert_eq!(found(&["42704", "XX000"]), 3, "an internal error, a text, a signal");
        assert_eq!(found(&[]), 5);
    }

    #[test]
    fn a_client_that_goes_away_is_no_fault() {
        let lost =
            "2026-01-01 10:00:00.000 UTC [8] client backend <one> 08006 FATAL:  connection to client lost\n";
        assert_eq!(parse(lost)[0].level, Some(Level::Fatal));
        assert!(unasked(&parse(lost), "one", &BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_text_in_the_log_is_found_at_any_level() {
        assert!(unasked_in("two", &[])[0].contains(CANARY));
    }
}
