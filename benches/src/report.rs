//! What was found, as JSON, as a table and as the README's section.

use crate::Result;
use crate::figures::Figures;
use crate::machine::Machine;
use crate::targets::{TARGETS, Target, Unit, short};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What one contestant took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    /// Those of one group ran in the same race.
    pub group: String,
    /// What it was.
    pub name: String,
    /// What its figures count in.
    pub unit: String,
    /// The rounds.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A row of the targets and what came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Outcome {
    /// The target's name in the code.
    pub id: String,
    /// What was measured.
    pub what: String,
    /// What value, must and aim count in.
    pub unit: Unit,
    /// What must be reached.
    pub must: Option<f64>,
    /// What is aimed at.
    pub aim: Option<f64>,
    /// What was measured: of a race, the ratio of the medians.
    pub value: f64,
    /// Which of both is met: `aim`, `must`, `no`, or nothing where there is no target.
    pub met: String,
    /// What the rounds of pg_sentiment took, and in which unit.
    pub ours: Option<(Figures, String)>,
    /// What those of the other contestant took.
    pub beside: Option<(Figures, String)>,
    /// What a reader has to know of it.
    pub note: String,
}

/// All that was found in a run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Machine and versions.
    pub machine: Machine,
    /// What the texts were.
    pub texts: String,
    /// The rows of the targets' table.
    pub outcomes: Vec<Outcome>,
    /// All contestants.
    pub lines: Vec<Line>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

impl Report {
    /// Notes what a contestant took.
    pub fn line(&mut self, group: &str, name: &str, unit: &str, figures: Figures) {
        let (group, name, unit) = (group.into(), name.into(), unit.into());
        self.lines.push(Line { group, name, unit, figures });
    }

    /// Notes what came of a target.
    pub fn outcome(&mut self, id: &str, value: f64, note: &str) -> Result<&mut Outcome> {
        let target =
            TARGETS.iter().find(|target| target.id == id).ok_or_else(|| format!("no target {id}"))?;
        let Target { what, unit, must, aim, .. } = *target;
        self.outcomes.push(Outcome {
            id: id.into(),
            what: what.into(),
            unit,
            must,
            aim,
            value,
            met: target.met(value).into(),
            ours: None,
            beside: None,
            note: note.into(),
        });
        self.outcomes.last_mut().ok_or_else(|| "no outcome".into())
    }

    /// Notes the ratio of two contestants of one race.
    pub fn ratio(&mut self, id: &str, unit: &str, ours: Figures, beside: Figures) -> Result<()> {
        let outcome = self.outcome(id, ours.median / beside.median, "")?;
        outcome.ours = Some((ours, unit.into()));
        outcome.beside = Some((beside, unit.into()));
        Ok(())
    }

    /// Notes by how much one contestant of a race took more than another.
    pub fn difference(
        &mut self,
        id: &str,
        unit: &str,
        ours: Figures,
        beside: Figures,
        note: &str,
    ) -> Result<()> {
        let outcome = self.outcome(id, ours.median - beside.median, note)?;
        outcome.ours = Some((ours, unit.into()));
        outcome.beside = Some((beside, unit.into()));
        Ok(())
    }

    /// Notes the median of what was measured by itself.
    pub fn alone(&mut self, id: &str, unit: &str, figures: Figures, note: &str) -> Result<()> {
        self.outcome(id, figures.median, note)?.ours = Some((figures, unit.into()));
        Ok(())
    }

    /// Notes that something was left out.
    pub fn skip(&mut self, line: &str) {
        self.skipped.push(line.into());
    }

    /// The targets' table, in its own order, as Markdown; a terminal shows it in columns where cells are padded. What has no target
    /// and was not measured is left out.
    pub fn table(&self, cells: Cells) -> String {
        let heads = ["what", "must", "aim", "measured", "met", "min, median, max", "of the other"];
        let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
        for target in TARGETS {
            let found = self.outcomes.iter().find(|outcome| outcome.id == target.id);
            if found.is_none() && !target.is_set() {
                continue;
            }
            let show = |value: Option<f64>| value.map_or_else(String::new, |value| target.unit.show(value));
            let three = |shown: Option<&(Figures, String)>| shown.map_or_else(String::new, three);
            let what = match found.map(|outcome| outcome.note.as_str()) {
                None | Some("") => target.what.to_owned(),
                Some(note) => format!("{} ({note})", target.what),
            };
            rows.push(vec![
                what,
                show(target.must),
                show(target.aim),
                found.map_or_else(|| "not measured".into(), |outcome| target.unit.show(outcome.value)),
                found.map_or_else(String::new, |outcome| outcome.met.clone()),
                three(found.and_then(|outcome| outcome.ours.as_ref())),
                three(found.and_then(|outcome| outcome.beside.as_ref())),
            ]);
        }
        columns(&rows, cells)
    }

