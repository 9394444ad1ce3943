//! Reads the demo's messages many times over, for instruction counts: `read_texts ROUNDS [FILE]`.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use sentiment_core::{Predictor, Scratch, Text, shipped};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().unwrap_or_else(|| "10".into()).parse()?;
    let file = arguments
        .next()
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/messages.tsv").into());
    let content = std::fs::read_to_string(file)?;
    let texts: Vec<&str> = content.lines().filter_map(|line| line.rsplit('\t').next()).collect();
    let (_, _, bytes) = *shipped::all().iter().rfind(|model| model.0 == "english").ok_or("no model")?;
    let predictor = Predictor::open_unchecked(bytes)?;
    let mut scratch = Scratch::default();
    let mut sum = 0.0;
    let started = std::time::Instant::now();
    for _ in 0..rounds {
        for text in &texts {
            sum += predictor
                .read(Text::from(*text), &mut scratch)
                .and_then(|reading| reading.score)
                .unwrap_or(0.0);
        }
    }
    let each = started.elapsed().as_secs_f64() * 1e6 / (rounds * texts.len()) as f64;
    let length: usize = texts.iter().map(|text| text.len()).sum();
    println!("{} texts of {} bytes, {each:.3} us each, {sum}", texts.len(), length / texts.len());
    Ok(())
}
