//! Trained models that this session has opened.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::sharing::{self, Bytes};
use super::{Model, Reference};
use crate::errors::{Failure, Result, Shown};
use crate::registry::lookup;
use crate::registry::moment::{self, Moment};
use crate::settings;

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// Names as they were resolved since the registry last changed, and opened models by their parts.
#[derive(Default)]
struct Cache {
    generation: u64,
    registry: Option<pgrx::pg_sys::Oid>,
    names: HashMap<String, Known>,
    /// What names stood for that have come to stand for something else since a statement began that still runs, or a cursor.
    passed: HashMap<String, Known>,
    opened: Vec<Opened>,
    clock: u64,
    /// The base that was refreshed last: the next refresh needs it again, and reading it costs what the model is large.
    refreshed: Option<(i64, Arc<Bytes>)>,
}

/// What a name was resolved to.
struct Known {
    model: Rc<Model>,
    /// The place of the snapshot by which it was: for those that are earlier it may not stand, and what has passed stands for this alone.
    snapshot: moment::Place,
}

struct Opened {
    model: Rc<Model>,
    parts: Vec<i64>,
    used: u64,
}

/// The model that a reference names in the registry.
pub(super) fn find(reference: &Reference<'_>, written: &str) -> Result<Rc<Model>> {
    let moment = moment::now();
    if let Some(model) = CACHE.with_borrow(|cache| cache.known(written, moment)) {
        return Ok(model);
    }
    let registry = moment::watch().map_err(|_| Failure::unknown_model(Shown(reference.name)))?;
    renew(moment.generation, registry)?;
    resolve(reference, AsOf::Statement, |found, generation| {
        renew(generation, registry)?;
        let model = version(reference, found)?;
        let known = Known { model: model.clone(), snapshot: moment.snapshot };
        CACHE.with_borrow_mut(|cache| {
            let names = if found.passed { &mut cache.passed } else { &mut cache.names };
            names.insert(written.to_owned(), known);
        });
        Ok(model)
    })
}

/// The model that a reference names now, whatever it has named for the statement.
pub(super) fn find_now(reference: &Reference<'_>) -> Result<Rc<Model>> {
    let registry = moment::watch()?;
    resolve(reference, AsOf::Now, |found, generation| {
        renew(generation, registry)?;
        version(reference, found)
    })
}

/// The version that was found, opened.
fn version(reference: &Reference<'_>, found: &Found) -> Result<Rc<Model>> {
    let parts = found.parts.as_deref().ok_or_else(|| unknown_version(reference))?;
    let version_name = format!("{}@{}", reference.name, found.number);
    if let Some(model) = CACHE.with_borrow_mut(|cache| cache.opened(&version_name, parts)) {
        return Ok(model);
    }
    let model = Rc::new(open(version_name, parts)?);
    CACHE.with_borrow_mut(|cache| cache.keep(model.clone(), parts.to_vec()));
    Ok(model)
}

/// The bytes of all parts of the version that a reference names in the registry.
pub(super) fn parts(reference: &Reference<'_>) -> Result<Vec<Vec<u8>>> {
    resolve(reference, AsOf::Statement, |found, _| {
        let parts = found.parts.as_deref().ok_or_else(|| unknown_version(reference))?;
        parts.iter().map(|&part| lookup::part(part)).collect()
    })
}

/// The version that a reference names in the registry now, if it is there.
pub(super) fn current_version(reference: &Reference<'_>) -> Option<String> {
    let number = number(reference).ok()?;
    lookup::parts(reference.name, number).ok()?.map(|_| format!("{}@{number}", reference.name))
}

/// When the registry is to have said something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AsOf {
    Now,
    /// When the statement began, so that all rows of it are scored by one version.
    Statement,
}

/// What the registry says of a reference: a number, and the parts of the version if there is one of this number.
#[derive(PartialEq, Eq)]
struct Found {
    number: i32,
    parts: Option<Vec<i64>>,
    /// Whether it says otherwise by now.
    passed: bool,
}