    /// All contestants as a table.
    pub fn contestants(&self) -> String {
        let heads = ["race", "what", "unit", "min", "median", "max", "rounds"];
        let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
        for Line { group, name, unit, figures } in &self.lines {
            let Figures { min, median, max, rounds } = *figures;
            let shown = [min, median, max].map(short);
            rows.push(
                [&[group.clone(), name.clone(), unit.clone()][..], &shown, &[rounds.to_string()]].concat(),
            );
        }
        columns(&rows, Cells::Padded)
    }

    /// Where and with what it was measured, as a paragraph.
    pub fn circumstances(&self) -> String {
        let Machine { cpu, cores, memory_gb, system, versions } = &self.machine;
        let mut text = format!("{cpu}, {cores} cores, {memory_gb} GB of memory, {system}; ");
        let versions: Vec<String> =
            versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let _ = write!(text, "{}. {}", versions.join(", "), self.texts);
        text
    }

    /// The README's section.
    pub fn section(&self) -> String {
        let mut text = format!(
            "![What scoring and training cost](benches/results.svg)\n\n{}\n\n{}",
            wrapped(&self.circumstances()),
            self.table(Cells::Plain)
        );
        for line in &self.skipped {
            let _ = write!(text, "\n- Left out: {line}");
        }
        text.trim_end().to_owned() + "\n"
    }
}

fn three((figures, unit): &(Figures, String)) -> String {
    let Figures { min, median, max, .. } = *figures;
    format!("{}, {}, {} {unit}", short(min), short(median), short(max))
}

/// Lines of at most 128 characters, as the README's are.
fn wrapped(text: &str) -> String {
    let (mut wrapped, mut length) = (String::new(), 0);
    for word in text.split(' ') {
        if length > 0 {
            let breaks = length + 1 + word.len() > 128;
            wrapped.push(if breaks { '\n' } else { ' ' });
            length = if breaks { 0 } else { length + 1 };
        }
        wrapped += word;
        length += word.len();
    }
    wrapped
}

fn padded(cell: &str, width: usize, cells: Cells) -> String {
    match cells {
        Cells::Padded => format!(" {cell:width$} "),
        Cells::Plain => format!(" {cell} "),
    }
}

/// Whether a table's cells are as wide as the widest of their column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// They are.
    Padded,
    /// They are as wide as what they hold: a change of one row changes no other.
    Plain,
}

/// A Markdown table.
fn columns(rows: &[Vec<String>], cells: Cells) -> String {
    let widest = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let width = |at: usize| if cells == Cells::Padded { widest(at) } else { 3 };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width, cells)).collect();
        let _ = writeln!(text, "|{}|", cells.join("|"));
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| format!(" {} ", "-".repeat(*width))).collect();
            let _ = writeln!(text, "|{}|", rule.join("|"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_target_and_says_what_is_met() {
        let mut report = Report::default();
        let figures = |median| Figures { min: median, median, max: median, rounds: 1 };
        report.ratio("lower", "us a row", figures(1.2), figures(1.0)).unwrap();
        let table = report.table(Cells::Plain);
        assert_eq!(table.lines().count(), TARGETS.iter().filter(|target| target.is_set()).count() + 2);
        let row = table.lines().nth(2).unwrap();
        assert!(row.contains("| 1.2 x ") && row.contains("| must "), "{row}");
        assert!(table.lines().nth(3).unwrap().contains("not measured"));
    }

    #[test]
    fn a_report_is_the_same_after_it_was_written_and_read() {
        let mut report = Report::default();
        let figures = Figures { min: 1.0, median: 2.5, max: 3.0, rounds: 3 };
        report.line("row", "lower(body)", "us a row", figures);
        report.alone("refresh", "ms", figures, "a note").unwrap();
        let json = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
}
