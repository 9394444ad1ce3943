//! From a model argument to an open model: the one place that opens models.

mod cache;
mod sharing;

pub use sharing::remove_at_commit;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use sentiment_core::{Predictor, Reading, Reason, Scratch, TokenView, shipped};

use crate::errors::{Failure, Result, Shown};
use crate::settings;
use crate::text::{self, Body, StoredText};
use sharing::Bytes;

/// An open version of a model.
#[derive(Debug)]
pub struct Model {
    /// Before the bytes that it borrows from, so that it goes first.
    predictor: Predictor<'static>,
    version_name: String,
    /// The base of a model from the registry, which its refreshed versions share; a shipped one is in the library.
    base: Option<Arc<Bytes>>,
    /// Which of the session's models this is: no other has the number, not even after it.
    number: u64,
    /// Texts read in this session. Atomic since shipped models are shared in principle; a backend has one thread.
    texts: AtomicU64,
}

/// A model in use.
#[derive(Clone, Debug)]
pub enum ModelRef {
    /// What ships is part of the library, and stays.
    Shipped(&'static Model),
    /// What was trained lives as long as somebody uses it.
    Trained(Rc<Model>),
    /// English, or the model of many languages for a text that is not.
    Auto { english: &'static Model, others: &'static Model },
}

/// The name that stands for [`ModelRef::Auto`].
pub const AUTO: &str = "auto";

/// A text is taken for English if the English model knows this share of its words: 98 of 100 English tweets are above it, and
/// of tweets in French, Italian, Portuguese and Spanish two of 100, in German five. It costs nothing, for English reads first.
const KNOWN_IN_ENGLISH: f64 = 0.8;

impl ModelRef {
    /// Reads a text, and hands what it comes to and the model that read it to `answer`. `None` where the text holds nothing to
    /// score.
    pub fn read<T>(&self, text: StoredText, answer: impl FnOnce(&Model, Reading<'_>) -> T) -> Option<T> {
        text.read(|body| {
            let Self::Auto { english, others } = self else {
                return self.read_body(body, answer);
            };
            READER.with_borrow_mut(|reader| match english.read_with(body, reader) {
                Some(reading) if reading.coverage < KNOWN_IN_ENGLISH => {
                    others.read_body(body, |model, reading| answer(model, reading))
                }
                reading => reading.map(|reading| answer(english, reading)),
            })
        })
    }

    /// The model that reads this text.
    pub fn reader(&self, body: Body<'_>) -> &Model {
        match self {
            Self::Auto { english, others } => {
                let coverage = english.read_body(body, |_, reading| reading.coverage);
                if coverage.is_some_and(|coverage| coverage < KNOWN_IN_ENGLISH) { others } else { english }
            }
            model => model.deref(),
        }
    }

    /// The versions that may answer, the usual one first.
    pub fn versions(&self) -> Vec<&str> {
        match self {
            Self::Auto { english, others } => vec![english.version_name(), others.version_name()],
            model => vec![model.version_name()],
        }
    }

    /// What names this model to a function: a version, or `auto`.
    pub fn reference(&self) -> &str {
        if matches!(self, Self::Auto { .. }) { AUTO } else { self.version_name() }
    }
}

impl Deref for ModelRef {
    type Target = Model;

