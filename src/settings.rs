//! The settings `sentiment.*`. Any user may change them but those of the background worker, which are the server's; only
//! that worker needs the library preloaded.

use std::ffi::{CStr, CString, c_char, c_void};
use std::time::Duration;

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum, pg_guard, pg_sys};

/// What a trigger does with a row that it cannot score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum OnError {
    /// Store NULL and warn: the row matters more than its score.
    #[name = c"null"]
    Null,
    /// Refuse the row.
    #[name = c"raise"]
    Raise,
}

impl OnError {
    /// The policy by its name in a trigger's argument.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "null" => Some(Self::Null),
            "raise" => Some(Self::Raise),
            _ => None,
        }
    }
}

/// 64 MB in kB: several models of the size that ships.
const CACHE_SIZE_DEFAULT: i32 = 65_536;
/// Below this a cache holds no model at all.
const CACHE_SIZE_MIN: i32 = 1_024;
/// Stands for `maintenance_work_mem`.
const TRAIN_MEMORY_INHERIT: i32 = -1;
/// Ten seconds in ms: who waits longer wants to know.
const PROGRESS_INTERVAL_DEFAULT: i32 = 10_000;
/// Most bytes of any name in the server.
const NAME_BYTES: usize = 63;
/// What to do about a list of names that cannot be read.
const LIST_NAMES: &CStr =
    c"Separate names by commas. Close the double quotes around a name, and write a quote within them twice.";
/// As large as the server lets its own memory settings be.
const MEMORY_MAX: i32 = i32::MAX;

static DEFAULT_MODEL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"english"));
static CACHE_SIZE: GucSetting<i32> = GucSetting::<i32>::new(CACHE_SIZE_DEFAULT);
static TRAIN_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(TRAIN_MEMORY_INHERIT);
static ON_ERROR: GucSetting<OnError> = GucSetting::<OnError>::new(OnError::Null);
static PROGRESS_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(PROGRESS_INTERVAL_DEFAULT);
static REFRESH_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(0);
static REFRESH_DATABASES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Defines every setting and reserves the prefix, so that a misspelt one is refused.
pub fn define() {
    define_scoring();
    define_training();
    define_worker();
    reserve_prefix();
}

