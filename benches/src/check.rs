//! The guard against getting slower: instruction counts, which are steady where times are not.
//!
//! They are counted by callgrind, in the function `measured` alone, and are those of one compiler and one kind of processor:
//! the C library copies and compares memory by what the processor can do, which is far less than the tolerance, and a network pools
//! with AVX2 where there is that, which is more. So counts are compared on processors that have it.

use crate::Result;
use crate::figures::count;
use crate::stage::target;
use crate::workload::PARTS;
use sentiment_tests::repository;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Command, Stdio};

/// How much more a part may cost than what is committed.
const TOLERANCE: f64 = 0.05;

const HEADER: &str = "# Instructions that reading a text costs, counted by make bench-check; make bench-check UPDATE=1 \
    writes them anew.\n# part\tinstructions a text\n";

/// Counts, compares and fails where something costs more than it may; or writes the counts down.
pub fn run(update: bool) -> Result<()> {
    let file = repository().join("benches/instructions.tsv");
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: bench-check, for valgrind is not installed (Debian: apt-get install valgrind)");
        return Ok(());
    }
    if !has_avx2() {
        println!("skipped: bench-check, for its counts are those of a processor with AVX2");
        return Ok(());
    }
    let committed = parse(&std::fs::read_to_string(&file).unwrap_or_default());
    let mut counted = BTreeMap::new();
    for part in PARTS {
        counted.insert((*part).to_owned(), instructions(part)?);
    }
    let (table, slower) = compare(&committed, &counted);
    print!("{table}");
    if update {
        return Ok(std::fs::write(file, written(&counted))?);
    }
    match slower.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{} cost over {:.0} % more instructions than committed; if that is worth it: make bench-check UPDATE=1",
            slower.join(", "),
            TOLERANCE * 100.0
        )
        .into()),
    }
}

/// Whether the processor is of the kind that the committed counts are of.
fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The instructions a text of a part.
fn instructions(part: &str) -> Result<f64> {
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--toggle-collect=*workload*measured*"]);
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    valgrind.arg(std::env::current_exe()?).args(["workload", part]);
    let output = valgrind.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("{valgrind:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let texts: usize = String::from_utf8(output.stdout)?.trim().parse()?;
    let profile = std::fs::read_to_string(&file)?;
    std::fs::remove_file(file)?;
    let total =
        profile.lines().find_map(|line| line.strip_prefix("totals:")).ok_or("callgrind gives no total")?;
    let total: usize = total.trim().parse()?;
    if total == 0 {
        return Err(format!("{part}: nothing was counted, the function is not known by its name").into());
    }
    Ok(count(total) / count(texts))
}

fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| line.split_once('\t').map(|(part, n)| (part.to_owned(), n.trim().parse()));
    lines.filter_map(pair).filter_map(|(part, n)| Some((part, n.ok()?))).collect()
}

fn written(counted: &BTreeMap<String, f64>) -> String {
    let line = |part: &&str| counted.get(*part).map(|n| format!("{part}\t{n:.0}\n"));
    HEADER.to_owned() + &PARTS.iter().filter_map(line).collect::<String>()
}

/// A table of both, and the parts that cost too much. A part that was never counted has no limit.
fn compare(committed: &BTreeMap<String, f64>, counted: &BTreeMap<String, f64>) -> (String, Vec<String>) {
    let (mut table, mut slower) = (String::new(), Vec::new());
    let _ = writeln!(table, "{:<20} {:>10} {:>10} {:>8}", "instructions a text", "committed", "now", "");
    for part in PARTS {
        let (Some(now), before) = (counted.get(*part), committed.get(*part)) else { continue };
        let Some(before) = before else {
            let _ = writeln!(table, "{part:<20} {:>10} {now:>10.0} {:>8}", "-", "new");
            continue;
        };
        let change = now / before - 1.0;
        let _ = writeln!(table, "{part:<20} {before:>10.0} {now:>10.0} {:>+7.1}%", change * 100.0);
        if change > TOLERANCE {
            slower.push((*part).to_owned());
        }
    }
    (table, slower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_are_written() {
        let counted: BTreeMap<String, f64> = PARTS.iter().map(|part| ((*part).to_owned(), 5000.0)).collect();
        assert_eq!(parse(&written(&counted)), counted);
    }

    #[test]
    fn what_costs_over_five_percent_more_is_slower() {
        let counts = |n: f64| BTreeMap::from([("english".to_owned(), n)]);
        assert_eq!(compare(&counts(1000.0), &counts(1049.0)).1, Vec::<String>::new());
        assert_eq!(compare(&counts(1000.0), &counts(1051.0)).1, ["english"]);
        assert_eq!(compare(&counts(1000.0), &counts(10.0)).1, Vec::<String>::new());
        assert_eq!(compare(&BTreeMap::new(), &counts(10.0)).1, Vec::<String>::new());
    }
}
