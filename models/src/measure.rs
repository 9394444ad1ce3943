//! How good a model is on texts that it was not trained on.

use crate::calibration::f1pn;
use crate::data::Labelled;
use crate::mixture::LABELS;
use sentiment_core::drift::Profile;
use sentiment_core::train::{Calibration, Confusion, Evaluation};
use sentiment_core::{Predictor, Scratch, Text};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vader_sentimental::SentimentIntensityAnalyzer;

/// The class of a label.
fn class(label: &str) -> Option<usize> {
    LABELS.iter().position(|&known| known == label)
}

/// What a model scored on a file that it was not trained on.
#[derive(Debug)]
pub struct Measured {
    pub rows: usize,
    pub confusion: Confusion,
    pub calibration: Calibration,
}

/// What a reader makes of every text of some files: it gives a text's class and how sure it is of it.
fn measure_by(
    paths: &[PathBuf],
    mut read: impl FnMut(&str) -> (usize, f64),
) -> Result<Measured, Box<dyn Error>> {
    let (confusion, calibration) = (Confusion::new(LABELS.len()), Calibration::default());
    let mut measured = Measured { rows: 0, confusion, calibration };
    for path in paths {
        for (label, text) in Labelled::open(path)?.rows() {
            let Some(actual) = class(label) else { continue };
            let (predicted, confidence) = read(text);
            measured.rows += 1;
            measured.confusion.add(actual, predicted);
            measured.calibration.add(confidence, actual == predicted);
        }
    }
    Ok(measured)
}

/// As [`measure`], over several files together.
pub fn measure_all(predictor: &Predictor<'_>, paths: &[PathBuf]) -> Result<Measured, Box<dyn Error>> {
    let mut scratch = Scratch::default();
    measure_by(paths, |text| {
        let reading = predictor.read(Text::from(text), &mut scratch);
        reading.map_or((1, 1.0 / 3.0), |r| (r.label, r.probabilities[r.label]))
    })
}

/// Reads every text of a file. A text with nothing to score counts as neutral: so must a reader take it.
pub fn measure(predictor: &Predictor<'_>, path: &Path) -> Result<Measured, Box<dyn Error>> {
    measure_all(predictor, &[path.to_owned()])
}

/// What a model says of itself after it was measured on files that it was not trained on: its figures, and what its answers
/// looked like, which `drift_sentiment()` compares with.
pub fn metrics(
    predictor: &Predictor<'_>,
    paths: &[PathBuf],
    measured_on: &str,
) -> Result<String, Box<dyn Error>> {
    let mut evaluation = Evaluation::new(predictor.labels());
    let mut profile = Profile::new(predictor.labels().len());
    let mut scratch = Scratch::default();
    for path in paths {
        for (label, text) in Labelled::open(path)?.rows() {
            if let Some(reading) = predictor.read(Text::from(text), &mut scratch) {
                evaluation.add(label, &reading)?;
                profile.add(&reading);
            }
        }
    }
    Ok(profile.metrics(&evaluation, predictor.labels(), measured_on))
}

/// What VADER makes of every text of a file, at its authors' thresholds. It gives no probabilities.
pub fn measure_vader(path: &Path) -> Result<Measured, Box<dyn Error>> {
    let vader = SentimentIntensityAnalyzer::new();
    measure_by(&[path.to_owned()], |text| {
        let compound = vader.polarity_scores(text).compound;
        (if compound >= 0.05 { 2 } else { usize::from(compound > -0.05) }, 1.0)
    })
}

/// Microseconds that a text costs each predictor: the best of some rounds over a file, taken in turns.
pub fn costs(predictors: [&Predictor<'_>; 2], path: &Path) -> Result<[f64; 2], Box<dyn Error>> {
    let data = Labelled::open(path)?;
    let texts: Vec<&str> = data.rows().map(|(_, text)| text).collect();
    let mut scratch = Scratch::default();
    let mut best = [f64::INFINITY; 2];
    for _ in 0..15 {
        for (best, predictor) in best.iter_mut().zip(predictors) {
            let start = Instant::now();
            for text in &texts {
                std::hint::black_box(predictor.read(Text::from(*text), &mut scratch));
            }
            #[allow(clippy::cast_precision_loss)]
            let each = start.elapsed().as_secs_f64() * 1e6 / texts.len().max(1) as f64;
            *best = best.min(each);
        }
    }
    Ok(best)
}

impl Measured {
    /// A row of the table of scores.
    pub fn summary(&self, name: &str) -> String {
        let f1pn = f1pn(&self.confusion);
        format!(
            "| {name} | {} | {:.4} | {f1pn:.4} | {:.4} | {:.4} |\n",
            self.rows,
            self.confusion.macro_recall(),
            self.confusion.accuracy(),
            self.calibration.error()
        )
    }

    /// The table of classes.
    pub fn classes(&self) -> String {
        let mut table = String::from(
            "| class | precision | recall | F1 | read as negative | as neutral | as positive |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for (at, label) in LABELS.iter().enumerate() {
            let c = &self.confusion;
            let (precision, recall, f1) = (c.precision(at), c.recall(at), c.f1(at));
            let [negative, neutral, positive] = [0, 1, 2].map(|predicted| c.count(at, predicted));
            let row = format!(
                "| {label} | {precision:.3} | {recall:.3} | {f1:.3} | {negative} | {neutral} | {positive} |\n"
            );
            table.push_str(&row);
        }
        table
    }

    /// The table of confidence.
    pub fn bins(&self) -> String {
        let mut table = String::from("| mean confidence | right | texts |\n| --- | --- | --- |\n");
        for (confidence, right, texts) in self.calibration.bins() {
            table.push_str(&format!("| {confidence:.3} | {right:.3} | {texts} |\n"));
        }
        table + &self.reliability()
    }

    /// The same as a plot: how often it was right, and where it would be if it were as sure as it is right.
    fn reliability(&self) -> String {
        let list = |of: fn((f64, f64, u64)) -> f64| {
            let values: Vec<String> = self.calibration.bins().map(|bin| format!("{:.3}", of(bin))).collect();
            values
        };
        let (confidence, right) = (list(|bin| bin.0), list(|bin| bin.1).join(", "));
        let (names, confidence) = (confidence.join("\", \""), confidence.join(", "));
        format!(
            "\n```mermaid\nxychart-beta\n    title \"How often it was right, against how sure it was\"\n    \
             x-axis \"mean confidence\" [\"{names}\"]\n    y-axis \"share right\" 0.3 --> 1\n    bar [{right}]\n    \
             line [{confidence}]\n```\n"
        )
    }
}
