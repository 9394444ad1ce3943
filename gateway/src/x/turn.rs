//! Whose turn it is: of the gateways that share a database one reads the stream, for X gives an app one connection. It is the
//! one that holds a lock of the database; when its session ends, the next takes it.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_postgres::Client;

use crate::database::{Address, Failure};

/// How often it is tried to get the lock, and looked whether it is still held.
const LOOK: Duration = Duration::from_secs(1);
/// How long the database may take to answer that.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says, until nobody listens any more, whether it is this gateway's turn.
///
/// A turn that was had stays while the database is away: nobody can take it then. It ends when another gateway is found to
/// have it, after the database is back.
pub async fn keep(address: Address, ours: watch::Sender<bool>) {
    while !ours.is_closed() {
        let kept = tokio::select! {
            kept = hold(&address, &ours) => kept,
            () = ours.closed() => return,
        };
        if let Err(failure) = kept {
            tracing::debug!("the database does not say whose turn it is: {failure}");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = ours.closed() => return,
        }
    }
}

/// Gets the lock as soon as it can be had, and holds it until the session ends.
async fn hold(address: &Address, ours: &watch::Sender<bool>) -> Result<(), Failure> {
    let (client, mut session) = address.listen(&[]).await?;
    let mut held = false;
    loop {
        if !held {
            held = within(try_lock(&client)).await?;
            ours.send_if_modified(|ours| std::mem::replace(ours, held) != held);
        } else {
            within(async { client.simple_query("").await.map(drop) }).await?;
        }
        if let Some(()) = rest(&mut session).await {
            return Err(Failure::Other("the connection to the database was lost".into()));
        }
    }
}

async fn try_lock(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let lock = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('messages.x', 0))";
    Ok(client.query_one(lock, &[]).await?.get(0))
}

async fn within<T>(asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answered) => Ok(answered?),
        Err(_) => Err(Failure::Other("the database does not answer".into())),
    }
}

/// Waits until it is time to look again; says if the session ends before.
async fn rest(session: &mut mpsc::Receiver<String>) -> Option<()> {
    let ended = async { while session.recv().await.is_some() {} };
    tokio::time::timeout(LOOK, ended).await.ok()
}
