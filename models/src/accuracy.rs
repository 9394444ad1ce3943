//! The targets of the English model, and what it reaches when it has learned from the training tweets alone.

use crate::calibration::f1pn;
use crate::measure::{Measured, costs, measure, measure_vader};
use crate::mixture::{Trainer, rows};
use sentiment_core::train::Lexicon;
use sentiment_core::{Predictor, shipped};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

/// A row of the table: what is measured, and what must and should be reached.
const TARGETS: [(&str, f64, f64); 7] = [
    ("tweets_dev AvgRec", 0.670, 0.690),
    ("tweets_dev F1pn", 0.633, 0.650),
    ("sms_dev F1pn", 0.680, 0.710),
    ("sms_dev AvgRec", 0.735, 0.760),
    ("tweets_dev calibration error", 0.030, 0.015),
    ("cost a text, against english@1", 1.3, 1.0),
    ("model file, MB", 12.0, 6.0),
];

/// The numbers of one system, in the order of the targets; those that it does not have are not numbers.
fn column(tweets: &Measured, sms: &Measured, rest: [f64; 3]) -> [f64; 7] {
    let (dev, texts) = (&tweets.confusion, &sms.confusion);
    let [error, cost, size] = rest;
    [dev.macro_recall(), f1pn(dev), f1pn(texts), texts.macro_recall(), error, cost, size]
}

/// Trains on the training tweets and fills the table in.
pub fn table(data: &Path, lexicon: &Lexicon) -> Result<String, Box<dyn Error>> {
    let rows = rows(&data.join("en/tweets_train.tsv.gz"))?;
    let trainer = Trainer::new(data, lexicon)?;
    let calibrated = trainer.calibrate(&rows)?;
    let bytes = trainer.write(&trainer.train(&rows.iter().collect::<Vec<_>>(), 2)?, &calibrated, "{}")?;
    let (tweets, sms) = (data.join("en/tweets_dev.tsv.gz"), data.join("en/sms_dev.tsv"));
    let first = shipped::all().iter().find(|model| (model.0, model.1) == ("english", 1));
    let first = first.ok_or("english@1 is not shipped")?.2;
    let (old, new) = (Predictor::open(first)?, Predictor::open(&bytes)?);
    let [old_cost, new_cost] = costs([&old, &new], &tweets)?;
    #[allow(clippy::cast_precision_loss)]
    let mega = |bytes: &[u8]| bytes.len() as f64 / 1e6;
    let of = |predictor: &Predictor<'_>, cost: f64, size: f64| -> Result<[f64; 7], Box<dyn Error>> {
        let (tweets, sms) = (measure(predictor, &tweets)?, measure(predictor, &sms)?);
        Ok(column(&tweets, &sms, [tweets.calibration.error(), cost, size]))
    };
    let new = of(&new, new_cost / old_cost, mega(&bytes))?;
    let old = of(&old, 1.0, mega(first))?;
    let vader = column(&measure_vader(&tweets)?, &measure_vader(&sms)?, [f64::NAN; 3]);
    let mut table = String::from(
        "| trained on tweets_train alone | VADER | english@1 | this model | must | aim |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for (at, (what, must, aim)) in TARGETS.iter().enumerate() {
        let vader = if vader[at].is_nan() { "-".to_owned() } else { format!("{:.4}", vader[at]) };
        writeln!(table, "| {what} | {vader} | {:.4} | {:.4} | {must} | {aim} |", old[at], new[at])?;
    }
    let (held_out, bias) = (&calibrated.confusion, calibrated.bias[2]);
    writeln!(
        table,
        "\nOn five held-out runs of the training rows: AvgRec {:.4}, F1pn {:.4}, calibration error {:.4}; bias {bias}, \
         temperature {:.3}. A text costs {new_cost:.2} microseconds here.",
        held_out.macro_recall(),
        f1pn(held_out),
        calibrated.calibration.error(),
        calibrated.temperature
    )?;
    Ok(table)
}
