//! Training inside the database beside training outside.

use crate::Result;
use crate::figures::{Start, race};
use crate::stage::{Stage, target, write_rows};

/// One that trains: its name, the peer that it needs, and what that or we are asked for.
struct Contestant {
    name: &'static str,
    peer: Option<&'static str>,
    algorithm: &'static str,
}

const CONTESTANTS: &[Contestant] = &[
    Contestant { name: "train_sentiment, logistic regression", peer: None, algorithm: "logistic_regression" },
    Contestant { name: "train_sentiment, naive Bayes", peer: None, algorithm: "naive_bayes" },
    Contestant {
        name: "scikit-learn, logistic regression",
        peer: Some("scikit-learn"),
        algorithm: "logistic",
    },
    Contestant { name: "scikit-learn, naive Bayes", peer: Some("scikit-learn"), algorithm: "bayes" },
    Contestant { name: "fastText, word 2-grams", peer: Some("fasttext"), algorithm: "fasttext" },
];

/// The targets, and the contestants that each compares.
const RATIOS: &[(&str, usize, usize)] = &[("logistic", 0, 2), ("fasttext", 0, 4), ("bayes", 1, 3)];

/// Measures all that are to be had. What is ours calibrates on three held-out folds besides; the others do not.
pub fn measure(stage: &mut Stage) -> Result<()> {
    if stage.data.labelled.is_empty() {
        stage.report.skip("training, for DATA has no labelled texts");
        return Ok(());
    }
    let file = target().join("bench/labelled.tsv");
    write_rows(&file, &stage.data.labelled)?;
    let there = |contestant: &&Contestant| contestant.peer.is_none_or(|peer| stage.peers.has(peer));
    let contestants: Vec<&Contestant> = CONTESTANTS.iter().filter(there).collect();
    for missing in CONTESTANTS.iter().filter(|contestant| !there(contestant)) {
        stage.report.skip(&format!("{}, which is not to be had here", missing.name));
    }
    stage.client.batch_execute("SET sentiment.train_memory = '2GB'; SET sentiment.progress_interval = -1")?;
    let peers = stage.peers.clone();
    let raced = race(stage.settings.few_rounds(), contestants.len(), Start::Cold, |at| {
        let Contestant { peer, algorithm, .. } = contestants[at];
        match peer {
            Some(_) => peers.train(algorithm, &file),
            None => stage.time(&format!(
                "SELECT train_sentiment('raced', 'labelled', 'body', 'label', '{algorithm}',
                     test_fraction => 1e-9, deploy => 'never')"
            )),
        }
    });
    // It holds texts that belong to others.
    std::fs::remove_file(&file)?;
    let raced = raced?;
    for (contestant, figures) in contestants.iter().zip(&raced) {
        stage.report.line("training", contestant.name, "s", *figures);
    }
    let place = |at: usize| contestants.iter().position(|contestant| contestant.name == CONTESTANTS[at].name);
    for (id, ours, beside) in RATIOS {
        if let (Some(ours), Some(beside)) = (place(*ours), place(*beside)) {
            stage.report.ratio(id, "s", raced[ours], raced[beside])?;
        }
    }
    Ok(())
}
