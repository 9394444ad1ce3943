//! The bases of trained models, in one copy for all sessions of a server.
//!
//! The first session that opens a base writes it to a file, and all map that file. Shared memory would need the library
//! preloaded, or PostgreSQL 17; a file needs neither, and its pages go when memory is wanted for something else. It lies
//! among the server's temporary files: the server removes those when it starts and after a crash, backups leave them out,
//! and standbys may write them.
//!
//! A file is never trusted by its name alone. The name says of which database, registry and part it is; that these are the
//! part's bytes is seen by its beginning and its length, which are held against the row as it is now: they carry the checksum
//! of all that follows. Whoever writes a file has seen that checksum hold.
//!
//! A file is complete when it gets its name, is never changed then, and may go at any time: those who have it mapped keep
//! it, others write it again. Where no file can be written or mapped, a session has its own copy, as if this were not here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use pgrx::{PgXactCallbackEvent, pg_sys};
use sentiment_core::Predictor;

use crate::errors::Result;
use crate::registry::lookup::{self, Beginning};

/// The server's folder of temporary files, seen from its data directory, where every session works.
const FOLDER: &str = "base/pgsql_tmp";

/// How names of our files begin: as those of all temporary files, or the server would leave them.
const PREFIX: &str = "pgsql_tmp_sentiment";

/// Bytes of a base from which on it is shared: a smaller one costs a session less than what it allocates anyway.
const LEAST_BYTES: usize = 64 * 1024;

/// The bytes of a base.
#[derive(Debug)]
pub enum Bytes {
    /// This session's own copy.
    Own(Vec<u8>),
    /// The copy of all sessions.
    Shared(Mmap),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(map) => map,
        }
    }
}

/// The bytes of a base. Their checksum holds, or held when they were shared: changed since, they can give wrong scores, and
/// nothing worse.
pub fn open(part: i64) -> Result<Bytes> {
    let begins = lookup::beginning(part)?;
    let place = Place::of(part)?;
    if begins.length < LEAST_BYTES {
        return own(part).map(Bytes::Own);
    }
    match place.map(&begins) {
        Ok(map) => return Ok(Bytes::Shared(map)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => place.remove(),
        Err(_) => {}
    }
    match place.write(&begins).and_then(|()| place.map(&begins)) {
        Ok(map) => {
            sweep();
            Ok(Bytes::Shared(map))
        }
        Err(error) => {
            pgrx::debug1!("pg_sentiment does not share a model: {}", error.kind());
            own(part).map(Bytes::Own)
        }
    }
}

/// The bytes of a base in the registry, whose checksum holds.
fn own(part: i64) -> Result<Vec<u8>> {
    let bytes = lookup::part(part)?;
    Predictor::open(&bytes)?;
    Ok(bytes)
}

/// The bytes of a base with a checksum that holds now: for what goes back into the registry, or did not open.
pub fn checked(part: i64, bytes: Arc<Bytes>) -> Result<Arc<Bytes>> {
    if matches!(*bytes, Bytes::Own(_)) || Predictor::open(&bytes).is_ok() {
        return Ok(bytes);
    }
    Place::of(part)?.remove();
    Ok(Arc::new(Bytes::Own(own(part)?)))
}

/// Removes the file of a part that is gone.
pub fn remove(part: i64) -> Result<()> {
    Place::of(part)?.remove();
    Ok(())
}

/// Removes the files of these parts when the transaction that drops them commits. (Not after PREPARE TRANSACTION: the
/// next session to look a model up that has used the part does it then, or whoever writes the next file.)
pub fn remove_at_commit(parts: Vec<i64>) -> Result<()> {
    let places = parts.into_iter().map(Place::of).collect::<Result<Vec<_>>>()?;
    if !places.is_empty() {
        pgrx::register_xact_callback(PgXactCallbackEvent::Commit, move || {
            places.iter().for_each(Place::remove);
        });
    }
    Ok(())
}

/// Removes the files of whatever is gone: of parts and registries of this database, and of other databases.
fn sweep() {
    let Ok(files) = fs::read_dir(FOLDER) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let Some(name) = name.to_str() else { continue };
        if Place::parse(name).is_some_and(|place| !place.is_used().unwrap_or(true)) || is_abandoned(name) {
            unlink(&file.path());
        }
    }
}

/// Whether a file was being written by a session that has ended, as one does that is terminated meanwhile.
fn is_abandoned(name: &str) -> bool {
    let Some((place, process)) = name.rsplit_once('.') else { return false };
    // SAFETY: looks among the server's sessions, whatever the number.
    let ended = |process| unsafe { pg_sys::BackendPidGetProc(process) }.is_null();
    Place::parse(place).is_some() && process.parse().is_ok_and(ended)
}

