//! Installing and removing: what `make install`, the tarball's script and `scripts/server remove` do to files. Nothing here writes
//! into the machine's PostgreSQL: all goes under a folder of the test. `make test-package` installs in earnest.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sentiment_tests::{repository, run_clean};

/// A folder of one test, removed with it. Its name has a space in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("the {name} {}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn script(name: &str) -> Command {
    Command::new(repository().join("scripts").join(name))
}

/// `make` with a target, for a folder in place of the root.
fn make(target: &str, root: &Path) -> Command {
    let mut make = Command::new("make");
    make.args(["--silent", "--no-print-directory", target]).arg(format!("DESTDIR={}", root.display()));
    // Not those of a make that runs the tests.
    make.current_dir(repository()).env_remove("MAKEFLAGS").env_remove("MFLAGS");
    make
}

/// Runs a command that has to fail, and returns its errors.
fn refused(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{command:?} succeeds: {errors}");
    errors
}

/// What the PostgreSQL in use says of itself.
fn ask(of: &str) -> String {
    run_clean(script("pg_config").arg(of)).trim_end().to_owned()
}

/// A program, as a shell script.
fn program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// The `pg_config` in use, as it is where the server's headers are not installed.
fn without_headers(path: &Path) {
    let config = ask("--path");
    program(
        path,
        &format!("case $1 in --includedir-server) echo /nowhere ;; *) exec '{config}' \"$@\" ;; esac"),
    );
}

/// All files in a folder, by their path in it.
fn files(folder: &Path) -> Vec<String> {
    let found = run_clean(Command::new("find").arg(folder).args(["!", "-type", "d", "-printf", "%P\n"]));
    let mut found: Vec<_> = found.lines().map(str::to_owned).collect();
    found.sort();
    found
}

/// Where the library lies under a folder in place of the root.
fn library(root: &Path) -> PathBuf {
    root.join(ask("--pkglibdir").trim_start_matches('/')).join("pg_sentiment.so")
}

/// Installs over what is there, while the library is looked at: it is there, whole and for everybody, at each moment.
fn replaces_whole(root: &Path, mut install: Command) {
    run_clean(&mut install);
    let path = library(root);
    let mapped = fs::File::open(&path).unwrap();
    let whole = mapped.metadata().unwrap().len();
    let first = files(root);
    let done = AtomicBool::new(false);
    let installed = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = fs::metadata(&path).unwrap();
                assert_eq!((now.len(), now.permissions().mode() & 0o777), (whole, 0o755));
            }
        });
        let installed = (0..3).all(|_| install.status().is_ok_and(|status| status.success()));
        done.store(true, Ordering::Relaxed);
        installed
    });
    assert!(installed, "{install:?}");
    assert_eq!(mapped.metadata().unwrap().len(), whole, "what a server has mapped stays");
    assert_eq!(files(root), first, "nothing is left beside");
}

#[test]
fn make_replaces_the_library_whole() {
    let folder = Folder::new("whole");
    replaces_whole(&folder.0, make("install", &folder.0));
}

#[test]
fn the_tarballs_script_replaces_the_library_whole() {
    let folder = Folder::new("tarball");
    let (unpacked, root) = (folder.join("unpacked"), folder.join("root"));
    // What make installs is what is packed.
    run_clean(&mut make("install", &root));
    fs::create_dir_all(unpacked.join("share")).unwrap();
    fs::create_dir_all(unpacked.join("lib")).unwrap();
    fs::rename(library(&root), unpacked.join("lib/pg_sentiment.so")).unwrap();
    let extension = root.join(ask("--sharedir").trim_start_matches('/')).join("extension");
    fs::rename(extension, unpacked.join("share/extension")).unwrap();
    fs::copy(repository().join("packaging/install"), unpacked.join("install")).unwrap();
    fs::write(unpacked.join("postgresql"), ask("--major")).unwrap();

    let mut install = Command::new(unpacked.join("install"));
    install.arg(ask("--path")).env("DESTDIR", &root).stdout(Stdio::null());
    replaces_whole(&root, install);
}

