//! A session for a statement that may take long: it is cancelled if whoever waits for it goes away.

use deadpool_postgres::{Object, Pool, PoolError};
use tokio_postgres::CancelToken;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use super::{Address, WAIT};
use crate::problem::Problem;

/// A session of the pool. Dropped before it is told that its work is done, it cancels what it is doing, and goes back to
/// the pool once that has ended: whoever got it sooner would wait for it, or be cancelled in its place.
pub struct Session {
    client: Option<Object>,
    token: CancelToken,
    tls: MakeRustlsConnect,
    cancels: TaskTracker,
}

impl Session {
    pub(super) async fn of(address: &Address, pool: &Pool) -> Result<Session, PoolError> {
        let client = pool.get().await?;
        let token = client.cancel_token();
        Ok(Session {
            client: Some(client),
            token,
            tls: address.tls.clone(),
            cancels: address.cancels.clone(),
        })
    }

    /// What statements are sent by.
    pub fn client(&mut self) -> Result<&mut Object, Problem> {
        self.client.as_mut().ok_or_else(Problem::internal)
    }

    /// The work is done, well or not.
    pub fn done(mut self) {
        self.client.take();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.cancels.spawn(cancel(client, self.token.clone(), self.tls.clone()));
        }
    }
}

async fn cancel(client: Object, token: CancelToken, tls: MakeRustlsConnect) {
    let cancelled = async {
        token.cancel_query(tls).await?;
        // Is answered once what came before has ended.
        client.simple_query("").await
    };
    if !matches!(tokio::time::timeout(WAIT, cancelled).await, Ok(Ok(_))) {
        tracing::warn!("a statement whose client has gone could not be cancelled");
        drop(Object::take(client));
    }
}
