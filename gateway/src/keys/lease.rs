//! How long what was begun with a key may go on.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Caller, Keys};
use crate::config::Scope;

/// How often a key is looked up without being told that keys have changed: the gateway may not have heard of it.
const LOOK: Duration = Duration::from_secs(15);

/// The right to go on, until the key is revoked or expires. Dropping it ends the look-ups.
#[derive(Debug)]
pub struct Lease {
    over: CancellationToken,
    key: Option<i64>,
    /// Nothing watches what needs no key.
    _watch: Option<AbortOnDropHandle<()>>,
}

impl Lease {
    /// For what needs no key.
    pub fn for_ever() -> Lease {
        Lease { over: CancellationToken::new(), key: None, _watch: None }
    }

    /// For what a key was needed for.
    pub(super) fn of(keys: Keys, caller: Caller, scope: Scope) -> Lease {
        let (over, key) = (CancellationToken::new(), Some(caller.key.id));
        let guard = over.clone().drop_guard();
        let watch = tokio::spawn(async move {
            // Also if this breaks off.
            let _over = guard;
            outlast(&keys, caller, scope).await;
        });
        Lease { over, key, _watch: Some(AbortOnDropHandle::new(watch)) }
    }

    /// The key whose holder it is.
    pub fn key(&self) -> Option<i64> {
        self.key
    }

    /// Is cancelled once it is over.
    pub fn over(&self) -> CancellationToken {
        self.over.clone()
    }
}

/// Waits until the key does not give the right any more.
async fn outlast(keys: &Keys, caller: Caller, scope: Scope) {
    let Caller { hash, mut key } = caller;
    let mut changes = keys.changes();
    loop {
        let left = key.expires_at.map(|expires| expires - OffsetDateTime::now_utc());
        let left = left.map_or(LOOK, |left| Duration::try_from(left).unwrap_or_default());
        tokio::select! {
            () = tokio::time::sleep(left.min(LOOK)) => {}
            _ = changes.changed() => {}
        }
        match keys.look_up(hash).await {
            Ok(Some(found)) if found.allows(scope) && !found.has_expired() => key = found,
            Ok(_) => return,
            // The database is away: it is asked again, unless the key is known to have expired.
            Err(_) if key.has_expired() => return,
            Err(_) => {}
        }
    }
}
