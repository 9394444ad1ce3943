//! `train_sentiment()`: from labelled rows to a version of a model.

use std::time::Instant;

use pgrx::{IntoDatum, direct_function_call, pg_sys};
use sentiment_core::drift::Profile;
use sentiment_core::train::{Algorithm, Corpus, Evaluation, Options, Split, Trained, Training};
use sentiment_core::{Predictor, Scratch, Text};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::{Failure, Result};
use crate::feedback;
use crate::lifecycle::model_argument;
use crate::memory;
use crate::models::{Model, ModelRef};
use crate::progress::Progress;
use crate::registry::store::{self, NewVersion, Part};
use crate::registry::{as_owner, caller, lookup};
use crate::result::record;
use crate::settings;
use crate::source::Source;
use crate::sql::Access;
use crate::target::refuse_read_only;
use crate::text::{self, StoredText};
use crate::threads;

sql_functions!(train_sentiment);

/// When a new version is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deploy {
    IfBetter,
    Always,
    Never,
}

impl Deploy {
    fn named(name: &str) -> Result<Self> {
        match name {
            "if_better" => Ok(Self::IfBetter),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(Failure::deploy_unknown()),
        }
    }
}

/// Rows between two reports: one costs as much as a few words do.
const ROWS: usize = 8;

/// What a call asks for.
struct Request {
    model: String,
    options: Options,
    test_fraction: f64,
    seed: u64,
    deploy: Deploy,
}

impl Request {
    fn of(call: &Call) -> Result<Self> {
        let model = model_argument(call, 0)?;
        store::check_name(&model)?;
        let string = |index: usize, name: &str| {
            let value = call.text(index).ok_or_else(|| Failure::null_argument(name))?;
            Ok::<_, Failure>(value.read(|value| value.to_str().into_owned()))
        };
        let algorithm = Algorithm::named(&string(4, "algorithm")?)?;
        let options = call.datum(5).ok_or_else(|| Failure::null_argument("options"))?;
        // SAFETY: the install script declares the argument as jsonb; its output is a C string.
        let options: Option<std::ffi::CString> = unsafe {
            direct_function_call::<&std::ffi::CStr>(pg_sys::jsonb_out, &[Some(options)]).map(Into::into)
        };
        let options = Options::parse(algorithm, &text::string(&options.unwrap_or_default()))?;
        let seed: i64 = call.required(7, "seed")?;
        Ok(Self {
            model,
            options,
            test_fraction: call.required(6, "test_fraction")?,
            seed: seed.cast_unsigned(),
            deploy: Deploy::named(&string(8, "deploy")?)?,
        })
    }

    /// Gathers the rows, and what was filed by users; and the numbers of what was filed and is trained on.
    fn gather(&self, source: &Source<'_>, progress: &mut Progress) -> Result<(Corpus, Vec<i64>)> {
        let mut corpus = Corpus::new(settings::train_memory());
        let mut rows = 0;
        source.each(|body, label| {
            if rows % ROWS == 0 {
                progress.step("reading rows", rows, 0);
            }
            rows += 1;
            let (Some(body), Some(label)) = (body, label) else {
                corpus.skip(1);
                return Ok(());
            };
            let label = label_of(label);
            Ok(body.read(|body| corpus.add(body.bytes(), &label))?)
        })?;
        let (mut filed, mut others) = (Vec::new(), 0);
        if self.options.feedback() {
            as_owner(Access::Read, |session| {
                feedback::each(session, &self.model, |id, body, label, learned| {
                    if rows % ROWS == 0 {
                        progress.step("reading rows", rows, 0);
                    }
                    rows += 1;
                    let label = label_of(label);
                    // The rows say which labels there are: somebody's slip of the pen makes no class of its own.
                    if !corpus.has_label(&label) {
                        others += 1;
                        return Ok(());
                    }
                    filed.push(id);
                    // The deployed version would do better than it does on what a refresh has taught it.
                    let add = if learned { Corpus::add_learned } else { Corpus::add };
                    Ok(body.read(|body| add(&mut corpus, body.bytes(), &label))?)
                })
            })?;
        }
        corpus.skip(others);
        if others > 0 {
            pgrx::notice!("examples left out, for no row has their label: {others}");
        }
        Ok((corpus, filed))
    }
}

/// A row's label. It is read before the text is: a reading may use the session's buffer.
fn label_of(label: StoredText<'_>) -> String {
    label.read(|label| label.to_str().into_owned())
}

/// `train_sentiment(...)`.
fn train_sentiment(call: &Call) -> Answer {
    let started = Instant::now();
    refuse_read_only("train_sentiment()")?;
    let request = Request::of(call)?;
    let source = Source::of(call)?;
    let own_terms = as_owner(Access::Read, |session| feedback::own_terms(session, &request.model))?;
    let mut progress = Progress::begin(&request.model);
    let (corpus, filed) = request.gather(&source, &mut progress)?;
    let split = corpus.split(request.test_fraction, request.seed)?;
    let training = Training {
        name: "",
        version: 0,
        options: &request.options,
        lexicon: None,
        own_terms: &own_terms,
        seed: request.seed,
        memory: settings::train_memory(),
        helpers: threads::allowed(),
        grows: true,
    };
    let mut trained = training.run(&corpus, &split.train, &mut progress)?;
    if !trained.report.converged {
        pgrx::notice!(
            "the solver was stopped after {} iterations, before it converged",
            trained.report.iterations
        );
    }
    let outcome = Outcome::new(&request, &corpus, &split, &mut trained, &mut progress)?;
    progress.end();
    // To store the model takes twice its size: what the training has used makes room for it.
    drop((corpus, split));
    memory::give_back();
    let (number, deployed) = outcome.store(&request, &filed, &own_terms)?;
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    outcome.record(call, &format!("{}@{number}", request.model), deployed, milliseconds)
}

