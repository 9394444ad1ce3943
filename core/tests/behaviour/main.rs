//! What users expect of the shipped English model, capability by capability, after CheckList (Ribeiro and others
//! 2020): a text that must get a label, two texts that must get the same one, a change that must move the score.
//! The cases are right by common sense, and those that the model fails stay in: a capability is held to a floor a
//! little under its rate, so that a model that became worse in what users notice fails.
//!
//! With BLESS=1 in the environment the floors are written anew from the present rates.
#![allow(clippy::unwrap_used)]

use sentiment_core::{Predictor, Scratch, Text, shipped};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// The least by which a score must move in the wanted direction.
const MARGIN: f64 = 0.005;

/// Percentage points between a rate and the floor that is set for it.
const SLACK: usize = 5;

const FLOORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour/floors.tsv");

/// What a text must get, or what must become of it in another text.
#[derive(Clone, Copy)]
enum Expectation {
    Label(&'static str),
    Same(&'static str),
    Up(&'static str),
    Down(&'static str),
}

struct Case {
    line: usize,
    capability: &'static str,
    text: &'static str,
    expectation: Expectation,
}

/// Cases of one capability: how many there are, and the lines of those that failed.
#[derive(Default)]
struct Tally {
    cases: usize,
    failed: Vec<usize>,
}

impl Tally {
    fn passed(&self) -> usize {
        self.cases - self.failed.len()
    }

    /// The share of passed cases, in whole percent, rounded down.
    fn rate(&self) -> usize {
        100 * self.passed() / self.cases
    }

    fn floor(&self) -> usize {
        self.rate().saturating_sub(SLACK)
    }
}

/// The rows of a table below its heading, with their line numbers.
fn rows(table: &'static str) -> impl Iterator<Item = (usize, Vec<&'static str>)> {
    (1..).zip(table.lines()).skip(1).map(|(line, row)| (line, row.split('\t').collect()))
}

fn cases() -> Vec<Case> {
    let case = |(line, fields): (usize, Vec<&'static str>)| {
        let [capability, kind, text, expected] = fields[..] else { panic!("line {line}: not four fields") };
        let expectation = match kind {
            "label" => Expectation::Label(expected),
            "same" => Expectation::Same(expected),
            "up" => Expectation::Up(expected),
            "down" => Expectation::Down(expected),
            _ => panic!("line {line}: unknown kind {kind}"),
        };
        Case { line, capability, text, expectation }
    };
    rows(include_str!("cases.tsv")).map(case).collect()
}

/// The least share of passed cases of each capability, in percent.
fn floors() -> BTreeMap<&'static str, usize> {
    let floor = |(line, fields): (usize, Vec<&'static str>)| {
        let [capability, least] = fields[..] else { panic!("line {line}: not two fields") };
        (capability, least.parse().unwrap())
    };
    rows(include_str!("floors.tsv")).map(floor).collect()
}

/// The newest version of the shipped English model.
fn english() -> Predictor<'static> {
    let (_, _, bytes) = shipped::all().iter().rev().find(|(name, ..)| *name == "english").unwrap();
    Predictor::open(bytes).unwrap()
}

fn passes(case: &Case, english: &Predictor<'_>, scratch: &mut Scratch) -> bool {
    let mut read = |text: &str| {
        let reading = english.read(Text::from(text), scratch).unwrap();
        (english.labels()[reading.label].as_str(), reading.score.unwrap())
    };
    let (label, score) = read(case.text);
    match case.expectation {
        Expectation::Label(wanted) => label == wanted,
        Expectation::Same(other) => label == read(other).0,
        Expectation::Up(other) => read(other).1 - score >= MARGIN,
        Expectation::Down(other) => score - read(other).1 >= MARGIN,
    }
}

fn tallies() -> BTreeMap<&'static str, Tally> {
    let (english, mut scratch) = (english(), Scratch::default());
    let mut tallies: BTreeMap<_, Tally> = BTreeMap::new();
    for case in cases() {
        let tally = tallies.entry(case.capability).or_default();
        tally.cases += 1;
        if !passes(&case, &english, &mut scratch) {
            tally.failed.push(case.line);
        }
    }
    tallies
}

#[test]
fn cases_are_many_and_distinct() {
    let cases = cases();
    assert!(cases.len() >= 300, "only {} cases", cases.len());
    let labels = english().labels().to_vec();
    let mut seen = HashSet::new();
    let mut counts = BTreeMap::from_iter(floors().into_keys().map(|capability| (capability, 0)));
    for Case { line, capability, text, expectation } in cases {
        let other = match expectation {
            Expectation::Label(label) => {
                assert!(labels.iter().any(|known| known == label), "line {line}: unknown label {label}");
                ""
            }
            Expectation::Same(other) | Expectation::Up(other) | Expectation::Down(other) => other,
        };
        assert_ne!(text, other, "line {line}: nothing changes");
        assert!(seen.insert((text, other)), "line {line}: not the first of its kind");
        *counts.entry(capability).or_insert(0) += 1;
    }
    let few: Vec<_> = counts.iter().filter(|(_, count)| **count < 15).collect();
    assert!(few.is_empty(), "too few cases: {few:?}");
}

#[test]
fn capabilities_keep_their_floors() {
    let tallies = tallies();
    if std::env::var("BLESS").is_ok_and(|bless| bless == "1") {
        let rows = tallies.iter().map(|(capability, tally)| format!("{capability}\t{}\n", tally.floor()));
        std::fs::write(FLOORS, "capability\tfloor\n".to_owned() + &rows.collect::<String>()).unwrap();
        return;
    }
    let floors = floors();
    let (mut report, mut kept) = (String::new(), true);
    for (capability, tally) in &tallies {
        let Some(&floor) = floors.get(capability) else { panic!("{capability} has no floor") };
        write!(report, "\n{capability}: {} / {}, {} %", tally.passed(), tally.cases, tally.rate()).unwrap();
        if 100 * tally.passed() < floor * tally.cases {
            kept = false;
            write!(report, ", under its floor of {floor} %: cases.tsv, lines {:?}", tally.failed).unwrap();
        }
    }
    assert!(kept, "{report}");
}

/// Writes the table that the README shows.
#[test]
fn pass_rates() {
    let mut table = "| capability | cases | passed |\n|---|---:|---:|\n".to_owned();
    let mut all = Tally::default();
    let mut add = |name: &str, tally: &Tally| {
        writeln!(table, "| {name} | {} | {} ({} %) |", tally.cases, tally.passed(), tally.rate()).unwrap();
    };
    for (capability, tally) in tallies() {
        add(&capability.replace('_', " "), &tally);
        all.cases += tally.cases;
        all.failed.extend(tally.failed);
    }
    add("all", &all);
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/behaviour.md"), table).unwrap();
}