/// Looks up which version a reference names, and hands it to `work`, with a generation that is no newer.
///
/// Each look-up sees what is committed then. So another session may drop a version between the look-up of its name and those of
/// its parts: a failure stands only where the registry still says the same.
fn resolve<T>(
    reference: &Reference<'_>,
    as_of: AsOf,
    mut work: impl FnMut(&Found, u64) -> Result<T>,
) -> Result<T> {
    let mut failed: Option<(Found, Failure)> = None;
    loop {
        // What a look-up sees is at least as new as this, or has passed.
        let generation = moment::now().generation;
        let now = look_up(reference);
        let passed =
            if failed.is_none() && as_of == AsOf::Statement { passed(reference, &now)? } else { None };
        let found = passed.map_or(now, Ok)?;
        if let Some((before, failure)) = failed
            && before == found
        {
            return Err(failure);
        }
        match work(&found, generation) {
            Ok(done) => return Ok(done),
            Err(failure) => failed = Some((found, failure)),
        }
    }
}

/// What the registry says now.
fn look_up(reference: &Reference<'_>) -> Result<Found> {
    let number = number(reference)?;
    Ok(Found { number, parts: lookup::parts(reference.name, number)?, passed: false })
}

/// What it said when the statement began, if that was a version, and not the one that it says `now`.
fn passed(reference: &Reference<'_>, now: &Result<Found>) -> Result<Option<Found>> {
    let number = match reference.number {
        None => lookup::deployed_in_statement(reference.name)?,
        Some(number) => number.parse().ok(),
    };
    let is_now = |number| now.as_ref().is_ok_and(|now| now.number == number && now.parts.is_some());
    let Some(number) = number.filter(|&number| !is_now(number)) else { return Ok(None) };
    let parts = lookup::parts_in_statement(reference.name, number)?;
    Ok(parts.map(|parts| Found { number, parts: Some(parts), passed: true }))
}

/// Forgets what may have changed, and lets go of models that are gone, with the files they were shared by: whoever dropped them may
/// have been unable to.
fn renew(generation: u64, registry: pgrx::pg_sys::Oid) -> Result<()> {
    if !CACHE.with_borrow_mut(|cache| cache.renew(generation, registry)) {
        return Ok(());
    }
    for base in CACHE.with_borrow(Cache::bases) {
        if !lookup::has_part(base)? {
            CACHE.with_borrow_mut(|cache| cache.forget(base));
            sharing::remove(base)?;
        }
    }
    Ok(())
}

/// Opens a version. A base that another version of the cache has is not looked for again.
fn open(version_name: String, parts: &[i64]) -> Result<Model> {
    let Some((&base, deltas)) = parts.split_first() else { return Err(Failure::registry_damaged()) };
    let deltas = deltas.iter().map(|&part| lookup::part(part)).collect::<Result<Vec<_>>>()?;
    let bytes = match CACHE.with_borrow(|cache| cache.base(base)) {
        Some(bytes) => bytes,
        None => Arc::new(sharing::open(base)?),
    };
    match Model::open_parts(version_name.clone(), bytes.clone(), &deltas) {
        // Shared bytes may have changed since they were checked.
        Err(_) => Model::open_parts(version_name, sharing::checked(base, bytes)?, &deltas),
        opened => opened,
    }
}

/// The bytes of a base that is to be refreshed; their checksum holds.
pub(super) fn base(part: i64) -> Result<Arc<Bytes>> {
    let registry = lookup::relation(c"model")?;
    CACHE.with_borrow_mut(|cache| cache.renew(cache.generation, registry));
    if let Some(bytes) = CACHE.with_borrow(|cache| cache.kept(part)) {
        return Ok(bytes);
    }
    let bytes = match CACHE.with_borrow(|cache| cache.base(part)) {
        Some(bytes) => bytes,
        None => Arc::new(sharing::open(part)?),
    };
    sharing::checked(part, bytes)
}

/// Keeps the bytes of a base whose checksum was seen to hold, in place of those kept before.
pub(super) fn keep_base(part: i64, bytes: Arc<Bytes>) {
    CACHE.with_borrow_mut(|cache| {
        cache.refreshed = (bytes.len() <= settings::cache_size()).then_some((part, bytes));
    });
}

/// The models that this session holds open.
pub(super) fn opened() -> Vec<Rc<Model>> {
    CACHE.with_borrow(|cache| cache.opened.iter().map(|opened| opened.model.clone()).collect())
}

