//! Texts on their way between the server and the core: stored values, encodings, positions.
//!
//! The core speaks UTF-8, the server whatever its database was made with. Three cases: a UTF8 database needs nothing, a
//! SQL_ASCII one stores bytes of no known encoding, which pass as they are, and all others are converted by the server.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::sync::OnceLock;

use pgrx::{pg_sys, varlena};
use sentiment_core::{MAX_TEXT_BYTES, Text};

const UTF8: i32 = pg_sys::pg_enc::PG_UTF8.cast_signed();
const SQL_ASCII: i32 = pg_sys::pg_enc::PG_SQL_ASCII.cast_signed();

/// Bytes of a stored text that are fetched: what the core reads, and one character more, which shows that there is more.
const FETCHED_BYTES: usize = MAX_TEXT_BYTES + 4;

/// The database's encoding, which no session outlives.
fn encoding() -> i32 {
    static ENCODING: OnceLock<i32> = OnceLock::new();
    // SAFETY: reads a variable that is set before a backend runs any code of ours.
    *ENCODING.get_or_init(|| unsafe { pg_sys::GetDatabaseEncoding() })
}

/// Whether UTF-8 passes to and from the server as it is.
pub fn passes_unchanged() -> bool {
    matches!(encoding(), UTF8 | SQL_ASCII)
}

/// A value of a string type as the server stores it: maybe compressed, maybe in another table, in the server's encoding.
#[derive(Clone, Copy, Debug)]
pub struct StoredText<'a> {
    datum: pg_sys::Datum,
    lifetime: PhantomData<&'a [u8]>,
}

impl StoredText<'_> {
    /// Takes a datum for a text.
    ///
    /// # Safety
    /// `datum` is a non-null value of type text, or of a type stored like it, and lives as long as the result.
    pub unsafe fn new(datum: pg_sys::Datum) -> Self {
        Self { datum, lifetime: PhantomData }
    }

    /// The value as the server stores it.
    pub fn datum(self) -> pg_sys::Datum {
        self.datum
    }

    /// Hands the text's beginning to `read` as the core wants it.
    pub fn read<T>(self, read: impl FnOnce(Body<'_>) -> T) -> T {
        thread_local! { static CONVERTED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) } }

        let (bytes, cut) = self.fetch();
        if passes_unchanged() || bytes.is_ascii() {
            return read(Body { bytes, cut });
        }
        CONVERTED.with_borrow_mut(|converted| {
            converted.clear();
            convert(bytes, Direction::FromServer, cut, converted);
            read(Body { bytes: converted, cut })
        })
    }

    /// The text's beginning, and whether its end was left behind. A value of any size costs no more than what is read of it.
    fn fetch<'a>(self) -> (&'a [u8], bool)
    where
        Self: 'a,
    {
        let stored = self.datum.cast_mut_ptr::<pg_sys::varlena>();
        fetch_next_row(stored.cast());
        // SAFETY: `new` was promised a live text value; a fetched slice is allocated in the current memory context, which
        // outlives the function call or the row that this value belongs to.
        unsafe {
            let (value, total) = if varlena::varatt_is_1b_e(stored) || varlena::varatt_is_4b_c(stored) {
                let total = pg_sys::toast_raw_datum_size(self.datum) - pg_sys::VARHDRSZ;
                (pg_sys::pg_detoast_datum_slice(stored, 0, c_length(FETCHED_BYTES)), total)
            } else {
                (stored, varlena::varsize_any_exhdr(stored))
            };
            let fetched = varlena::varsize_any_exhdr(value).min(FETCHED_BYTES);
            let bytes = std::slice::from_raw_parts(varlena::vardata_any(value).cast(), fetched);
            (bytes, total > fetched)
        }
    }
}

/// Has the row that a scan comes to next brought into the cache while this one is read: the server would wait for memory, where a
/// table is larger than the caches. Rows fill a page from its end, so that the next one stands before this one, and six lines hold
/// a message with its columns. Where the value is no part of a page, they are fetched for nothing.
#[cfg(target_arch = "x86_64")]
fn fetch_next_row(value: *const u8) {
    for line in 1..=6_usize {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it is a hint, which every processor of this kind has: any address will do, for nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(value.wrapping_sub(64 * line).cast()) };
    }
}

/// Other processors have no such hint in stable Rust.
#[cfg(not(target_arch = "x86_64"))]
fn fetch_next_row(_value: *const u8) {}

/// A text's beginning as the core reads it.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    bytes: &'a [u8],
    cut: bool,
}

impl<'a> Body<'a> {
    /// The text for the core.
    pub fn text(self) -> Text<'a> {
        Text::beginning(self.bytes, self.cut)
    }

    /// The bytes, for training.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether its end was left behind.
    pub fn is_cut(self) -> bool {
        self.cut
    }

    /// The text as a string, for names and labels.
    pub fn to_str(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes)
    }

    /// A way from the core's byte offsets to SQL's character positions.
    pub fn positions(self) -> Positions<'a> {
        Positions::new(self.bytes)
    }
}

/// Turns byte offsets into positions as `substr()` counts them, in any order and without counting from the start each time.
#[derive(Debug)]
pub struct Positions<'a> {
    bytes: &'a [u8],
    /// Characters before each block of the text; empty where a character is a byte.
    before: Vec<usize>,
}