/// What a training came to, measured on the rows that were held out.
struct Outcome<'o> {
    bytes: &'o [u8],
    card: Predictor<'o>,
    figures: Evaluation,
    /// The deployed version's.
    previous: Option<Evaluation>,
    rows_test: usize,
    skipped: u64,
}

impl<'o> Outcome<'o> {
    fn new(
        request: &Request,
        corpus: &Corpus,
        split: &Split,
        trained: &'o mut Trained,
        progress: &mut Progress,
    ) -> Result<Self> {
        let mut measure = |model: &Predictor<'_>| measure(model, corpus, &split.test, progress);
        let rows_test = split.test.len();
        let (figures, metrics) = {
            let model = Predictor::open(&trained.bytes)?;
            let (figures, profile) = measure(&model)?;
            let metrics = profile.metrics(&figures, model.labels(), &format!("{rows_test} rows held out"));
            (figures, metrics)
        };
        trained.state_metrics(&metrics)?;
        // Locked until the transaction ends, so that what is measured here is what this version would take the place of.
        as_owner(Access::Write, |session| store::lock(session, &request.model))?;
        let previous = match lookup::name(&request.model)?.and_then(|name| name.current) {
            Some(_) => {
                let previous: ModelRef = Model::deployed_now(&request.model)?;
                Some(measure(previous.card())?.0)
            }
            None => None,
        };
        let card = Predictor::open(&trained.bytes)?;
        Ok(Self { bytes: &trained.bytes, card, figures, previous, rows_test, skipped: corpus.skipped() })
    }

    fn macro_f1(&self) -> f64 {
        self.figures.macro_average().f1
    }

    /// Stores the version of the model, which is locked, and deploys it if that was asked for. Feedback that it was trained on is not
    /// new any more once it is deployed.
    fn store(&self, request: &Request, filed: &[i64], own_terms: &[(String, f64)]) -> Result<(i32, bool)> {
        let (caller, options) = (caller(), request.options.to_json());
        let version = NewVersion {
            model: &request.model,
            parts: vec![Part::New(self.bytes)],
            origin: "train",
            options: &options,
            metrics: self.card.metrics(),
            caller: &caller,
        };
        let better =
            self.previous.as_ref().is_none_or(|previous| self.macro_f1() > previous.macro_average().f1);
        let deploys = match request.deploy {
            Deploy::IfBetter => better,
            Deploy::Always => true,
            Deploy::Never => false,
        };
        as_owner(Access::Write, |session| {
            let number = store::store(session, version, &self.card)?;
            store::keep_versions(session, &request.model, request.options.keep_versions())?;
            if deploys {
                store::deploy(session, &request.model, number, "train", &caller)?;
                if request.options.feedback() {
                    feedback::trained_on(session, &request.model, filed)?;
                }
                // Somebody may have set one since.
                let changed = feedback::own_terms(session, &request.model)? != own_terms;
                feedback::terms_changed(session, &request.model, changed)?;
            } else if request.options.feedback() {
                feedback::keep_for_deployment(session, &request.model, number, filed)?;
            }
            store::prune(session, &request.model, request.options.keep_versions())?;
            Ok((number, deploys))
        })
    }

    fn record(&self, call: &Call, version: &str, deployed: bool, milliseconds: f64) -> Answer {
        let count = |count: u64| i64::try_from(count).ok().into_datum();
        let columns = [
            Some(text::datum(version)),
            count(self.card.rows_train()),
            count(self.rows_test as u64),
            count(self.skipped),
            self.figures.accuracy().into_datum(),
            self.macro_f1().into_datum(),
            self.figures.macro_average().recall.into_datum(),
            self.figures.log_loss().into_datum(),
            self.figures.baseline_accuracy().into_datum(),
            self.previous.as_ref().map(|previous| previous.macro_average().f1).into_datum(),
            deployed.into_datum(),
            count(self.card.terms()),
            count(self.card.size() as u64),
            milliseconds.into_datum(),
        ];
        record(call, columns).map(Some)
    }
}

/// How a model does on some rows of a corpus.
fn measure(
    model: &Predictor<'_>,
    corpus: &Corpus,
    rows: &[u32],
    progress: &mut Progress,
) -> Result<(Evaluation, Profile)> {
    let mut evaluation = Evaluation::new(model.labels());
    let mut profile = Profile::new(model.labels().len());
    let mut scratch = Scratch::default();
    for (done, &at) in rows.iter().enumerate() {
        progress.step("measuring", done, rows.len());
        let (body, label) = corpus.row(at);
        if let Some(reading) = model.read(Text::new(body), &mut scratch) {
            evaluation.add(label, &reading)?;
            profile.add(&reading);
        }
    }
    Ok((evaluation, profile))
}
