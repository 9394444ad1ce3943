//! `english@2`: a logistic regression and two convolutional networks, read together.

use crate::calibration::Calibrated;
use crate::convolution::{self, Convolution, Sample, Settings, TASKS};
use crate::data::{self, Labelled};
use crate::embedding::Embeddings;
use sentiment_core::train::{Algorithm, Corpus, Lexicon, Mixture, Options, Training, UnitReader, Units};
use sentiment_core::{Predictor, Scratch, Text};
use std::error::Error;
use std::path::Path;

/// Memory that training may use.
const MEMORY: u64 = 1 << 30;

/// The labels in class order.
pub const LABELS: [&str; 3] = ["negative", "neutral", "positive"];

/// Labels of the files that help: reviews and emotions.
const REVIEWS: [&str; 2] = ["negative", "positive"];
const EMOTIONS: [&str; 4] = ["anger", "joy", "optimism", "sadness"];

/// Dimensions of the word vectors.
const DIMENSIONS: usize = 50;

/// What of a lexicon value, negation and strength a vector has beside its company.
const MARKS: usize = 3;

/// The share of the linear part in the logits.
const LINEAR_SHARE: f64 = 0.4;

/// How much all reviews and emotions count beside all tweets.
const REVIEWS_SHARE: f32 = 0.33;
const EMOTIONS_SHARE: f32 = 0.17;

/// The networks differ in their seed only.
const SEEDS: [u64; 2] = [1, 2];

/// How each network is trained.
const SETTINGS: Settings =
    Settings { filters: 8, epochs: 4, rate: 1e-3, word_dropout: 0.15, dropout: 0.25, l2: 1e-4, seed: 0 };

/// Parts that rows are held out in. They are runs of the file, which has the tweets about in the order of the years: so it
/// is measured what a model makes of tweets from another time than those that it learned from.
const FOLDS: usize = 5;

/// A labelled tweet.
pub type Row = (usize, String);

/// All that is read once and trained on several times.
pub struct Trainer<'l> {
    lexicon: &'l Lexicon,
    embeddings: Embeddings,
    /// The vectors that training begins with, the unknown token's first.
    vectors: Vec<f32>,
    terms: Vec<u64>,
    helpers: Vec<Sample>,
}

/// The parts of a model.
pub struct Parts {
    linear: Vec<u8>,
    networks: Vec<Convolution>,
}

/// Reads the labelled tweets of a file.
pub fn rows(path: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let labelled = Labelled::open(path)?;
    let class = |label: &str| LABELS.iter().position(|&known| known == label);
    Ok(labelled.rows().filter_map(|(label, text)| Some((class(label)?, text.to_owned()))).collect())
}

impl<'l> Trainer<'l> {
    /// Reads what has no label, or another sort of labels: word vectors come from it.
    pub fn new(data: &Path, lexicon: &'l Lexicon) -> Result<Self, Box<dyn Error>> {
        let tweets = Labelled::open(&data.join("en/tweets_train.tsv.gz"))?;
        let reviews = Labelled::open(&data.join("en/reviews_train.tsv.gz"))?;
        let emotions = Labelled::open(&data.join("en/emotion_train.tsv.gz"))?;
        let unlabelled = data::lines(&data.join("en/tweets_unlabelled.txt.gz"))?;
        let labelled = [&tweets, &reviews, &emotions];
        let texts = labelled.iter().flat_map(|file| file.rows().map(|(_, text)| text));
        let mut reader = UnitReader::default();
        let read: Vec<Units> = texts
            .chain(unlabelled.iter().map(String::as_str))
            .map(|text| reader.read(text.as_bytes(), lexicon))
            .collect();
        let embeddings = Embeddings::new(read.iter().map(|units| units.terms.as_slice()), DIMENSIONS);
        let (terms, vectors) = with_marks(&embeddings, &read);
        let mut trainer = Self { lexicon, embeddings, vectors, terms, helpers: Vec::new() };
        let reviews = trainer.helpers(&reviews, 1, &REVIEWS);
        let emotions = trainer.helpers(&emotions, 2, &EMOTIONS);
        trainer.helpers = [reviews, emotions].concat();
        Ok(trainer)
    }

