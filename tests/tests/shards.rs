//! Scoring on several servers: a partitioned table over postgres_fdw shards that score their own rows.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Server, trouble};

const TEXTS: &str = "
    CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END AS label,
           CASE WHEN n % 2 = 0 THEN 'bad' ELSE 'good' END AS other
    FROM generate_series(1, 2000) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes')";

fn one<T: postgres::types::FromSqlOwned>(client: &mut Client, sql: &str) -> T {
    client.query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

fn until(what: &str, client: &mut Client, sql: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !client.query_one(sql, &[]).is_ok_and(|row| row.get::<_, Option<bool>>(0) == Some(true)) {
        assert!(Instant::now() < end, "{what}: not within a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The plan of a query, as one text.
fn plan(client: &mut Client, query: &str) -> String {
    let lines = client.query(&format!("EXPLAIN (VERBOSE, COSTS OFF) {query}"), &[]).unwrap();
    lines.iter().map(|line| line.get::<_, String>(0) + "\n").collect()
}

/// A coordinator with a trained model, and two shards that hold a partition each.
struct Cluster {
    coordinator: Server,
    shards: [Server; 2],
}

impl Cluster {
    fn new() -> Cluster {
        let servers = || Server::start(&["wal_level=logical"]);
        let cluster = Cluster { coordinator: servers(), shards: [servers(), servers()] };
        let mut client = cluster.client();
        client.batch_execute("CREATE EXTENSION pg_sentiment; CREATE EXTENSION postgres_fdw").unwrap();
        client.batch_execute(TEXTS).unwrap();
        for number in [0, 1] {
            cluster.shard(number).batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
        }
        cluster
    }

    fn client(&self) -> Client {
        self.coordinator.connect("postgres", "postgres")
    }

    fn shard(&self, number: usize) -> Client {
        self.shards[number].connect("postgres", "postgres")
    }

    /// Makes the tables, once the shards have the model.
    fn make_tables(&self) {
        let mut client = self.client();
        client
            .batch_execute(
                "CREATE TABLE messages (id int, body text, sentiment text, sentiment_score float8, sentiment_version text)
                 PARTITION BY HASH (id)",
            )
            .unwrap();
        for (number, shard) in self.shards.iter().enumerate() {
            self.shard(number)
                .batch_execute(
                    "CREATE TABLE messages (id int, body text); SELECT enable_sentiment('messages', 'body', 'm');
                     CREATE INDEX by_label ON messages (sentiment_at(body, 'm@1'))",
                )
                .unwrap();
            client
                .batch_execute(&format!(
                    "CREATE SERVER shard{number} FOREIGN DATA WRAPPER postgres_fdw
                         OPTIONS (host '{}', port '5432', dbname 'postgres', extensions 'pg_sentiment');
                     CREATE USER MAPPING FOR PUBLIC SERVER shard{number} OPTIONS (user 'postgres');
                     CREATE FOREIGN TABLE messages{number} PARTITION OF messages
                         FOR VALUES WITH (MODULUS 2, REMAINDER {number}) SERVER shard{number} OPTIONS (table_name 'messages')",
                    shard.socket()
                ))
                .unwrap();
        }
    }

    fn has_no_trouble(&self, expected: &[&str]) {
        for server in [&self.coordinator, &self.shards[0], &self.shards[1]] {
            let found = trouble(&server.log(), expected);
            assert!(found.is_empty(), "{found:#?}");
        }
    }
}

/// Models are moved by hand; rows are scored where they lie, by the shards' triggers and by conditions that are pushed down.
#[test]
fn shards_score_their_own_rows() {
    let cluster = Cluster::new();
    let mut client = cluster.client();
    let bytes: Vec<u8> = one(&mut client, "SELECT export_sentiment('m')");
    for number in [0, 1] {
        let mut shard = cluster.shard(number);
        shard
            .query_one(
                "SELECT deploy_sentiment('m', split_part(import_sentiment('m', $1), '@', 2)::int)",
                &[&bytes],
            )
            .unwrap();
    }
    cluster.make_tables();
    client.batch_execute("INSERT INTO messages (id, body) SELECT n, CASE WHEN n % 3 = 0 THEN 'sunny' ELSE 'rainy' END || ' day' FROM generate_series(1, 300) AS n").unwrap();
    let mut rows = client.copy_in("COPY messages (id, body) FROM STDIN").unwrap();
    for id in 301..=600 {
        writeln!(rows, "{id}\trainy day").unwrap();
    }
    rows.finish().unwrap();
    client.batch_execute("UPDATE messages SET body = 'sunny again' WHERE id = 600").unwrap();
    for number in [0, 1] {
        let count: i64 =
            one(&mut cluster.shard(number), "SELECT count(*) FROM messages WHERE sentiment_version = 'm@1'");
        assert!(count > 200, "shard {number} has {count} rows");
    }
    let scored = "SELECT count(*) FROM messages WHERE sentiment = sentiment(body, 'm') AND sentiment_score IS NOT DISTINCT FROM sentiment_score(body, 'm')";
    assert_eq!(one::<i64>(&mut client, scored), 600, "as the coordinator scores them");

    // The condition is the shards' work; of one shard, so is all of an aggregation.
    let good = "SELECT id FROM messages WHERE sentiment_at(body, 'm@1') = 'good'";
    let shown = plan(&mut client, good);
    let pushed = |shown: &str, function: &str| {
        shown.lines().filter(|line| line.contains("Remote SQL") && line.contains(function)).count()
    };
    assert!(pushed(&shown, "sentiment_at(") == 2 && !shown.contains("Filter:"), "{shown}");
    assert_eq!(client.query(good, &[]).unwrap().len(), 101);
    let mean = "SELECT avg(sentiment_score_at(body, 'english@2')) FROM messages0 WHERE sentiment_at(body, 'm@1') = 'good'";
    let shown = plan(&mut client, mean);
    assert!(pushed(&shown, "avg(public.sentiment_score_at(") == 1 && shown.lines().count() < 6, "{shown}");
    let index =
        plan(&mut cluster.shard(0), "SELECT id FROM messages WHERE sentiment_at(body, 'm@1') = 'good'");
    assert!(index.contains("by_label"), "a shard answers from its index: {index}");
    // What may change is not pushed down: each server may have another version deployed.
    let shown = plan(&mut client, "SELECT id FROM messages WHERE sentiment(body, 'm') = 'good'");
    assert_eq!(pushed(&shown, "sentiment("), 0, "{shown}");
    drop(client);
    cluster.has_no_trouble(&[]);
}

/// Shards that subscribe to the coordinator's registry score by what it deploys.
#[test]
fn shards_follow_the_coordinators_models() {
    let cluster = Cluster::new();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE PUBLICATION models FOR TABLE sentiment.model, sentiment.part, sentiment.version, sentiment.deployment")
        .unwrap();
    for number in [0, 1] {
        let mut shard = cluster.shard(number);
        let connection =
            format!("host={} port=5432 user=postgres dbname=postgres", cluster.coordinator.socket());
        shard
            .batch_execute(&format!(
                "CREATE SUBSCRIPTION models{number} CONNECTION '{connection}' PUBLICATION models"
            ))
            .unwrap();
        until(
            "the first copy",
            &mut shard,
            "SELECT count(*) = 4 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel",
        );
    }
    cluster.make_tables();
    client
        .batch_execute("INSERT INTO messages (id, body) SELECT n, 'sunny' FROM generate_series(1, 100) AS n")
        .unwrap();
    let by = "SELECT string_agg(DISTINCT sentiment || ' by ' || sentiment_version, ', ') FROM messages WHERE body = 'sunny'";
    assert_eq!(one::<String>(&mut client, by), "good by m@1");
    client
        .batch_execute(
            "SELECT train_sentiment('m', 'texts', 'body', 'other', 'naive_bayes', deploy => 'always')",
        )
        .unwrap();
    for number in [0, 1] {
        until("the new model", &mut cluster.shard(number), "SELECT sentiment('sunny', 'm') = 'bad'");
        assert_eq!(
            one::<i64>(&mut cluster.shard(number), "SELECT count(*) FROM messages"),
            one::<i64>(&mut cluster.shard(number), "SELECT stale_sentiment('messages')")
        );
    }
    // Sessions that the coordinator holds open on the shards follow as well.
    client.batch_execute("UPDATE messages SET body = body").unwrap();
    assert_eq!(one::<String>(&mut client, by), "bad by m@2");
    for number in [0, 1] {
        cluster.shard(number).batch_execute("CALL rescore_sentiment('messages')").unwrap();
        cluster.shard(number).batch_execute(&format!("DROP SUBSCRIPTION models{number}")).unwrap();
    }
    drop(client);
    cluster.has_no_trouble(&["57P01"]);
}
