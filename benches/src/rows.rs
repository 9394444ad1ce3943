//! The rows of the targets' table, by what they have in common.

mod growth;
mod inserts;
mod library;
mod refreshing;
mod scoring;
mod sessions;
mod training;

use crate::Result;
use crate::stage::Stage;
use std::io::Write;

/// Measures a group.
type Group = fn(&mut Stage) -> Result<()>;

/// Groups by the name that ONLY knows them by, in the order in which they are measured.
const GROUPS: &[(&str, Group)] = &[
    ("scoring", scoring::measure),
    ("inserts", inserts::measure),
    ("length", growth::measure_length),
    ("sessions", sessions::measure),
    ("refresh", refreshing::measure),
    ("training", training::measure),
    ("growth", growth::measure_training),
    ("library", library::measure),
];

/// Measures all groups that are wanted.
pub fn measure(stage: &mut Stage) -> Result<()> {
    for (name, group) in GROUPS {
        if stage.settings.wants(name) {
            writeln!(std::io::stderr(), "measuring: {name}")?;
            group(stage).map_err(|error| format!("{name}: {}", full(error.as_ref())))?;
        }
    }
    Ok(())
}

/// An error with its causes: the client's own says no more than that the server has refused.
fn full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
