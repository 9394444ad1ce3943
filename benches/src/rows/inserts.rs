//! What a trigger adds to an insert.

use crate::Result;
use crate::figures::{Start, race};
use crate::stage::Stage;

/// A table that is filled: what it is called in the report, how it is made, and from which texts it is filled.
struct Contestant {
    name: &'static str,
    table: &'static str,
    make: &'static str,
    source: &'static str,
}

const CONTESTANTS: &[Contestant] = &[
    Contestant { name: "no trigger", table: "bare", make: "CREATE TABLE bare (body text)", source: "texts" },
    Contestant {
        name: "empty PL/pgSQL trigger",
        table: "idle",
        make: "CREATE TABLE idle (body text);
            CREATE FUNCTION idle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER idle BEFORE INSERT ON idle FOR EACH ROW EXECUTE FUNCTION idle()",
        source: "texts",
    },
    Contestant {
        name: "enable_sentiment: label, score, version",
        table: "scored",
        make: "CREATE TABLE scored (body text); DO $$ BEGIN PERFORM enable_sentiment('scored', 'body'); END $$",
        source: "texts",
    },
    Contestant {
        name: "tsvector_update_trigger",
        table: "indexed",
        make: "CREATE TABLE indexed (body text, words tsvector);
            CREATE TRIGGER words BEFORE INSERT ON indexed FOR EACH ROW
            EXECUTE FUNCTION tsvector_update_trigger('words', 'pg_catalog.english', 'body')",
        source: "some_texts",
    },
    Contestant {
        name: "VADER in a PL/Python trigger",
        table: "judged",
        make: "CREATE TABLE judged (body text, score float8);
            CREATE TRIGGER judge BEFORE INSERT ON judged FOR EACH ROW EXECUTE FUNCTION vader_trigger()",
        source: "few_texts",
    },
];

/// Measures all triggers beside each other.
pub fn measure(stage: &mut Stage) -> Result<()> {
    let vader = stage.peers.has("vader") && stage.peers.has("plpython");
    if vader {
        let peers = stage.peers.clone();
        peers.make_vader(&mut stage.client)?;
    }
    let contestants = &CONTESTANTS[..CONTESTANTS.len() - usize::from(!vader)];
    let mut rows = Vec::new();
    for Contestant { make, source, .. } in contestants {
        stage.client.batch_execute(make)?;
        let n: i64 = stage.client.query_one(&format!("SELECT count(*) FROM {source}"), &[])?.get(0);
        rows.push(f64::from(i32::try_from(n)?));
    }
    let figures = race(stage.settings.rounds, contestants.len(), Start::Warm, |at| {
        let Contestant { table, source, .. } = contestants[at];
        stage.client.batch_execute(&format!("TRUNCATE {table}"))?;
        Ok(stage.time(&format!("INSERT INTO {table} (body) SELECT body FROM {source}"))? * 1e6 / rows[at])
    })?;
    for (Contestant { name, table, .. }, figures) in contestants.iter().zip(&figures) {
        stage.report.line("insert", name, "us a row", *figures);
        stage.client.batch_execute(&format!("DROP TABLE {table}"))?;
    }
    stage.report.ratio("trigger", "us a row", figures[2], figures[1])?;
    stage.report.ratio("trigger_tsvector", "us a row", figures[2], figures[3])?;
    if let Some(vader) = figures.get(4) {
        stage.report.ratio("trigger_vader", "us a row", figures[2], *vader)?;
    }
    Ok(())
}