    fn deref(&self) -> &Model {
        match self {
            Self::Shipped(model) => model,
            Self::Trained(model) => model,
            Self::Auto { english, .. } => english,
        }
    }
}

thread_local! {
    /// What every reading of this session reuses.
    static READER: RefCell<Reader> = RefCell::default();
    /// The same, for a text that is read a second time.
    static FURTHER_READER: RefCell<Reader> = RefCell::default();
}

/// Buffers, and what was read with them last: a row is often asked for label, score and probabilities one after the other.
#[derive(Default)]
struct Reader {
    scratch: Scratch,
    /// The model that read, if that went well, and the text.
    model: Option<u64>,
    bytes: Vec<u8>,
    cut: bool,
}

impl Reader {
    /// Reads a text, unless it was read just now.
    fn read(&mut self, model: &Model, body: Body<'_>) -> Option<Reading<'_>> {
        let (bytes, cut) = (body.bytes(), body.is_cut());
        if self.model != Some(model.number) || self.cut != cut || self.bytes != bytes {
            self.model = None;
            model.predictor.read(body.text(), &mut self.scratch);
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            (self.cut, self.model) = (cut, Some(model.number));
        }
        self.scratch.reading()
    }

    /// The buffers for something else than a reading.
    fn scratch(&mut self) -> &mut Scratch {
        self.model = None;
        &mut self.scratch
    }
}

impl Model {
    /// The model that an argument asks for: a name, a frozen version, or with NULL what `sentiment.default_model` says.
    pub fn named(argument: Option<StoredText>) -> Result<ModelRef> {
        match argument {
            Some(reference) => reference.read(|body| Self::by_name(&body.to_str())),
            None => Self::by_setting(),
        }
    }

    /// The frozen version that an argument asks for. A name without a number will not do: its answers may change.
    pub fn frozen(argument: Option<StoredText>) -> Result<ModelRef> {
        let Some(reference) = argument else { return Err(Failure::null_argument("model_version")) };
        reference.read(|body| {
            let written = body.to_str();
            match Reference::parse(&written)? {
                Reference { name: AUTO, .. } => Err(Failure::auto_has_no_version()),
                Reference { name, number: None } => Err(Failure::version_needed(Shown(name))),
                frozen => frozen.find(&written),
            }
        })
    }

    /// As [`Model::named`], for a name that a trigger carries.
    pub fn by_name(reference: &str) -> Result<ModelRef> {
        Reference::parse(reference)?.find(reference)
    }

    /// The version of a trained model that is deployed now, also where the statement began long before.
    pub fn deployed_now(name: &str) -> Result<ModelRef> {
        cache::find_now(&Reference::parse(name)?).map(ModelRef::Trained)
    }

    /// The model that scores where none is named.
    pub fn by_setting() -> Result<ModelRef> {
        settings::with_default_model(|name| {
            // What ships has plain names, the same in every encoding, and is found without taking the name apart: a row's cost counts.
            let found = match Shipped::newest(name.to_bytes()) {
                Some(shipped) => shipped.open().map(ModelRef::Shipped),
                None => Self::by_name(&text::string(name)),
            };
            found.map_err(Failure::of_default_model)
        })
    }

    /// Opens a model of the library's own: the tests have seen its checksum hold, so no session reads it through.
    fn open(bytes: &'static [u8]) -> Result<Self> {
        let predictor = Predictor::open_unchecked(bytes)?;
        let version_name = format!("{}@{}", predictor.name(), predictor.version());
        Ok(Self::of(predictor, version_name, None))
    }

    /// Opens a version from its base, whose checksum was seen to hold, and its deltas.
    fn open_parts(version_name: String, base: Arc<Bytes>, deltas: &[Vec<u8>]) -> Result<Self> {
        // SAFETY: the predictor borrows from the heap or a mapping, where the bytes stay as long as anybody holds them; the
        // model does, never changes them, hands out no `'static` borrow of them, and drops the predictor first.
        let bytes: &'static [u8] = unsafe { std::slice::from_raw_parts(base.as_ptr(), base.len()) };
        let deltas: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
        let predictor = Predictor::open_parts_unchecked(bytes, &deltas)?;
        Ok(Self::of(predictor, version_name, Some(base)))
    }

    fn of(predictor: Predictor<'static>, version_name: String, base: Option<Arc<Bytes>>) -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        Self { predictor, version_name, base, number, texts: AtomicU64::new(0) }
    }

    /// Texts that this session has had the model read.
    pub fn texts(&self) -> u64 {
        self.texts.load(Ordering::Relaxed)
    }