fn number(reference: &Reference<'_>) -> Result<i32> {
    let name = lookup::name(reference.name)?.filter(|name| name.last > 0);
    let name = name.ok_or_else(|| Failure::unknown_model(Shown(reference.name)))?;
    match reference.number {
        // The name of a dropped model stays, without versions.
        None if name.current.is_none() && !lookup::has_version(reference.name)? => {
            Err(Failure::unknown_model(Shown(reference.name)))
        }
        None => name.current.ok_or_else(|| Failure::not_deployed(Shown(reference.name))),
        Some(number) => number.parse().map_err(|_| unknown_version(reference)),
    }
}

fn unknown_version(reference: &Reference<'_>) -> Failure {
    Failure::unknown_version(Shown(reference.name), Shown(reference.number.unwrap_or_default()))
}

impl Cache {
    /// What a name was resolved to, if that stands.
    fn known(&self, written: &str, moment: Moment) -> Option<Rc<Model>> {
        if self.generation != moment.generation {
            return None;
        }
        let now = self.names.get(written).filter(|known| known.snapshot <= moment.snapshot);
        let passed = || self.passed.get(written).filter(|known| known.snapshot == moment.snapshot);
        now.or_else(passed).map(|known| known.model.clone())
    }

    /// Forgets what may have changed, and says whether anything may have. Versions never change, but in another registry the
    /// same numbers are others.
    fn renew(&mut self, generation: u64, registry: pgrx::pg_sys::Oid) -> bool {
        let changed = self.generation != generation;
        if changed {
            self.forget_names();
            self.generation = generation;
        }
        if self.registry.replace(registry) != Some(registry) {
            self.forget_names();
            self.opened.clear();
            self.refreshed = None;
        }
        changed
    }

    fn forget_names(&mut self) {
        self.names.clear();
        self.passed.clear();
    }

    /// The bases that are held.
    fn bases(&self) -> BTreeSet<i64> {
        let opened = self.opened.iter().filter_map(|opened| opened.parts.first().copied());
        opened.chain(self.refreshed.iter().map(|(part, _)| *part)).collect()
    }

    /// Lets go of all that rests on a base.
    fn forget(&mut self, base: i64) {
        self.opened.retain(|opened| opened.parts.first() != Some(&base));
        self.refreshed = self.refreshed.take().filter(|(part, _)| *part != base);
    }

    fn opened(&mut self, version_name: &str, parts: &[i64]) -> Option<Rc<Model>> {
        self.clock += 1;
        let clock = self.clock;
        let found = self
            .opened
            .iter_mut()
            .find(|opened| opened.model.version_name() == version_name && opened.parts == parts)?;
        found.used = clock;
        Some(found.model.clone())
    }

    /// The bytes of a part that an opened version has for its base, or that was refreshed last.
    fn base(&self, part: i64) -> Option<Arc<Bytes>> {
        let same = |opened: &&Opened| opened.parts.first() == Some(&part);
        let opened = self.opened.iter().find(same).and_then(|opened| opened.model.base.clone());
        opened.or_else(|| self.kept(part))
    }

    /// The bytes of a part that was refreshed last.
    fn kept(&self, part: i64) -> Option<Arc<Bytes>> {
        self.refreshed.iter().find(|(kept, _)| *kept == part).map(|(_, bytes)| bytes.clone())
    }

    /// Bytes that the opened versions hold; a base that several share counts once.
    fn size(&self) -> usize {
        let mut bases = BTreeSet::new();
        let size = |opened: &Opened| {
            let (all, base) =
                (opened.model.card().size(), opened.model.base.as_ref().map_or(0, |base| base.len()));
            if opened.parts.first().is_none_or(|base| bases.insert(*base)) { all } else { all - base }
        };
        let opened: usize = self.opened.iter().map(size).sum();
        let refreshed = self.refreshed.iter().filter(|(part, _)| !bases.contains(part));
        opened + refreshed.map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// Keeps a model, and lets go of those longest not asked for until all fit into `sentiment.cache_size`.
    fn keep(&mut self, model: Rc<Model>, parts: Vec<i64>) {
        self.opened.sort_by_key(|opened| opened.used);
        self.opened.push(Opened { model, parts, used: self.clock });
        // The newest stays, however large it is: it is about to be used.
        while self.opened.len() > 1 && self.size() > settings::cache_size() {
            let gone = self.opened.remove(0);
            for names in [&mut self.names, &mut self.passed] {
                names.retain(|_, known| !Rc::ptr_eq(&known.model, &gone.model));
            }
        }
    }
}