/// Where the bytes of a part are shared. None of the numbers is given twice in a server's life, as good as: should it happen,
/// the bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    database: u32,
    /// The table that has the part.
    registry: u32,
    part: i64,
}

impl Place {
    /// The place of a part of this database.
    fn of(part: i64) -> Result<Self> {
        // SAFETY: reads a variable of the server's.
        let database = unsafe { pg_sys::MyDatabaseId };
        Ok(Self { database: database.to_u32(), registry: lookup::relation(c"part")?.to_u32(), part })
    }

    fn name(self) -> String {
        format!("{PREFIX}_{}_{}_{}", self.database, self.registry, self.part)
    }

    /// The place with this name, if it is one: names of files that are being written are not.
    fn parse(name: &str) -> Option<Self> {
        let mut numbers = name.strip_prefix(PREFIX)?.strip_prefix('_')?.split('_');
        let mut next = || numbers.next()?.parse::<i64>().ok();
        let (database, registry, part) = (next()?, next()?, next()?);
        let place = Self { database: database.try_into().ok()?, registry: registry.try_into().ok()?, part };
        (place.name() == name).then_some(place)
    }

    fn path(self) -> PathBuf {
        PathBuf::from(FOLDER).join(self.name())
    }

    /// Whether the part is still there. In another database only the database can be seen.
    fn is_used(self) -> Result<bool> {
        let here = Self::of(self.part)?;
        if self.database == here.database {
            return Ok(self == here && lookup::has_part(self.part)?);
        }
        // SAFETY: looks in the catalogs, and answers with a new C string or null.
        Ok(unsafe { !pg_sys::get_database_name(self.database.into()).is_null() })
    }

    /// Maps the file, if it holds the part that begins so.
    fn map(self, begins: &Beginning) -> io::Result<Mmap> {
        map(&self.path(), begins)
    }

    /// Writes the file, unless another session was faster: of many that begin at once, all shall map the same one.
    fn write(self, begins: &Beginning) -> io::Result<()> {
        if exceeds_limit(begins.length) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let unfinished = Unfinished(self.path().with_extension(std::process::id().to_string()));
        let mut file = unfinished.create()?;
        // Where the part is gone meanwhile, whoever asked for it finds that out.
        lookup::pieces(self.part, |piece| file.write_all(piece)).map_err(|_| io::ErrorKind::NotFound)??;
        // What the others will map, not what was meant to be written. Nothing is flushed to disk: after a crash of the machine
        // the server removes the file.
        Predictor::open(&map(&unfinished.0, begins)?).map_err(|_| io::ErrorKind::InvalidData)?;
        match fs::hard_link(&unfinished.0, self.path()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Not every file system has links.
            Err(_) => fs::rename(&unfinished.0, self.path()),
            Ok(()) => Ok(()),
        }
    }

    fn remove(&self) {
        unlink(&self.path());
    }
}

/// Maps a file, if it holds the part that begins so.
fn map(path: &Path, begins: &Beginning) -> io::Result<Mmap> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || usize::try_from(about.len()).ok() != Some(begins.length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: nobody changes or shortens the file. Ours are complete when they are mapped, and unlinked only. The folder is
    // the server's own user's, for nobody else to enter: who could write here could as well change the server's tables, or its
    // programs. A page that the disk cannot read ends the session with SIGBUS, as a page of a program does.
    let map = unsafe { Mmap::map(&file)? };
    if !map.starts_with(&begins.bytes) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(map)
}

/// The path of a file that is being written; gone when it is, however that ends.
struct Unfinished(PathBuf);

impl Unfinished {
    /// Creates the file; the folder too, which the server makes when it first needs it.
    fn create(&self) -> io::Result<File> {
        // One of this name is of a process with the same number, before a crash.
        unlink(&self.0);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        match options.open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // SAFETY: makes a folder of a constant name, with the mode that all of the server's have; reports by its
                // result.
                unsafe { pg_sys::MakePGDirectory(c"base/pgsql_tmp".as_ptr()) };
                options.open(&self.0)
            }
            opened => opened,
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unlink(&self.0);
    }
}

/// Removes a file that may not be there. One that cannot be removed is left to the server's next start.
fn unlink(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Whether a file of so many bytes is more than the administrator lets a session keep in temporary files.
fn exceeds_limit(bytes: usize) -> bool {
    // SAFETY: reads a variable of the server's; -1 is no limit.
    let kilobytes = unsafe { pg_sys::temp_file_limit };
    usize::try_from(kilobytes).is_ok_and(|limit| bytes.div_ceil(1024) > limit)
}
