//! The SQL border of pg_sentiment: datums in, the core called, datums out.
//!
//! The core (`sentiment-core`) knows texts and models; everything that knows PostgreSQL is here. The install script under
//! `sql/` declares the functions by hand, so that their names, rights, costs and comments stand in one file a DBA can read.

#![allow(
    unsafe_code,
    reason = "the server's C interface is reached through unsafe calls; each says why it is sound"
)]

use pgrx::pg_guard;

mod call;
mod detail;
mod drift;
mod errors;
mod evaluation;
mod feedback;
mod inspection;
mod json;
mod letter;
mod lifecycle;
mod memory;
mod models;
mod overview;
mod progress;
mod refresh;
mod registry;
mod report;
mod rescore;
mod result;
mod scoring;
mod settings;
mod source;
mod sql;
mod statement;
mod table;
mod target;
mod text;
mod threads;
mod training;
mod trigger;
mod wiring;
mod worker;

pgrx::pg_module_magic!(name, version);

/// Called once when a backend (or, preloaded, the postmaster) loads the library.
#[pg_guard]
extern "C-unwind" fn _PG_init() {
    settings::define();
    worker::register();
}
