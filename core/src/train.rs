//! Training: labelled texts in, a model's bytes out. The same texts, in any order, give the same bytes.

mod cache;
mod calibration;
mod corpus;
mod dual;
mod fits;
mod lbfgs;
mod lexicon;
mod linear;
mod logistic_regression;
mod many;
mod memory;
mod metrics;
mod mixture;
mod naive_bayes;
mod options;
mod own_terms;
mod random_forest;
#[cfg(test)]
mod references;
mod rows;
mod table;
mod term_scales;
mod threads;
mod units;
mod vocabulary;
mod watch;

pub use corpus::{Corpus, Example, MAX_LABEL_BYTES, MAX_LABELS, Split, is_label};
pub use lexicon::Lexicon;
pub use metrics::{Calibration, ClassFigures, Confusion, Evaluation};
pub use mixture::Mixture;
pub use options::{Domain, OPTIONS, OptionSpec, Options};
pub use own_terms::{
    MOST_OWN_TERMS, check as check_term, check_kind as check_term_kind, check_model as check_takes_terms,
    key as term_key,
};
pub use threads::Helpers;
pub use units::{UnitReader, Units};
pub use watch::Watch;

pub use crate::network::Network;
pub(crate) use memory::Memory;
pub(crate) use naive_bayes::{NaiveBayes, Totals};
pub(crate) use own_terms::OwnTerm;
pub(crate) use vocabulary::TermMap;

use crate::model::{self, Card, Hashes, Learning};
use crate::predictor::softmax;
use crate::{Error, ErrorKind, Result, shipped};
use calibration::Calibrator;
use fits::{Fit, Fits};
use logistic_regression::LogisticRegression;
use naive_bayes::Counts;
use rows::Rows;
use table::Fitted;
use vocabulary::{Kept, Vocabulary};

/// How a model is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Counts, and what they say by Bayes' rule if terms were independent.
    NaiveBayes,
    /// Weights that make the training labels most probable.
    LogisticRegression,
    /// Many decision trees, each from other rows and terms.
    RandomForest,
}

impl Algorithm {
    /// All of them; options count their defaults in this order.
    pub const ALL: [Self; 3] = [Self::NaiveBayes, Self::LogisticRegression, Self::RandomForest];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::NaiveBayes => "naive_bayes",
            Self::LogisticRegression => "logistic_regression",
            Self::RandomForest => "random_forest",
        }
    }

    /// The algorithm of this name.
    ///
    /// # Errors
    /// `Parameter` for a name that is none; the hint lists them.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        found.ok_or_else(|| {
            let hint = "The algorithms are naive_bayes, logistic_regression and random_forest.";
            Error::new(ErrorKind::Parameter, "there is no such algorithm", hint)
        })
    }
}

/// What a model is to be trained by.
#[derive(Clone, Debug)]
pub struct Training<'t> {
    /// The model's name; empty where the bytes are kept under a name.
    pub name: &'t str,
    /// The version number within the name, or 0.
    pub version: u32,
    /// Algorithm and options.
    pub options: &'t Options,
    /// Words with a value, in place of what the option `lexicon` asks for.
    pub lexicon: Option<&'t Lexicon>,
    /// The user's own terms with their scores.
    pub own_terms: &'t [(String, f64)],
    /// What chance is drawn from.
    pub seed: u64,
    /// Bytes that may be used, the corpus included.
    pub memory: u64,
    /// Who fits beside the caller's thread. The model is the same with and without.
    pub helpers: Option<Helpers>,
    /// Whether the model's table can take in what it learns later, for four bytes a term. Without, deltas stay beside it.
    pub grows: bool,
}

/// A trained model.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model.
    pub bytes: Vec<u8>,
    /// What it came to.
    pub report: Report,
}

impl Trained {
    /// Has the model say these measures of itself, the text of a JSON object, in place of those of the folds.
    ///
    /// # Errors
    /// `Limit` for a text that is too long.
    pub fn state_metrics(&mut self, metrics: &str) -> Result<()> {
        model::restate(&mut self.bytes, |card| metrics.clone_into(&mut card.metrics))
    }
}

/// What a training found out on its own held-out folds.
#[derive(Clone, Debug)]
pub struct Report {
    /// Actual and predicted classes over all folds.
    pub confusion: Confusion,
    /// Confidence and accuracy over all folds, after calibration.
    pub calibration: Calibration,
    /// Mean negative log probability of the right class, after calibration.
    pub log_loss: f64,
    /// What the logits were divided by to calibrate them.
    pub temperature: f64,
    /// The solver's iterations in the last fit; 0 for an algorithm without any.
    pub iterations: u32,
    /// Whether the solver converged in the last fit.
    pub converged: bool,
}

/// Bytes of a row beside its terms: its class and number, those of the fold that it is in, and the side of the split.
const PER_ROW: usize = 40;

/// Bytes of a row in a fit beside others: its number and class, and the fold that it is in.
const PER_FIT: usize = 16;

