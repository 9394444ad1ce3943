//! How large the library is, and how long it takes to build.

use crate::Result;
use crate::figures::{Figures, count, seconds};
use crate::stage::{Stage, target};
use sentiment_tests::{repository, run_clean};
use std::process::Command;

/// Measures the library as `make install` installs it.
pub fn measure(stage: &mut Stage) -> Result<()> {
    let copy = target().join("bench/stripped.so");
    let built = target().join("release/libpg_sentiment.so");
    run_clean(Command::new("install").args(["-s", "-m", "644"]).arg(built).arg(&copy));
    let size = count(usize::try_from(std::fs::metadata(&copy)?.len())?) / 1e6;
    std::fs::remove_file(copy)?;
    stage.report.outcome("library", size, "")?;
    if !stage.settings.full {
        stage.report.skip("the build from nothing, which FULL=1 measures");
        return Ok(());
    }
    build(stage)
}

/// Builds it in an empty folder; what is downloaded is there already.
fn build(stage: &mut Stage) -> Result<()> {
    let folder = target().join("bench/build");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let took = seconds(|| {
        let mut make = Command::new("make");
        make.current_dir(repository()).arg("build").env("CARGO_TARGET_DIR", &folder);
        // This make is not part of the one that we are run by.
        run_clean(make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS"));
        Ok(())
    })?;
    std::fs::remove_dir_all(&folder)?;
    let figures = Figures::of(&[took / 60.0]).ok_or("no rounds")?;
    stage.report.alone("build", "min", figures, "")
}
