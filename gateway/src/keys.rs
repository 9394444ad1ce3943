//! API keys: made, revoked, listed, and looked up.

mod lease;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::Pool;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use crate::config::{self, Key as Command, Scope};
use crate::database::{Address, Failure};
use crate::message::Instant;
use crate::migrate;
use crate::problem::Problem;

pub use lease::Lease;

/// What all keys begin with, so that scanners for leaked secrets can know them.
const PREFIX: &str = "sgk_";
/// The bytes that follow, in Base64.
const RANDOM: usize = 32;
/// How long an answer is used again. A change of keys ends that at once, unless the gateway is not connected.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How long it is known that a hash was that of a key: whoever has it does not guess.
const FOUND: Duration = Duration::from_secs(3600);
/// The most answers that are remembered, refusals included.
const MOST_REMEMBERED: u64 = 10_000;

/// What the database keeps of a key.
pub type Hash = [u8; 32];

/// A key that was found.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: i64,
    scopes: BTreeSet<Scope>,
    expires_at: Option<OffsetDateTime>,
}

impl Key {
    /// Whether it is past its time.
    pub fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|expires| expires <= OffsetDateTime::now_utc())
    }

    /// Whether its holder may do this.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|has| *has >= scope)
    }
}

/// Who asks: the holder of a key.
#[derive(Clone, Debug)]
pub struct Caller {
    hash: Hash,
    pub key: Arc<Key>,
}

/// All keys, as the database has them.
#[derive(Clone, Debug)]
pub struct Keys {
    pool: Pool,
    remembered: Cache<Hash, Option<Arc<Key>>>,
    /// What was found within [`FOUND`].
    found: Cache<Hash, ()>,
    changes: watch::Sender<()>,
}

impl Keys {
    pub fn new(pool: Pool) -> Keys {
        let remembered = Cache::builder().time_to_live(REMEMBERED).max_capacity(MOST_REMEMBERED).build();
        let found = Cache::builder().time_to_live(FOUND).max_capacity(MOST_REMEMBERED).build();
        Keys { pool, remembered, found, changes: watch::Sender::new(()) }
    }

    /// The hash of what has the form of a key. For nothing else need the database be asked.
    pub fn hash(secret: &str) -> Option<Hash> {
        let random = URL_SAFE_NO_PAD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        (random.len() == RANDOM).then(|| Sha256::digest(secret).into())
    }

    /// Whether this may be a guess that the database would have to be asked about.
    pub fn may_be_guessed(&self, hash: &Hash) -> bool {
        !self.remembered.contains_key(hash) && !self.found.contains_key(hash)
    }

    /// Finds a key that was not revoked; it may have expired.
    pub async fn find(&self, hash: Hash) -> Result<Option<Caller>, Problem> {
        Ok(self.look_up(hash).await?.map(|key| Caller { hash, key }))
    }

    /// The right to go on with what a caller has begun.
    pub fn lease(&self, caller: Caller, scope: Scope) -> Lease {
        Lease::of(self.clone(), caller, scope)
    }

    async fn look_up(&self, hash: Hash) -> Result<Option<Arc<Key>>, Problem> {
        let look_up = async {
            let key = look_up(&self.pool, &hash).await?;
            if key.is_some() {
                self.found.insert(hash, ()).await;
            }
            Ok(key)
        };
        self.remembered.try_get_with(hash, look_up).await.map_err(|problem: Arc<Problem>| (*problem).clone())
    }

    /// Forgets what was looked up, for it may have changed.
    pub fn forget(&self) {
        self.remembered.invalidate_all();
        self.changes.send_replace(());
    }

    /// Is told when keys may have changed.
    fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

async fn look_up(pool: &Pool, hash: &Hash) -> Result<Option<Arc<Key>>, Problem> {
    let client = pool.get().await?;
    let find = "SELECT id, scopes, expires_at FROM messages.api_key WHERE hash = $1 AND revoked_at IS NULL";
    let find = client.prepare_cached(find).await?;
    let row = client.query_opt(&find, &[&hash.as_slice()]).await?;
    row.map(|row| {
        let names: Vec<String> = row.try_get(1)?;
        let expires_at = row.try_get::<_, Option<Instant>>(2)?.map(|Instant(time)| time);
        let scopes = [Scope::Read, Scope::Write, Scope::Admin].into_iter();
        let scopes = scopes.filter(|scope| names.iter().any(|name| name == scope.name())).collect();
        Ok(Arc::new(Key { id: row.try_get(0)?, scopes, expires_at }))
    })
    .transpose()
}

/// `key create`, `key revoke` and `key list`.
pub async fn run(command: Command, database: &config::Database) -> Result<(), Failure> {
    let address = Address::new(database)?;
    let pool = address.pool(database)?;
    let done = obey(command, &pool).await;
    address.leave(&pool).await;
    done
}

async fn obey(command: Command, pool: &Pool) -> Result<(), Failure> {
    migrate::need_schema(pool).await?;
    match command {
        Command::Create { name, scopes, expires_in } => create(pool, &name, &scopes, expires_in).await,
        Command::Revoke { id } => revoke(pool, id).await,
        Command::List => list(pool).await,
    }
}

async fn create(
    pool: &Pool,
    name: &str,
    scopes: &[Scope],
    expires_in: Option<Duration>,
) -> Result<(), Failure> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random).map_err(|error| Failure::Other(error.to_string()))?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let hash: Hash = Sha256::digest(&secret).into();
    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    let seconds = expires_in.map(|time| time.as_secs_f64());
    let create = "INSERT INTO messages.api_key (name, hash, scopes, expires_at)
                  VALUES ($1, $2, $3, now() + pg_catalog.make_interval(secs => $4))";
    pool.get().await?.execute(create, &[&name, &hash.as_slice(), &scopes, &seconds]).await?;
    writeln!(std::io::stdout(), "{secret}")?;
    Ok(())
}

async fn revoke(pool: &Pool, id: i64) -> Result<(), Failure> {
    let revoke = "UPDATE messages.api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";
    match pool.get().await?.execute(revoke, &[&id]).await? {
        0 => Err(Failure::Other(format!("there is no key {id} that could be revoked"))),
        _ => Ok(()),
    }
}

async fn list(pool: &Pool) -> Result<(), Failure> {
    let list = "SELECT id, name, pg_catalog.array_to_string(scopes, ','), created_at, expires_at, revoked_at
                FROM messages.api_key ORDER BY id";
    let rows = pool.get().await?.query(list, &[]).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "id\tname\tscopes\tcreated\texpires\trevoked")?;
    for row in rows {
        let (id, name, scopes): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
        let time = |column: usize| -> String {
            let time: Option<Instant> = row.get(column);
            time.and_then(|Instant(time)| time.format(&Rfc3339).ok()).unwrap_or_default()
        };
        writeln!(out, "{id}\t{name}\t{scopes}\t{}\t{}\t{}", time(3), time(4), time(5))?;
    }
    Ok(())
}
