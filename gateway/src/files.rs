//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides connections of clients and the pool's: the runtime's own, brokers, X, and the session that listens.
const OTHERS: u64 = 64;

/// Lifts the limit to the most that the process may give itself, and warns where that is less than the settings ask for. What it is
/// started with is often 1,024, for programs that cannot count further: as many clients would leave none for the database.
pub fn allow_for(clients: usize, database: usize) {
    let limits = getrlimit(Resource::Nofile);
    let lifted = Rlimit { current: limits.maximum, ..limits };
    let current = match setrlimit(Resource::Nofile, lifted) {
        Ok(()) => limits.maximum,
        Err(_) => limits.current,
    };
    let needed = clients as u64 + database as u64 + OTHERS;
    // None is no limit.
    if let Some(limit) = current.filter(|limit| *limit < needed) {
        let detail = "the process may not open as many files as it may have connections: raise its limit (ulimit -Hn), or lower --max-connections";
        tracing::warn!(limit, needed, "{detail}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_lifted_as_far_as_it_goes() {
        let limits = getrlimit(Resource::Nofile);
        // By one: tests beside this one open files too.
        let lower = limits.maximum.map_or(1 << 20, |most| most - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(lower), ..limits }).unwrap();
        allow_for(1, 1);
        assert_eq!(getrlimit(Resource::Nofile).current, limits.maximum);
    }
}
