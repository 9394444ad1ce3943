//! Measures what pg_sentiment costs, beside what people use instead.
//!
//! - `sentiment-bench` runs all races on a throw-away server and prints the table (`make bench`). `UPDATE=1` keeps the
//!   result as `benches/results.json`, draws it, and writes the README's section from it.
//! - `sentiment-bench render` writes picture and section again from the kept result.
//! - `sentiment-bench check` compares instruction counts with the committed ones (`make bench-check`).
//! - `sentiment-bench workload PART` is what those are counted in.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod check;
mod data;
mod figures;
mod keep;
mod machine;
mod memory;
mod peers;
mod picture;
mod report;
mod rows;
mod settings;
mod stage;
mod targets;
mod workload;

use crate::data::Data;
use crate::machine::Machine;
use crate::peers::Peers;
use crate::report::{Cells, Report};
use crate::settings::{Settings, flag};
use crate::stage::{Stage, mean_length};
use crate::targets::grouped;

/// What goes wrong ends the program with a line.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => bench(),
        ["render"] => keep::render(),
        ["check"] => check::run(flag("UPDATE")),
        ["workload", part] => workload::run(part),
        _ => Err("usage: sentiment-bench [render | check | workload PART]".into()),
    }
}

fn bench() -> Result<()> {
    let settings = Settings::read()?;
    let update = flag("UPDATE");
    if update && !settings.only.is_empty() {
        return Err("UPDATE=1 keeps a whole table: run it without ONLY".into());
    }
    std::fs::create_dir_all(stage::target().join("bench"))?;
    let (data, peers) = (Data::read()?, Peers::fetch()?);
    let mut report = Report { machine: Machine::read(&peers), ..Report::default() };
    let Settings { rows, rounds, .. } = settings;
    report.texts = format!(
        "{} rows of {:.0} characters ({}), UTF-8 with locale C.UTF-8, in turns, on a server that flushes commits to disk: \
         {} rounds of queries, {rounds} of inserts, {} of trainings (of a million rows one). to_tsvector reads a quarter of the \
         rows and VADER a fiftieth. train_sentiment trains on all cores, as fastText does (on one where more and more rows are trained \
         on, with the least memory that it takes), and calibrates on three held-out folds besides, which the others do not.",
        grouped(rows),
        mean_length(&data.texts),
        data.about,
        settings.many_rounds(),
        settings.few_rounds()
    );
    let mut stage = Stage::set_up(settings, data, peers, report)?;
    let client = &mut stage.client;
    stage.report.machine.ask(client)?;
    rows::measure(&mut stage)?;
    let report = std::mem::take(&mut stage.report);
    drop(stage);
    keep::write(&report)?;
    println!("{}\n{}\n{}", report.contestants(), report.circumstances(), report.table(Cells::Padded));
    for line in &report.skipped {
        println!("left out: {line}");
    }
    if update { keep::update(&report) } else { Ok(()) }
}
