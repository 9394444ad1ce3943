//! `sentiment-gateway`: messages stream in, sentiment streams out.
//!
//! The gateway moves messages and the database scores them, by pg_sentiment's functions and its trigger: there is no
//! second way to a score. Whatever comes in by whichever way goes through [`ingest::store`]; whatever goes out live comes
//! from [`feed`]. Texts never reach a log.

mod auth;
mod config;
mod database;
mod feed;
mod files;
mod ingest;
mod kafka;
mod keys;
mod limits;
mod linger;
mod listener;
mod load;
mod message;
mod migrate;
mod object;
mod problem;
mod request;
mod room;
mod routes;
mod scoring;
mod serve;
mod signals;
mod telemetry;
mod x;

use std::process::ExitCode;

use config::{Command, Settings};
use signals::unless_told;

fn main() -> ExitCode {
    let Settings { command, database, logging } = Settings::read();
    telemetry::start_logging(&logging);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Serve(settings) => serve::run(*settings, &database).await,
            Command::Migrate(settings) => migrate::run(&settings, &database).await,
            Command::Key(command) => unless_told(keys::run(command, &database)).await,
            Command::Load(settings) => unless_told(load::run(settings, &database)).await,
        }
    });
    // A thread may be reading from a pipe that nobody writes to.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure.to_string()),
    }
}

fn failed(reason: &str) -> ExitCode {
    tracing::error!("{reason}");
    ExitCode::FAILURE
}
