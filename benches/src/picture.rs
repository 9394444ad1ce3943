//! The contestants as bars, for the README. Drawn without a library: it is rectangles and texts.

use crate::report::{Line, Report};
use crate::targets::short;
use std::fmt::Write;

/// The races that are drawn, and what stands above them.
const PANELS: &[(&str, &str)] = &[
    ("row", "Scoring: microseconds a row of the whole query"),
    ("insert", "Insert-select: microseconds a row"),
    ("training", "Training on 28,795 tweets: seconds"),
];

const WIDTH: f64 = 820.0;
/// Where bars begin and how long the longest is; what is left of it is for the figure behind it.
const LEFT: f64 = 330.0;
const LONGEST: f64 = 400.0;
const ROW: f64 = 24.0;

/// It brings its own ground, and follows the reader's colours: texts are legible whatever page it is on.
const STYLE: &str = "\
<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .ground { fill: #ffffff; }
  .bar { fill: #8c959f; }
  .ours { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .ground { fill: #0d1117; }
    .bar { fill: #6e7681; }
    .ours { fill: #4493f8; }
  }
</style>
";

/// The picture of a report as SVG.
pub fn draw(report: &Report) -> String {
    let mut body = String::new();
    let mut top = 16.0;
    for (group, title) in PANELS {
        let lines: Vec<&Line> = report.lines.iter().filter(|line| line.group == *group).collect();
        if lines.is_empty() {
            continue;
        }
        let _ = writeln!(body, r#"<text class="title" x="16" y="{}">{title}</text>"#, top + 16.0);
        top += 30.0;
        let longest = lines.iter().map(|line| line.figures.median).fold(0.0, f64::max);
        for line in lines {
            bar(&mut body, line, top, LONGEST * line.figures.median / longest);
            top += ROW;
        }
        top += 14.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" \
         viewBox=\"0 0 {WIDTH} {top}\" role=\"img\">\n<title>What scoring and training cost</title>\n{STYLE}\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{top}\" rx=\"6\"/>\n{body}</svg>\n"
    )
}

fn bar(body: &mut String, line: &Line, top: f64, length: f64) {
    let middle = top + 0.7 * ROW;
    // A bar that cannot be seen would look like one that was not measured.
    let length = length.max(1.5);
    let class = if is_ours(&line.name) { "ours" } else { "bar" };
    let _ = writeln!(
        body,
        "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" rx=\"2\"/>\
         <text x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
        LEFT - 8.0,
        escaped(&line.name),
        top + 3.0,
        ROW - 6.0,
        LEFT + length + 6.0,
        short(line.figures.median),
    );
}

fn is_ours(name: &str) -> bool {
    name.contains("sentiment")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn a_bar_is_as_long_as_its_median_beside_the_longest() {
        let mut report = Report::default();
        let figures = |median| Figures { min: median, median, max: median, rounds: 1 };
        report.line("row", "lower(body)", "us a row", figures(1.0));
        report.line("row", "a < b", "us a row", figures(4.0));
        let svg = draw(&report);
        assert!(
            svg.contains("width=\"100.0\"") && svg.contains("width=\"400.0\"") && svg.contains("a &lt; b")
        );
    }
}
