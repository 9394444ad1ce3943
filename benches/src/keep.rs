//! Where a report is kept: below target/ each time, in the repository when asked for.

use crate::Result;
use crate::picture;
use crate::report::Report;
use crate::stage::target;
use sentiment_tests::repository;
use std::fs;
use std::path::Path;

/// Between these lines of the README stands what the kept result says.
const BEGIN: &str = "<!-- make bench UPDATE=1 -->\n";
const END: &str = "<!-- end -->\n";

/// Writes the report below target/ as JSON, Markdown and SVG.
pub fn write(report: &Report) -> Result<()> {
    let folder = target().join("bench");
    fs::write(folder.join("bench.json"), json(report)?)?;
    fs::write(folder.join("bench.md"), report.section())?;
    fs::write(folder.join("bench.svg"), picture::draw(report))?;
    Ok(())
}

/// Makes it the result that the README speaks of.
pub fn update(report: &Report) -> Result<()> {
    fs::write(results(), json(report)?)?;
    render()
}

/// Draws the kept result, and writes the README's section from it.
pub fn render() -> Result<()> {
    let report: Report = serde_json::from_str(&fs::read_to_string(results())?)?;
    fs::write(results().with_extension("svg"), picture::draw(&report))?;
    let readme = repository().join("README.md");
    let text = with_section(&fs::read_to_string(&readme)?, &report)?;
    Ok(fs::write(readme, text)?)
}

fn results() -> std::path::PathBuf {
    repository().join(Path::new("benches/results.json"))
}

fn json(report: &Report) -> Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// The README with the report's section in the place of what was there.
fn with_section(readme: &str, report: &Report) -> Result<String> {
    let (before, rest) = readme.split_once(BEGIN).ok_or("the README has no place for the result")?;
    let (_, after) = rest.split_once(END).ok_or("the README's section has no end")?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", report.section()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every figure in the README comes from the result that is committed.
    #[test]
    fn the_readme_says_what_the_kept_result_says() {
        let report: Report = serde_json::from_str(&fs::read_to_string(results()).unwrap()).unwrap();
        let readme = fs::read_to_string(repository().join("README.md")).unwrap();
        assert!(with_section(&readme, &report).unwrap() == readme, "make bench-render writes it anew");
        let svg = fs::read_to_string(results().with_extension("svg")).unwrap();
        assert!(picture::draw(&report) == svg, "make bench-render draws it anew");
    }
}