impl<'a> Positions<'a> {
    const BLOCK: usize = 256;

    fn new(bytes: &'a [u8]) -> Self {
        let blocks: &[u8] = if encoding() == SQL_ASCII { &[] } else { bytes };
        let before = blocks.chunks(Self::BLOCK).scan(0, |count, block| {
            let here = *count;
            *count += characters(block);
            Some(here)
        });
        Self { bytes, before: before.collect() }
    }

    /// The position of the character at byte `offset`, counted from 1.
    pub fn of(&self, offset: usize) -> i32 {
        let block = offset / Self::BLOCK;
        let characters_before = match self.before.get(block) {
            Some(before) => before + characters(&self.bytes[block * Self::BLOCK..offset]),
            None => offset,
        };
        // A text has at most MAX_TEXT_BYTES, far below the limit.
        i32::try_from(characters_before + 1).unwrap_or(i32::MAX)
    }
}

/// Characters that begin in a piece of UTF-8.
fn characters(utf8: &[u8]) -> usize {
    utf8.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

/// A text value made of a string of ours; what the server's encoding lacks becomes `?`.
pub fn datum(string: &str) -> pg_sys::Datum {
    let bytes = to_server(string);
    // SAFETY: the server copies as many bytes as `bytes` has.
    unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), c_length(bytes.len())) }.into()
}

/// A C string in the server's encoding; ends at the first zero byte, which no string of ours holds.
pub fn c_string(string: &str) -> CString {
    let mut bytes = to_server(string).into_owned();
    bytes.push(0);
    CStr::from_bytes_until_nul(&bytes).map(CStr::to_owned).unwrap_or_default()
}

/// A name or a setting of the server as a string.
pub fn string(name: &CStr) -> Cow<'_, str> {
    let bytes = name.to_bytes();
    if passes_unchanged() || bytes.is_ascii() {
        return String::from_utf8_lossy(bytes);
    }
    let mut converted = Vec::new();
    convert(bytes, Direction::FromServer, false, &mut converted);
    Cow::Owned(String::from_utf8_lossy(&converted).into_owned())
}

/// What is left of a message of the server's that pgrx has read as UTF-8: where it may have been another encoding, only ASCII.
pub fn printable(message: &str) -> String {
    if passes_unchanged() || message.is_ascii() {
        return message.to_owned();
    }
    message.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn to_server(string: &str) -> Cow<'_, [u8]> {
    if passes_unchanged() || string.is_ascii() {
        return Cow::Borrowed(string.as_bytes());
    }
    let mut converted = Vec::new();
    convert(string.as_bytes(), Direction::ToServer, false, &mut converted);
    Cow::Owned(converted)
}

/// A length for C. Nothing here comes near 2 GB: texts are cut off long before.
fn c_length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Which way a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    FromServer,
    ToServer,
}

/// Appends `bytes` in the other encoding to `out`. A character that has no equivalent is replaced, the rest still converts;
/// a last character that was `cut` in two is left out.
fn convert(bytes: &[u8], direction: Direction, cut: bool, out: &mut Vec<u8>) {
    let (source, target, replacement) = match direction {
        Direction::FromServer => (encoding(), UTF8, "\u{FFFD}".as_bytes()),
        Direction::ToServer => (UTF8, encoding(), b"?".as_slice()),
    };
    // SAFETY: looks a conversion up in the catalogs; calls of ours run inside a transaction.
    let procedure = unsafe { pg_sys::FindDefaultConversionProc(source, target) };
    let mut rest = bytes;
    loop {
        rest = &rest[convert_prefix(procedure, source, target, rest, out)..];
        if rest.is_empty() {
            return;
        }
        // SAFETY: `rest` holds at least the one byte that tells a character's length.
        let length = unsafe { pg_sys::pg_encoding_mblen(source, rest.as_ptr().cast()) };
        let length = usize::try_from(length).unwrap_or(1).max(1);
        if length > rest.len() && cut {
            return;
        }
        out.extend_from_slice(replacement);
        rest = &rest[length.min(rest.len())..];
    }
}

/// Converts as much as can be converted, and returns the number of source bytes that were.
fn convert_prefix(
    procedure: pg_sys::Oid,
    source: i32,
    target: i32,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    if procedure == pg_sys::InvalidOid {
        // Some pairs, such as MULE_INTERNAL and UTF8, have no conversion: ASCII is the same in all.
        let ascii = bytes.iter().take_while(|byte| byte.is_ascii()).count();
        out.extend_from_slice(&bytes[..ascii]);
        return ascii;
    }
    let room = (bytes.len() + 2) * pg_sys::MAX_CONVERSION_GROWTH as usize;
    out.reserve(room);
    let spare = out.spare_capacity_mut();
    // SAFETY: the server reads `bytes` and writes at most `room` bytes, a closing zero among them, into spare capacity of that
    // size; `set_len` counts only bytes before that zero, which were written.
    unsafe {
        let converted = spare.as_mut_ptr().cast::<u8>();
        let consumed = pg_sys::pg_do_encoding_conversion_buf(
            procedure,
            source,
            target,
            bytes.as_ptr().cast_mut(),
            c_length(bytes.len()),
            converted,
            c_length(room),
            true,
        );
        let written = CStr::from_ptr(converted.cast()).count_bytes();
        out.set_len(out.len() + written);
        usize::try_from(consumed).unwrap_or(0)
    }
}