    /// What is known of the model: its labels, figures; the name of a shipped one.
    pub fn card(&self) -> &Predictor<'_> {
        &self.predictor
    }

    /// The bytes, if they are part of the library.
    pub fn shipped_bytes(&self) -> Option<&'static [u8]> {
        let same = |&&(name, number, _): &&(&str, u32, &[u8])| {
            name == self.predictor.name() && number == self.predictor.version()
        };
        shipped::all().iter().find(same).filter(|_| self.base.is_none()).map(|&(_, _, bytes)| bytes)
    }

    /// The version as SQL writes it: `name@number`.
    pub fn version_name(&self) -> &str {
        &self.version_name
    }

    /// The text of a label that a reading names by its index.
    pub fn label(&self, class: usize) -> &str {
        self.predictor.labels().get(class).map_or("", String::as_str)
    }

    /// The index of a label.
    pub fn class(&self, label: &str) -> Result<usize> {
        let labels = self.predictor.labels();
        let class = labels.iter().position(|known| known == label);
        class.ok_or_else(|| Failure::unknown_label(Shown(label), &self.version_name))
    }

    /// Reads a text and hands what it comes to to `answer`.
    fn read_body<T>(&self, body: Body<'_>, answer: impl FnOnce(&Self, Reading<'_>) -> T) -> Option<T> {
        let read = |reader: &mut Reader| self.read_with(body, reader).map(|reading| answer(self, reading));
        READER.with(|reader| match reader.try_borrow_mut() {
            Ok(mut reader) => read(&mut reader),
            // The text was just read by another model, whose reading is still held.
            Err(_) => FURTHER_READER.with_borrow_mut(read),
        })
    }

    fn read_with<'s>(&self, body: Body<'_>, reader: &'s mut Reader) -> Option<Reading<'s>> {
        self.texts.store(self.texts() + 1, Ordering::Relaxed);
        reader.read(self, body)
    }

    /// Why a text gets its label.
    pub fn explain(&self, body: Body<'_>) -> Vec<Reason> {
        READER.with_borrow_mut(|reader| self.predictor.explain(body.text(), reader.scratch()))
    }

    /// The tokens of a text.
    pub fn tokens(&self, body: Body<'_>) -> Vec<TokenView> {
        READER.with_borrow_mut(|reader| self.predictor.tokens(body.text(), reader.scratch()))
    }
}

/// The bytes of all parts of a version from the registry, the base first.
pub fn parts(reference: &str) -> Result<Vec<Vec<u8>>> {
    cache::parts(&Reference::parse(reference)?)
}

/// The bytes of a base that is to be refreshed.
pub fn base(part: i64) -> Result<Arc<Bytes>> {
    cache::base(part)
}

/// Keeps them for the next refresh; their checksum was seen to hold.
pub fn keep_base(part: i64, bytes: Arc<Bytes>) {
    cache::keep_base(part, bytes);
}

/// The versions that this session has used or opened.
pub fn in_use() -> Vec<ModelRef> {
    let opened = SHIPPED.iter().filter_map(|shipped| shipped.model.get()?.as_ref().ok());
    let used = opened.filter(|model| model.texts() > 0).map(ModelRef::Shipped);
    used.chain(cache::opened().into_iter().map(ModelRef::Trained)).collect()
}