#[test]
fn uninstall_removes_what_install_put_there_and_nothing_else() {
    let folder = Folder::new("uninstall");
    run_clean(&mut make("install", &folder.0));
    assert_eq!(
        files(&folder.0).iter().filter(|file| file.contains("pg_sentiment")).count(),
        files(&folder.0).len()
    );
    assert!(files(&folder.0).iter().any(|file| file.ends_with("extension/pg_sentiment.control")));
    let extension = folder.join(ask("--sharedir").trim_start_matches('/')).join("extension");
    let others =
        [library(&folder.0).with_file_name("pg_sentimental.so"), extension.join("pg_sentiment_more.control")];
    for other in &others {
        fs::write(other, "").unwrap();
    }
    for _ in 0..2 {
        run_clean(&mut make("uninstall", &folder.0));
        assert_eq!(files(&folder.0).len(), 2);
        assert!(others.iter().all(|other| other.exists()));
    }
}

/// Where nothing can be built any more, what was installed can still be removed.
#[test]
fn uninstall_needs_no_headers() {
    let folder = Folder::new("headers");
    let (bare, root) = (folder.join("pg_config"), folder.join("root"));
    without_headers(&bare);
    run_clean(&mut make("install", &root));
    run_clean(make("uninstall", &root).arg(format!("PG_CONFIG={}", bare.display())));
    assert_eq!(files(&root), Vec::<String>::new());
}

#[test]
fn only_what_was_built_for_a_postgresql_is_installed_there() {
    let folder = Folder::new("other major");
    let root = folder.join("root");
    let (major, path) = (ask("--major").parse::<u32>().unwrap(), ask("--path"));
    let other = if major == 18 { 17 } else { major + 1 };
    let config = folder.join("pg_config");
    program(
        &config,
        &format!("case $1 in --version) echo PostgreSQL {other}.1 ;; *) exec '{path}' \"$@\" ;; esac"),
    );
    let config = format!("PG_CONFIG={}", config.display());
    for target in ["install", "package", "deb", "prefix"] {
        let errors = refused(make(target, &root).arg(&config));
        assert!(errors.contains(&format!("was built for PostgreSQL {major} ")), "{target}: {errors}");
        assert!(errors.contains(&format!("is of {other}")), "{target}: {errors}");
    }
    assert!(!root.exists());

    // Not make's: nobody knows what it was built for.
    let target = folder.join("the target");
    fs::create_dir_all(target.join("release")).unwrap();
    let errors = refused(make("install", &root).env("CARGO_TARGET_DIR", &target));
    assert!(errors.contains("is not built yet: run make"), "{errors}");
    fs::write(target.join("release/libpg_sentiment.so"), "another").unwrap();
    for record in [None, Some(format!("{} {major} {path}\n", "0".repeat(64)))] {
        if let Some(record) = record {
            fs::write(target.join("release/libpg_sentiment.so.built"), record).unwrap();
        }
        let errors = refused(make("install", &root).env("CARGO_TARGET_DIR", &target));
        assert!(errors.contains("is not known: run make"), "{errors}");
    }
    assert!(!root.exists());
}

/// Whoever names no PostgreSQL is told so, once, and nothing goes on.
#[test]
fn a_pg_config_that_is_none_is_said_in_a_line() {
    let folder = Folder::new("no postgresql");
    let bare = folder.join("pg_config");
    without_headers(&bare);
    let major = ask("--major");
    let headers =
        format!("no server headers in /nowhere: install them (Debian: postgresql-server-dev-{major})");
    let builds = ["build", "install", "package", "deb", "sbom", "prefix"];
    for (config, reason, targets) in [
        (Path::new("/nowhere/pg_config"), "no such program", [builds.as_slice(), &["uninstall"]].concat()),
        (&bare, headers.as_str(), builds.to_vec()),
    ] {
        for target in targets {
            let errors = refused(make(target, &folder.0).arg(format!("PG_CONFIG={}", config.display())));
            // What make says of it, which may have been called by another.
            let lines: Vec<_> = errors.lines().filter(|line| !line.starts_with("make")).collect();
            assert!(lines.len() == 1 && lines[0].contains(reason), "{target}: {errors}");
        }
    }
}

#[test]
fn a_number_that_is_none_is_refused() {
    for (target, number) in
        [("test-crash", "ROUNDS=many"), ("test-soak", "MINUTES=1.5"), ("fuzz", "SECONDS_EACH=1h")]
    {
        let errors = refused(make(target, Path::new("/nowhere")).args(["--dry-run", number]));
        assert!(errors.contains(&format!("{number} is no whole number")), "{errors}");
        let name = number.split_once('=').unwrap().0;
        let run = run_clean(make(target, Path::new("/nowhere")).args(["--dry-run", &format!("{name}=7")]));
        assert!(run.contains(&format!("{name}=7 ")), "{run}");
    }
}