impl Training<'_> {
    /// Trains a model on some rows of a corpus.
    ///
    /// # Errors
    /// `Parameter` for labels without rows, `Memory` where the memory does not do, `Limit` for a model beyond 4 GiB, and
    /// what `watch` returns.
    pub fn run(&self, corpus: &Corpus, chosen: &[u32], watch: &mut dyn Watch) -> Result<Trained> {
        let memory = Memory(self.memory);
        memory.takes("the texts", corpus.size(), chosen.len() * size_of::<Example<'_>>())?;
        let examples = corpus.examples(chosen);
        let labels = corpus.labels();
        let label_scores = self.options.label_scores(&labels)?;
        let own_terms = self.own_terms(&label_scores)?;
        let classes: Vec<usize> = examples.iter().map(|example| example.label).collect();
        check_classes(&classes, labels.len())?;
        let shipped = (self.options.word("lexicon") == "english").then(shipped::lexicon);
        let empty = Lexicon::default();
        let lexicon = self.lexicon.or(shipped);
        let held = corpus.size() + examples.capacity() * size_of::<Example<'_>>();
        let (vocabulary, rows) = rows::read(&examples, self.kept(), lexicon, held, memory, watch)?;
        let lexicon = lexicon.unwrap_or(&empty);
        let read = held + vocabulary.size() + rows.size();
        let (held_out, fit) = self.fit_memory(labels.len(), &vocabulary, &rows);
        memory.takes("the fit", read, held_out + fit)?;
        let at_once = self.helpers_within(memory, read + held_out, fit + rows.len() * PER_FIT);
        memory.takes("the model", read, self.model_memory(labels.len(), &vocabulary, &rows, lexicon))?;
        let fits = Fits {
            training: self,
            vocabulary: &vocabulary,
            rows: &rows,
            classes: &classes,
            labels: labels.len(),
        };
        let (mut held_out, mut fit) = fits.all(&examples, at_once, watch)?;
        let calibrator = self.calibrator(&mut held_out, &classes, labels.len(), watch)?;
        let temperature = calibrator.temperature;
        let mut report = report(&held_out, &classes, labels.len(), temperature);
        drop((examples, held_out));
        if let Fit::Linear { linear, counts, .. } = &mut fit {
            linear::add(&mut linear.bias, 1.0, &calibrator.offsets);
            // A refresh works out the bias anew.
            counts.iter_mut().for_each(|(parameters, _)| parameters.offsets.clone_from(&calibrator.offsets));
        }
        if let Fit::Linear { outcome: Some(outcome), .. } = &fit {
            (report.iterations, report.converged) = (outcome.iterations, outcome.converged);
        }
        drop(classes);
        let card = self.card(labels, label_scores, &report);
        let bytes = match fit {
            Fit::Linear { linear, counts, .. } => {
                let card = Card { learning: self.learning(counts.as_ref(), temperature), own_terms, ..card };
                let counts = counts.map(|(_, counts)| counts.terms);
                let hashes = if self.grows { Hashes::Kept } else { Hashes::Dropped };
                let fitted = Fitted { vocabulary, rows, linear, temperature, lexicon, counts, hashes };
                fitted.write(card, watch)?
            }
            Fit::Forest(forest) => {
                drop(rows);
                let texts = chosen.iter().map(|&at| corpus.row(at).0);
                forest.write(card, texts, vocabulary, &calibrator, watch)?
            }
        };
        Ok(Trained { bytes, report })
    }

    /// What makes probabilities of the held-out logits. Where the classes are to count the same, so they do here.
    #[allow(clippy::cast_precision_loss)]
    fn calibrator(
        &self,
        held_out: &mut [f64],
        classes: &[usize],
        labels: usize,
        watch: &mut dyn Watch,
    ) -> Result<Calibrator> {
        let balanced = match self.options.algorithm() {
            Algorithm::NaiveBayes => self.options.word("prior") == "uniform",
            _ => self.options.word("class_weight") == "balanced",
        };
        let mut weights = vec![1.0; labels];
        if balanced {
            let mut sizes = vec![0_u32; labels];
            classes.iter().for_each(|&class| sizes[class] += 1);
            weights = sizes.iter().map(|&size| 1.0 / f64::from(size.max(1))).collect();
        }
        let weights = (self.options.word("calibration") == "vector").then_some(weights.as_slice());
        let mut check = || watch.step("calibrating", 0, 1);
        Calibrator::fit(held_out, classes, labels, weights, &mut check)
    }

    fn kept(&self) -> Kept {
        Kept {
            words: self.options.count("words"),
            chars: self.options.flag("chars"),
            min_texts: self.options.count("min_texts"),
        }
    }

    fn own_terms(&self, label_scores: &[Option<f64>]) -> Result<Vec<OwnTerm>> {
        if !self.own_terms.is_empty() && self.options.algorithm() == Algorithm::RandomForest {
            return Err(own_terms::forest_takes_none());
        }
        OwnTerm::all(self.own_terms, label_scores)
    }

    /// Bytes that the logits of all rows take, and that a fit takes.
    fn fit_memory(&self, classes: usize, vocabulary: &Vocabulary, rows: &Rows) -> (usize, usize) {
        let held_out = rows.len() * (classes * size_of::<f64>() + PER_ROW);
        let fit = match self.options.algorithm() {
            Algorithm::NaiveBayes => NaiveBayes::new(self.options, classes).memory(vocabulary.len()),
            Algorithm::LogisticRegression => {
                LogisticRegression::new(self.options, classes, vocabulary).memory(rows)
            }
            Algorithm::RandomForest => {
                random_forest::RandomForest::new(self.options, classes, self.seed).memory(rows)
            }
        };
        (held_out, fit)
    }

    /// How many helpers there is memory for beside what is held: one fit is this thread's, and a finished one is kept.
    fn helpers_within(&self, memory: Memory, held: usize, fit: usize) -> usize {
        let most = self.helpers.map_or(0, |helpers| helpers.most).min(self.options.count("folds") as usize);
        let has_room = |helpers: &usize| memory.takes("fits at once", held, (helpers + 2) * fit).is_ok();
        (1..=most).take_while(has_room).last().unwrap_or(0)
    }

    /// Bytes that it takes to write the model, beside what was read. Of that some is gone when most is held: the rows and,
    /// after them, the fitted weights.
    fn model_memory(&self, classes: usize, vocabulary: &Vocabulary, rows: &Rows, lexicon: &Lexicon) -> usize {
        let hashes = if self.grows { Hashes::Kept } else { Hashes::Dropped };
        let terms = vocabulary.len() * classes * size_of::<f64>();
        let (weights, counts) = match self.options.algorithm() {
            Algorithm::NaiveBayes => (terms, terms),
            Algorithm::LogisticRegression => (terms, 0),
            Algorithm::RandomForest => {
                let forest = random_forest::RandomForest::new(self.options, classes, self.seed);
                return forest.model_memory(vocabulary, rows).saturating_sub(rows.size());
            }
        };
        let entries = table::memory(vocabulary, rows, lexicon, classes);
        let model = table::model_memory(vocabulary, rows, lexicon, classes, hashes);
        counts + entries + weights.max(model.saturating_sub(rows.size()))
    }

    fn learning(&self, counts: Option<&(NaiveBayes, Counts)>, temperature: f64) -> Learning {
        match counts {
            Some((parameters, counts)) => Learning::NaiveBayes {
                parameters: parameters.clone(),
                reference: parameters.totals(counts),
                totals: parameters.totals(counts),
                temperature,
            },
            None => Learning::Logistic { rate: self.options.number("learning_rate") },
        }
    }

    fn card(&self, labels: Vec<String>, label_scores: Vec<Option<f64>>, report: &Report) -> Card {
        Card {
            name: self.name.to_owned(),
            version: self.version,
            algorithm: self.options.algorithm().name().to_owned(),
            language: self.options.word("language").to_owned(),
            labels,
            label_scores,
            metrics: format!(
                "{{\"accuracy\": {:.4}, \"macro_f1\": {:.4}, \"macro_recall\": {:.4}, \"log_loss\": {:.4}, \
                 \"calibration_error\": {:.4}, \"measured_on\": \"{} held-out folds of the training rows\"}}",
                report.confusion.accuracy(),
                report.confusion.macro_f1(),
                report.confusion.macro_recall(),
                report.log_loss,
                report.calibration.error(),
                self.options.count("folds")
            ),
            no_grams: !self.kept().chars,
            ..Card::default()
        }
    }
}

/// Every label has rows.
fn check_classes(classes: &[usize], labels: usize) -> Result<()> {
    let Some(class) = (0..labels).find(|class| !classes.contains(class)) else { return Ok(()) };
    let hint = "Give labelled texts of every label.";
    Err(Error::new(ErrorKind::Parameter, format!("label number {} has no rows", class + 1), hint))
}

#[allow(clippy::cast_precision_loss)]
fn report(held_out: &[f64], classes: &[usize], labels: usize, temperature: f64) -> Report {
    let mut confusion = Confusion::new(labels);
    let mut calibration = Calibration::default();
    let mut loss = 0.0;
    for (logits, &class) in held_out.chunks_exact(labels).zip(classes) {
        let mut probabilities: Vec<f64> = logits.iter().map(|logit| logit / temperature).collect();
        let predicted = softmax(&mut probabilities);
        confusion.add(class, predicted);
        calibration.add(probabilities[predicted], predicted == class);
        loss -= libm::log(probabilities[class].max(f64::MIN_POSITIVE));
    }
    Report {
        confusion,
        calibration,
        log_loss: loss / classes.len().max(1) as f64,
        temperature,
        iterations: 0,
        converged: true,
    }
}