thread_local! {
    /// Texts that versions of a model had read which this session has closed: those of a name in one sum, so that a session
    /// that follows a model for ever stays bounded.
    static CLOSED: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

impl Drop for Model {
    fn drop(&mut self) {
        // A session that ends has nobody to tell.
        let _ = CLOSED.try_with(|closed| count(self, &mut closed.borrow_mut()));
    }
}

/// Adds what a version has read to the sum of its name.
fn count(model: &Model, sums: &mut BTreeMap<String, u64>) {
    let name = model.version_name.rsplit_once('@').map_or("", |(name, _)| name);
    if model.texts() > 0 {
        *sums.entry(name.to_owned()).or_default() += model.texts();
    }
}

/// Texts that this session has had each model read, by whichever version.
pub fn texts_by_name() -> BTreeMap<String, u64> {
    let mut sums = CLOSED.with_borrow(Clone::clone);
    in_use().iter().for_each(|model| count(model, &mut sums));
    sums
}

/// A version that ships. What it is called is known before it is opened, which each is at a session's first use of it.
struct Shipped {
    name: &'static str,
    number: u32,
    bytes: &'static [u8],
    model: OnceLock<Result<Model>>,
}

static SHIPPED: LazyLock<Vec<Shipped>> = LazyLock::new(|| {
    let closed = |&(name, number, bytes)| Shipped { name, number, bytes, model: OnceLock::new() };
    shipped::all().iter().map(closed).collect()
});

impl Shipped {
    fn open(&'static self) -> Result<&'static Model> {
        self.model.get_or_init(|| Model::open(self.bytes)).as_ref().map_err(Failure::clone)
    }

    fn newest(name: &[u8]) -> Option<&'static Self> {
        SHIPPED.iter().rev().find(|shipped| shipped.name.as_bytes() == name)
    }
}

/// The shipped versions, the newest of a name last.
pub fn shipped() -> Result<Vec<&'static Model>> {
    SHIPPED.iter().map(Shipped::open).collect()
}

/// The version that a model as a user names it stands for now. None where there is none, and for `auto`, which is several.
pub fn current_version(reference: &str) -> Option<String> {
    let parsed = Reference::parse(reference).ok().filter(|parsed| parsed.name != AUTO)?;
    let Some(newest) = Shipped::newest(parsed.name.as_bytes()) else {
        return cache::current_version(&parsed);
    };
    let number = parsed.number.map_or(Some(newest.number), |number| number.parse().ok());
    let ships = |shipped: &&Shipped| shipped.name == parsed.name && Some(shipped.number) == number;
    SHIPPED.iter().find(ships).map(|shipped| format!("{}@{}", shipped.name, shipped.number))
}

/// Whether a model of this name ships.
pub fn ships(name: &str) -> bool {
    Shipped::newest(name.as_bytes()).is_some()
}

/// A model as a user names it.
struct Reference<'a> {
    name: &'a str,
    number: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Takes `name` or `name@number` apart. Numbers are written one way only, so that equal versions are equal texts.
    fn parse(reference: &'a str) -> Result<Self> {
        let Some((name, number)) = reference.rsplit_once('@') else {
            return Ok(Self { name: reference, number: None });
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        if name.is_empty() || number.is_empty() || !digits || number.starts_with('0') {
            return Err(Failure::malformed_version(Shown(reference)));
        }
        if name == AUTO {
            return Err(Failure::auto_has_no_version());
        }
        Ok(Self { name, number: Some(number) })
    }

    /// The version asked for, or the current one of the name. Shipped names are looked for first: they cost nothing, and
    /// nothing in the registry has one of them.
    fn find(&self, written: &str) -> Result<ModelRef> {
        if self.name == AUTO && self.number.is_none() {
            let newest = |name: &str| {
                Shipped::newest(name.as_bytes()).ok_or_else(|| Failure::unknown_model(Shown(name)))?.open()
            };
            return Ok(ModelRef::Auto { english: newest("english")?, others: newest("multilingual")? });
        }
        let Some(newest) = Shipped::newest(self.name.as_bytes()) else {
            return cache::find(self, written).map(ModelRef::Trained);
        };
        let Some(number) = self.number else { return newest.open().map(ModelRef::Shipped) };
        let wanted = number.parse().ok();
        let found =
            SHIPPED.iter().find(|shipped| shipped.name == self.name && Some(shipped.number) == wanted);
        let found = found.ok_or_else(|| Failure::unknown_version(Shown(self.name), Shown(number)))?;
        found.open().map(ModelRef::Shipped)
    }
}