    fn helpers(&self, file: &Labelled, task: usize, labels: &[&str]) -> Vec<Sample> {
        let mut reader = UnitReader::default();
        let known = |label: &str| labels.iter().position(|&known| known == label);
        let rows = file.rows().filter_map(|(label, text)| Some((known(label)?, text)));
        rows.map(|(class, text)| self.sample(&mut reader, text, task, class)).collect()
    }

    fn sample(&self, reader: &mut UnitReader, text: &str, task: usize, class: usize) -> Sample {
        let units = reader.read(text.as_bytes(), self.lexicon);
        let number = |term: &u64| self.embeddings.numbers.get(term).map_or(0, |number| number + 1);
        let mut target = [0.0; convolution::CLASSES];
        target[class] = 1.0;
        #[allow(clippy::cast_possible_truncation)]
        let shape = units.shape.iter().map(|feature| *feature as f32).collect();
        Sample { tokens: units.terms.iter().map(number).collect(), shape, task, target, weight: 1.0 }
    }

    /// Trains on some labelled tweets.
    pub fn train(&self, rows: &[&Row], version: u32) -> Result<Parts, Box<dyn Error>> {
        let linear = self.train_linear(rows, version)?;
        let mut reader = UnitReader::default();
        let mut samples: Vec<Sample> = self.helpers.clone();
        samples.extend(rows.iter().map(|(class, text)| self.sample(&mut reader, text, 0, *class)));
        weigh(&mut samples, rows.len());
        let samples: Vec<&Sample> = samples.iter().collect();
        let wide = DIMENSIONS + MARKS;
        let network =
            |&seed: &u64| Convolution::train(&samples, &self.vectors, wide, Settings { seed, ..SETTINGS });
        Ok(Parts { linear, networks: SEEDS.iter().map(network).collect() })
    }

    fn train_linear(&self, rows: &[&Row], version: u32) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut corpus = Corpus::new(MEMORY);
        for (class, text) in rows {
            corpus.add(text.as_bytes(), LABELS[*class])?;
        }
        let options = linear_options();
        let training = Training {
            name: "english",
            version,
            options: &options,
            lexicon: Some(self.lexicon),
            own_terms: &[],
            seed: 1,
            memory: MEMORY,
            helpers: None,
            grows: false,
        };
        Ok(training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(()))?.bytes)
    }

    /// The logits of a mixture before calibration, for each row.
    fn logits(&self, parts: &Parts, rows: &[&Row]) -> Result<Vec<[f64; 3]>, Box<dyn Error>> {
        let predictor = Predictor::open(&parts.linear)?;
        let mut scratch = Scratch::default();
        let mut reader = UnitReader::default();
        let mut passes: Vec<_> = parts.networks.iter().map(Convolution::reader).collect();
        let mut all = Vec::with_capacity(rows.len());
        for (class, text) in rows {
            let mut logits = [0.0; 3];
            if let Some(reading) = predictor.read(Text::from(text.as_str()), &mut scratch) {
                for (logit, p) in logits.iter_mut().zip(reading.probabilities) {
                    *logit = LINEAR_SHARE * libm::log(p.max(f64::MIN_POSITIVE));
                }
            }
            let sample = self.sample(&mut reader, text, 0, *class);
            for (network, pass) in parts.networks.iter().zip(&mut passes) {
                let share = (1.0 - LINEAR_SHARE) / SEEDS.map(|_| 1.0).iter().sum::<f64>();
                let said = network.logits(&sample, pass);
                logits.iter_mut().zip(said).for_each(|(logit, said)| *logit += share * f64::from(said));
            }
            all.push(logits);
        }
        Ok(all)
    }

    /// Trains on all runs but one, five times, and finds how the logits are to be read.
    pub fn calibrate(&self, rows: &[Row]) -> Result<Calibrated, Box<dyn Error>> {
        let (mut logits, mut classes) = (Vec::new(), Vec::new());
        let long = rows.len().div_ceil(FOLDS);
        for fold in 0..FOLDS {
            let held_out: Vec<&Row> = rows.iter().skip(fold * long).take(long).collect();
            let others = rows.iter().take(fold * long).chain(rows.iter().skip((fold + 1) * long));
            let parts = self.train(&others.collect::<Vec<_>>(), 0)?;
            logits.extend(self.logits(&parts, &held_out)?);
            classes.extend(held_out.iter().map(|row| row.0));
        }
        Ok(Calibrated::new(&logits, &classes))
    }

    /// The bytes of a model, which says these measures of itself.
    pub fn write(
        &self,
        parts: &Parts,
        calibrated: &Calibrated,
        metrics: &str,
    ) -> Result<Vec<u8>, Box<dyn Error>> {
        let (network, shapes, bias) = convolution::mean(&parts.networks, &self.terms);
        let factor = (1.0 - LINEAR_SHARE) / calibrated.temperature;
        let bias = bias.iter().zip(calibrated.bias);
        let bias: Vec<f64> = bias.map(|(b, shift)| factor * b + shift / calibrated.temperature).collect();
        let mixture = Mixture {
            linear: &parts.linear,
            linear_factor: LINEAR_SHARE / calibrated.temperature,
            network: &network,
            network_factor: factor,
            shape_weights: &shapes,
            bias: &bias,
            metrics,
        };
        Ok(mixture.write()?)
    }
}

