//! The schema `messages`: made, upgraded and kept in partitions.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper as Client, Pool};
use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::config::{self, Retention};
use crate::database::{Address, Failure, set_up};
use crate::signals::unless_told;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Where it is recorded which migrations have run.
const RECORD: &str = "messages.migration";

/// How often the server looks whether partitions have to be made or dropped.
const MAINTENANCE: Duration = Duration::from_secs(3600);

/// `migrate`: several at once wait for each other. Told to end, it cancels what it does in the database: behind a lock that it
/// waits for, all others wait.
pub async fn run(retention: &Retention, database: &config::Database) -> Result<(), Failure> {
    let address = Address::new(database)?;
    let pool = address.pool(database)?;
    let done = unless_told(async {
        let mut session = address.session(&pool).await?;
        let done = migrate(session.client()?, retention).await;
        session.done();
        done
    })
    .await;
    address.leave(&pool).await;
    done
}

async fn migrate(client: &mut Client, retention: &Retention) -> Result<(), Failure> {
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.get(0);
    if encoding != "UTF8" {
        return Err(Failure::Other(format!("the database's encoding is {encoding}: the gateway needs UTF8")));
    }
    // Held by the session: migrations are transactions of their own.
    let name = "pg_catalog.hashtextextended('messages.migration', 0)";
    client
        .batch_execute(&format!("SET statement_timeout = 0; SELECT pg_catalog.pg_advisory_lock({name})"))
        .await?;
    client.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_sentiment").await?;
    // IF NOT EXISTS would ask for the right to make it all the same.
    let schema = "SELECT pg_catalog.to_regnamespace('messages') IS NOT NULL";
    if !client.query_one(schema, &[]).await?.get::<_, bool>(0) {
        client.batch_execute("CREATE SCHEMA messages").await?;
    }
    set_up(client, 0).await?;
    // A newer gateway may have been here: while one version is replaced by another, both run.
    let mut runner = embedded::migrations::runner().set_abort_missing(false);
    runner.set_migration_table_name(RECORD);
    let report = runner.run_async(&mut **client).await?;
    let applied = report.applied_migrations().len();
    let (made, dropped) = match maintain(client, retention).await {
        // A dump, say, has the table for hours. The schema is ready all the same, and partitions are made a week ahead.
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            let detail = "partitions were not looked after, for the table is in use: serve does it later, or the next migrate";
            tracing::warn!("{detail}");
            (0, 0)
        }
        maintained => maintained?,
    };
    check_rights(client).await?;
    client.batch_execute(&format!("SELECT pg_catalog.pg_advisory_unlock({name})")).await?;
    tracing::info!(
        applied,
        partitions_made = made,
        partitions_dropped = dropped,
        "the schema messages is ready"
    );
    Ok(())
}

/// Fails unless there is a schema, of whichever version: whoever loads messages may not be allowed to read that.
pub async fn need_schema(pool: &Pool) -> Result<(), Failure> {
    let exists = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
    needed(pool.get().await?.query_one(exists, &[&RECORD]).await?.get(0))
}

/// Fails unless the schema is what this program needs.
pub async fn need_current_schema(pool: &Pool) -> Result<(), Failure> {
    need_schema(pool).await?;
    let newest =
        embedded::migrations::runner().get_migrations().iter().map(|migration| migration.version()).max();
    let applied = pool.get().await?.query_one(&format!("SELECT max(version) FROM {RECORD}"), &[]).await?;
    needed(applied.get::<_, Option<i32>>(0).map(i64::from) >= newest.map(i64::from))
}

fn needed(is_there: bool) -> Result<(), Failure> {
    if is_there {
        return Ok(());
    }
    Err(Failure::Other("the schema messages is missing or old: run sentiment-gateway migrate".into()))
}

/// What a role needs that trains and teaches models. The extension's owner has it.
const FUNCTIONS: [&str; 5] =
    ["train_sentiment", "learn_sentiment", "refresh_sentiment", "deploy_sentiment", "rollback_sentiment"];

/// Warns of functions that this role may not call: without them the gateway serves, but trains and learns nothing.
async fn check_rights(client: &Client) -> Result<(), tokio_postgres::Error> {
    let missing = "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname) || '.' || p.proname::text, ', ' ORDER BY p.proname),
                       pg_catalog.quote_ident(current_user)
                   FROM pg_catalog.pg_proc AS p
                   JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
                   JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
                       AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
                   JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_sentiment'
                   WHERE p.proname = ANY ($1) AND NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE')";
    let row = client.query_one(missing, &[&FUNCTIONS.as_slice()]).await?;
    let (functions, role): (Option<String>, String) = (row.get(0), row.get(1));
    if let Some(functions) = functions {
        tracing::warn!(
            "models cannot be trained or taught: have the owner of the extension run GRANT EXECUTE ON FUNCTION {functions} TO {role}"
        );
    }
    Ok(())
}

/// Makes partitions, then drops old ones, then deletes what else is old: each is done for good before the next, which may fail or
/// take long. Returns how many partitions were made and dropped.
async fn maintain(client: &mut Client, retention: &Retention) -> Result<(i32, i32), tokio_postgres::Error> {
    let keep = retention.retention.map(|keep| keep.as_secs_f64());
    let maintain = "SELECT made, dropped FROM messages.maintain(pg_catalog.make_interval(secs => $1))";
    let made = untimed(client, maintain, None).await?.get(0);
    let dropped = match keep {
        Some(_) => untimed(client, maintain, keep).await?.get(1),
        None => 0,
    };
    untimed(client, "SELECT messages.forget(pg_catalog.make_interval(secs => $1))", keep).await?;
    Ok((made, dropped))
}

/// Runs a statement that takes as long as there are rows: one that is ended by a time-out would be so for ever.
async fn untimed(
    client: &mut Client,
    statement: &str,
    keep: Option<f64>,
) -> Result<Row, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
    let row = transaction.query_one(statement, &[&keep]).await?;
    transaction.commit().await?;
    Ok(row)
}

/// Keeps partitions made ahead and dropped in time, until `ending`; several instances do no harm. Dropped, it cancels what it does.
pub async fn keep_partitions(
    address: Address,
    pool: Pool,
    retention: Retention,
    mut ending: watch::Receiver<bool>,
) {
    loop {
        let done = async {
            let mut session = address.session(&pool).await?;
            let done = maintain(session.client()?, &retention).await;
            session.done();
            Ok::<_, Failure>(done?)
        };
        match done.await {
            Ok((0, 0)) => {}
            Ok((made, dropped)) => tracing::info!(made, dropped, "partitions were made and dropped"),
            Err(failure) => tracing::warn!("partitions were not looked after: {failure}"),
        }
        if tokio::time::timeout(MAINTENANCE, ending.wait_for(|ending| *ending)).await.is_ok() {
            return;
        }
    }
}
