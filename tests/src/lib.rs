//! The harness of the tests that need a real server.
//!
//! A test takes a [`Database`] of its own with the extension in it, on a throw-away [`Server`] that the tests of one file
//! share. When the database is dropped, what the server logged about it is held against what the test asked for.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a harness that cannot go on ends its test")]

mod chance;
mod data;
mod database;
mod log;
mod psql;
mod server;

pub use chance::{asked_for, chance};
pub use data::{data_file, note, skip};
pub use database::{Database, Failure};
pub use log::{CANARY, Entry, Level, trouble};
pub use psql::{fixture, repository, run_clean};
pub use server::{Backup, Server};
