//! What it was measured on.

use crate::Result;
use crate::peers::Peers;
use postgres::Client;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Machine and versions.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// Its cores.
    pub cores: usize,
    /// Gigabytes of memory.
    pub memory_gb: u64,
    /// Kernel and distribution.
    pub system: String,
    /// Names of what was measured with, and their versions.
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    /// The machine that this runs on.
    pub fn read(peers: &Peers) -> Self {
        let mut versions = peers.versions();
        versions.insert("pg_sentiment".into(), env!("CARGO_PKG_VERSION").into());
        if let Some(rust) = first_line("rustc", &["--version"]) {
            versions.insert("Rust".into(), rust.split(' ').nth(1).unwrap_or_default().into());
        }
        let release = field("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_default();
        let kernel = first_line("uname", &["-sr"]).unwrap_or_default();
        // What follows is the builder's own.
        let kernel = kernel.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let memory = field("/proc/meminfo", "MemTotal", ':').unwrap_or_default();
        let kilobytes: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        Self {
            cpu: field("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gb: kilobytes.div_ceil(1 << 20),
            system: format!("{kernel}, {}", release.trim_matches('"')),
            versions,
        }
    }

    /// Adds the server's version.
    pub fn ask(&mut self, client: &mut Client) -> Result<()> {
        let version: String = client.query_one("SHOW server_version", &[])?.get(0);
        self.versions.insert("PostgreSQL".into(), version.split(' ').next().unwrap_or_default().into());
        Ok(())
    }
}

/// The value of the first line `name = value` of a file, whatever stands between both.
fn field(file: &str, name: &str, between: char) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(between)?.1.trim().to_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.to_owned())
}
