//! What is used instead of pg_sentiment: fetched on demand, left out where it is not to be had.

use crate::Result;
use crate::stage::target;
use postgres::Client;
use sentiment_tests::repository;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    folder: PathBuf,
    names: Vec<String>,
}

impl Peers {
    /// Fetches what is missing, and says what there is then.
    pub fn fetch() -> Result<Self> {
        let folder = target().join("bench/python");
        let output = Command::new(repository().join("benches/peers"))
            .arg(&folder)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let names = String::from_utf8(output.stdout)?;
        Ok(Self { folder: folder.canonicalize()?, names: names.lines().map(str::to_owned).collect() })
    }

    /// Whether this one is there.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|there| there == name)
    }

    /// Makes the function `vader(text)` and the trigger function `vader_trigger()`, which share what they have loaded.
    pub fn make_vader(&self, client: &mut Client) -> Result<()> {
        let load = format!(
            "if 'analyzer' not in GD:\n    import sys\n    sys.path.insert(0, {:?})\n    \
             from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer\n    \
             GD['analyzer'] = SentimentIntensityAnalyzer()\n",
            self.folder
        );
        let sql = format!(
            "CREATE EXTENSION IF NOT EXISTS plpython3u;
             CREATE OR REPLACE FUNCTION vader(body text) RETURNS float8 LANGUAGE plpython3u STABLE AS $py$\n\
             {load}return GD['analyzer'].polarity_scores(body)['compound']\n$py$;
             CREATE OR REPLACE FUNCTION vader_trigger() RETURNS trigger LANGUAGE plpython3u AS $py$\n\
             {load}TD['new']['score'] = GD['analyzer'].polarity_scores(TD['new']['body'])['compound']\nreturn 'MODIFY'\n$py$"
        );
        Ok(client.batch_execute(&sql)?)
    }

    /// The seconds that one of them takes to train on a file.
    pub fn train(&self, algorithm: &str, file: &Path) -> Result<f64> {
        let answer = self.ask(&[algorithm.as_ref(), file.as_os_str()])?;
        answer.get("seconds").and_then(Value::as_f64).ok_or_else(|| "no seconds".into())
    }

    /// The versions of those that are there.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let answer = self.ask(&["versions".as_ref()]).unwrap_or_default();
        serde_json::from_value(answer).unwrap_or_default()
    }

    fn ask(&self, arguments: &[&std::ffi::OsStr]) -> Result<Value> {
        let mut python = Command::new("python3");
        python.arg(repository().join("benches/peers.py")).args(arguments).env("PYTHONPATH", &self.folder);
        let output = python.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{python:?} failed").into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