/// The options of the linear part.
pub fn linear_options() -> Options {
    Options::defaults(Algorithm::LogisticRegression)
        .with("solver", "lbfgs")
        .with("language", "en")
        .with("words", 3)
        .with("folds", 1)
        .with("calibration", "temperature")
        .with("term_scale", "none")
        .with("l2", 5e-5)
        .with("tolerance", 0.01)
}

/// The settings of the networks, for the card.
pub fn described() -> String {
    let Settings { filters, epochs, rate, word_dropout, dropout, l2, .. } = SETTINGS;
    format!(
        "{} networks of {filters} filters of each of three widths, {DIMENSIONS} dimensions and {MARKS} for lexicon value \
         and negation,\n{epochs} epochs of Adam at {rate}, dropout {dropout} of findings and {word_dropout} of words, l2 {l2}, \
         seeds {SEEDS:?}; weights of the\ntasks 1, {REVIEWS_SHARE} and {EMOTIONS_SHARE}; share of the linear part {LINEAR_SHARE}",
        SEEDS.len()
    )
}

/// Balances the classes of each task; the tweets come last and weigh 1 on average.
#[allow(clippy::cast_precision_loss)]
fn weigh(samples: &mut [Sample], tweets: usize) {
    let shares = [1.0, REVIEWS_SHARE, EMOTIONS_SHARE];
    let mut counts = [[0.0_f32; convolution::CLASSES]; TASKS.len()];
    let class = |sample: &Sample| sample.target.iter().position(|target| *target > 0.5).unwrap_or_default();
    samples.iter().for_each(|sample| counts[sample.task][class(sample)] += 1.0);
    for sample in samples {
        let (classes, count) = (TASKS[sample.task] as f32, counts[sample.task][class(sample)]);
        sample.weight = shares[sample.task] * tweets as f32 / (classes * count);
    }
}

/// The terms of the vectors, and the vectors with the marks of their words; the first vector is the unknown token's.
#[allow(clippy::cast_possible_truncation)]
fn with_marks(embeddings: &Embeddings, read: &[Units]) -> (Vec<u64>, Vec<f32>) {
    let wide = DIMENSIONS + MARKS;
    let mut terms = vec![0; embeddings.numbers.len()];
    let mut vectors = vec![0.0; (terms.len() + 1) * wide];
    for (&term, &number) in &embeddings.numbers {
        let (number, to) = (number as usize, (number as usize + 1) * wide);
        terms[number] = term;
        vectors[to..to + DIMENSIONS]
            .copy_from_slice(&embeddings.vectors[number * DIMENSIONS..][..DIMENSIONS]);
    }
    for units in read {
        for (at, term) in units.terms.iter().enumerate() {
            if let Some(&number) = embeddings.numbers.get(term) {
                let marks = &mut vectors[(number as usize + 1) * wide + DIMENSIONS..][..MARKS];
                let value = units.values[at] as f32 / 2.0;
                marks.copy_from_slice(&[value, f32::from(u8::from(units.negated[at])), value.abs()]);
            }
        }
    }
    (terms, vectors)
}
