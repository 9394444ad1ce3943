//! The gateway as its users meet it: the real binary, on a real PostgreSQL with pg_sentiment.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod browser;
mod demo;
mod faults;
mod harness;
mod kafka;
mod keys;
mod limits;
mod load;
mod messages;
mod migrate;
mod models;
mod openapi;
mod page;
mod sentiment;
mod settings;
mod sms;
mod stream;
mod tls;
mod way;
mod x;