fn define_scoring() {
    GucRegistry::define_string_guc(
        c"sentiment.default_model",
        c"Sets the model that scores when a call names none.",
        c"A name (english), a frozen version (english@2), or auto, which chooses by language.",
        &DEFAULT_MODEL,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"sentiment.cache_size",
        c"Sets the memory that a session spends on keeping models open.",
        c"Shipped models are part of the library and are not counted.",
        &CACHE_SIZE,
        CACHE_SIZE_MIN,
        MEMORY_MAX,
        GucContext::Userset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_enum_guc(
        c"sentiment.on_error",
        c"Sets what sentiment_trigger() does with a row that cannot be scored.",
        c"null stores NULL and warns, raise refuses the row; a trigger's own on_error comes first.",
        &ON_ERROR,
        GucContext::Userset,
        GucFlags::default(),
    );
}

fn define_training() {
    GucRegistry::define_int_guc(
        c"sentiment.train_memory",
        c"Sets the memory that training a model may use.",
        c"-1 means the value of maintenance_work_mem.",
        &TRAIN_MEMORY,
        TRAIN_MEMORY_INHERIT,
        MEMORY_MAX,
        GucContext::Userset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"sentiment.progress_interval",
        c"Sets the least time between two NOTICEs of a training that say how far it is.",
        c"-1 turns them off.",
        &PROGRESS_INTERVAL,
        -1,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
}

fn define_worker() {
    GucRegistry::define_int_guc(
        c"sentiment.refresh_interval",
        c"Sets how often the background worker looks for new examples to learn from.",
        c"0 turns it off. The worker needs pg_sentiment in shared_preload_libraries.",
        &REFRESH_INTERVAL,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"sentiment.refresh_databases",
            c"Lists the databases whose models the background worker refreshes.",
            c"Names of databases, separated by commas; in double quotes where they hold commas or begin or end with blanks.",
            &REFRESH_DATABASES,
            GucContext::Sighup,
            GucFlags::default(),
            Some(check_databases),
            None,
            None,
        );
    }
}

/// Whether a list of databases can be read. Were it not refused, who set it would not learn that nothing is refreshed.
#[pg_guard]
unsafe extern "C-unwind" fn check_databases(
    list: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: the server hands a place that holds a C string, or none; and takes a hint that it only reads.
    unsafe {
        let reads = (*list).is_null() || names(&CStr::from_ptr(*list).to_string_lossy()).is_some();
        if !reads {
            pg_sys::GUC_check_errhint_string = LIST_NAMES.as_ptr().cast_mut();
        }
        reads
    }
}

/// Hands the name in `sentiment.default_model` to `read`, without copying it: a row's cost counts.
pub fn with_default_model<T>(read: impl FnOnce(&CStr) -> T) -> T {
    // SAFETY: the server keeps the setting's value alive until the setting changes, which no code that `read` runs does;
    // a string setting with a default is never a null pointer.
    read(unsafe { CStr::from_ptr(*DEFAULT_MODEL.as_ptr()) })
}

/// Bytes that a session spends on open models.
pub fn cache_size() -> usize {
    usize::try_from(CACHE_SIZE.get()).unwrap_or_default().saturating_mul(1024)
}

/// Bytes that a training may use.
pub fn train_memory() -> u64 {
    let own = TRAIN_MEMORY.get();
    // SAFETY: reads a variable of the server's.
    let kilobytes = if own < 0 { unsafe { pg_sys::maintenance_work_mem } } else { own };
    u64::try_from(kilobytes).unwrap_or_default().saturating_mul(1024)
}

/// The policy for triggers that name none.
pub fn on_error() -> OnError {
    ON_ERROR.get()
}

/// The least time between two notices of a training; `None` where there shall be none.
pub fn progress_interval() -> Option<Duration> {
    u64::try_from(PROGRESS_INTERVAL.get()).ok().map(Duration::from_millis)
}

/// How often the background worker refreshes; `None` where it does not.
pub fn refresh_interval() -> Option<Duration> {
    u64::try_from(REFRESH_INTERVAL.get()).ok().filter(|&interval| interval > 0).map(Duration::from_millis)
}

/// The databases whose models the background worker refreshes. Long names are cut as the server cuts them: what a worker is handed
/// has room for little more, and no end where it is full.
pub fn refresh_databases() -> Vec<String> {
    let list = REFRESH_DATABASES.get().unwrap_or_default();
    let cut = |name: String| name[..name.floor_char_boundary(NAME_BYTES)].to_owned();
    let names = names(&list.to_string_lossy()).unwrap_or_default().into_iter().map(cut);
    names.filter(|name| !name.is_empty()).collect()
}

/// The names of a list: each as it stands, without the blanks around it, or in double quotes, and then all that is between them. `None`
/// where quotes do not end, or something follows them.
fn names(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = list;
    loop {
        let (name, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_name(quoted)?,
            None => {
                let (name, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (name.trim().to_owned(), after)
            }
        };
        names.push(name);
        match after.trim_start() {
            "" => return Some(names),
            after => rest = after.strip_prefix(',')?,
        }
    }
}

/// A name to its closing quote, which it holds doubled, and what follows.
fn quoted_name(quoted: &str) -> Option<(String, &str)> {
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let (part, after) = rest.split_once('"')?;
        name += part;
        let Some(after) = after.strip_prefix('"').inspect(|_| name.push('"')) else {
            return Some((name, after));
        };
        rest = after;
    }
}

fn reserve_prefix() {
    let prefix = c"sentiment".as_ptr();
    // SAFETY: the prefix is a constant C string, and all settings that carry it are defined.
    #[cfg(not(feature = "pg14"))]
    unsafe {
        pg_sys::MarkGUCPrefixReserved(prefix);
    }
    // SAFETY: as above; PostgreSQL 14 warns where later versions refuse.
    #[cfg(feature = "pg14")]
    unsafe {
        pg_sys::EmitWarningsOnPlaceholders(prefix);
    }
}
