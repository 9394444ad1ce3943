//! The README's SQL is run, and does what the README says.
//!
//! The ```` ```sql ```` blocks are run by psql in order, in one database. The output of a block is compared with the
//! ```` ```text ```` block that follows it, if one does; `BLESS=1` writes those blocks anew.
//! A block after the line `<!-- skip -->` is not run.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs::{self, File};
use std::path::Path;

use sentiment_tests::{Database, repository};

/// SQL with the number of its first line, and the output the README shows from which line on.
#[derive(Debug, PartialEq)]
struct Example {
    line: usize,
    sql: String,
    output: Option<(usize, String)>,
}

/// Reads the examples of a Markdown text.
fn examples(markdown: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut skipped = false;
    // An output belongs to an example as long as there is nothing but blank lines between the two.
    let mut adjacent = false;
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                skipped = line.trim() == "<!-- skip -->";
                adjacent = false;
            }
            continue;
        };
        let block: String = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| !line.starts_with("```"))
            .fold(String::new(), |mut block, line| {
                block.extend([line, "\n"]);
                block
            });
        match (language, examples.last_mut()) {
            ("sql", _) if !skipped => examples.push(Example { line: number + 2, sql: block, output: None }),
            ("text", Some(last)) if adjacent => last.output = Some((number + 2, block)),
            _ => {}
        }
        adjacent = language == "sql" && !skipped;
        skipped = false;
    }
    examples
}

/// Runs one example as a reader would; returns what psql printed, blanks at line ends apart.
fn run(database: &mut Database<'_>, example: &Example) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (script, output) = (folder.join("readme.sql"), folder.join("readme.out"));
    fs::write(&script, &example.sql).unwrap();
    let stream = File::create(&output).unwrap();
    let mut psql = database.server().program("psql", database.name(), "postgres");
    psql.args(["--no-psqlrc", "--quiet"]).env("PGTZ", "UTC").current_dir(repository());
    psql.stdin(File::open(script).unwrap()).stdout(stream.try_clone().unwrap()).stderr(stream);
    assert!(psql.status().unwrap().success(), "README.md:{}: psql failed", example.line);
    trimmed(&fs::read_to_string(output).unwrap())
}

fn trimmed(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn examples_do_what_is_shown() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md is there");
    let examples = examples(&readme);
    assert!(examples.len() >= 10, "the README has {} examples in SQL", examples.len());
    let mut database = Database::new();
    database.run("DROP EXTENSION pg_sentiment");
    let mut different = String::new();
    let mut blessed: Vec<String> = readme.lines().map(|line| format!("{line}\n")).collect();
    for example in &examples {
        let output = run(&mut database, example);
        let Example { line, sql, output: shown } = example;
        let Some((first, shown)) = shown else {
            assert!(!output.contains("ERROR:"), "README.md:{line}:\n{sql}{output}");
            continue;
        };
        if output.contains("ERROR:") {
            database.ask_errors_so_far();
        }
        if trimmed(shown) != output {
            different.push_str(&format!("README.md:{line}:\n{sql}shows:\n{shown}but is:\n{output}\n"));
        }
        let lines = first - 1..first - 1 + shown.lines().count();
        blessed[lines.clone()].fill(String::new());
        // The line before the output is there in any case: it opens the block.
        blessed[lines.start - 1].push_str(&output);
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(repository().join("README.md"), blessed.concat()).unwrap();
    } else {
        assert!(different.is_empty(), "{different}");
    }
}

#[test]
fn blocks_are_read_as_written() {
    let markdown = "text\n```sql\nSELECT 1;\n```\n\n```text\n 1\n```\n<!-- skip -->\n\n```sql\nDROP DATABASE x;\n```\n\
                    ```text\nno\n```\n```sql\nSELECT 2;\n```\nprose\n```text\nno\n```\n```sh\nmake\n```\n";
    let expected = [
        Example { line: 3, sql: "SELECT 1;\n".into(), output: Some((7, " 1\n".into())) },
        Example { line: 18, sql: "SELECT 2;\n".into(), output: None },
    ];
    assert_eq!(examples(markdown), expected);
}

/// What a heading is called in an address, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// The lines of a Markdown text that are not of a block of code.
fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for file in ["README.md", "SECURITY.md", "DESIGN.md", "models/english-2.md", "models/multilingual-1.md"] {
        let path = repository().join(file);
        let markdown = fs::read_to_string(&path).unwrap();
        for rest in prose(&markdown).flat_map(|line| line.split("](").skip(1)) {
            let link = rest.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (target, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if target.is_empty() { path.clone() } else { path.parent().unwrap().join(target) };
            assert!(target.exists(), "{file}: {link}");
            if !fragment.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut headings = prose(&text).filter(|line| line.starts_with('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#')) == fragment);
                assert!(found, "{file}: no heading for {link}");
            }
            links += 1;
        }
    }
    assert!(links > 10, "{links}");
}