/// The targets that PGXN's client calls are there.
#[test]
fn pgxn_finds_its_targets() {
    for target in ["all", "install", "uninstall"] {
        run_clean(make(target, Path::new("/nowhere")).arg("--dry-run"));
    }
}

#[test]
fn no_folder_with_other_things_is_removed_as_a_server() {
    let folder = Folder::new("servers");
    let server = |command: &str, dir: &str| {
        let mut server = script("server");
        server.arg(command).arg(folder.join(dir));
        server
    };
    fs::create_dir_all(folder.join("foreign/data")).unwrap();
    fs::write(folder.join("foreign/data/thesis"), "").unwrap();
    fs::write(folder.join("file"), "").unwrap();
    symlink(folder.join("foreign"), folder.join("link")).unwrap();
    for dir in ["foreign", "file", "link"] {
        let errors = refused(&mut server("remove", dir));
        assert!(errors.contains("holds no server: nothing is removed"), "{errors}");
    }
    let errors = refused(Command::new(repository().join("demo/run")).arg(folder.join("foreign")));
    assert!(errors.contains("holds no server"), "{errors}");
    fs::rename(folder.join("foreign/data"), folder.join("foreign/more")).unwrap();
    let errors = refused(&mut server("start", "foreign"));
    assert!(errors.contains("is no server's folder"), "{errors}");
    assert_eq!(files(&folder.0), ["file", "foreign/more/thesis", "link"]);

    // Half made, empty, or none.
    fs::create_dir(folder.join("half")).unwrap();
    fs::write(folder.join("half/bindir"), "").unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    symlink(folder.join("gone"), folder.join("dangling")).unwrap();
    for dir in ["half", "empty", "none", "dangling"] {
        run_clean(&mut server("remove", dir));
        assert!(fs::symlink_metadata(folder.join(dir)).is_err(), "{dir}");
    }
}

/// What is left behind to remove a server when a process ends, removes that one only.
#[test]
fn a_server_outlives_the_process_of_one_that_was_there_before() {
    let folder = Folder::new("successor");
    let dir = folder.join("server");
    let server = |arguments: &[&str]| {
        let mut server = script("server");
        server.arg(arguments[0]).arg(&dir).args(&arguments[1..]);
        server
    };
    // Each ends with its input, at the latest with the test.
    let mut processes = [(); 2].map(|()| Command::new("cat").stdin(Stdio::piped()).spawn().unwrap());
    for process in &processes {
        run_clean(&mut server(&["remove"]));
        run_clean(&mut server(&["start", "--while", &process.id().to_string()]));
    }
    let mut end = |which: usize| {
        processes[which].kill().unwrap();
        processes[which].wait().unwrap();
    };
    end(0);
    // Whoever waits looks once a second.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(run_clean(&mut server(&["psql", "-Atc", "SELECT 1"])), "1\n");
    end(1);
    let ended = Instant::now();
    while dir.exists() {
        assert!(ended.elapsed() < Duration::from_secs(60), "{} is still there", dir.display());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Any password without a quotation mark and a backslash: it stands between quotation marks there.
#[test]
fn compose_hands_on_passwords_as_they_are() {
    let compose = fs::read_to_string(repository().join("compose.yaml")).unwrap();
    let urls: Vec<_> =
        compose.lines().filter_map(|line| line.trim().strip_prefix("DATABASE_URL: ")).collect();
    assert_eq!(urls.len(), 1);
    let (place, password) = ("${POSTGRES_PASSWORD:-sentiment}", "p@ss %41w%rd:/?#&=\"");
    assert!(urls[0].contains(place));
    let url = urls[0].trim_matches('"').replace(place, password);
    let config: postgres::Config = url.parse().unwrap();
    assert_eq!(config.get_password(), Some(password.as_bytes()));
    assert_eq!(config.get_hosts(), [postgres::config::Host::Tcp("database".into())]);
    assert_eq!((config.get_user(), config.get_dbname()), (Some("postgres"), Some("messages")));
}
