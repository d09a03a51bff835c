//! PostgreSQL: a load of transactions, a dump that restores to the same dump,
//! and large queries, parallel and JIT-compiled, with the same results as
//! without the library.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::folder::Folder;
use crate::installed::{assert_malloc_from_library, report_missing};
use crate::server::{
    Server, assert_library_loaded, count_children_with_library, explained, resident,
};
use crate::twice::{SECONDS, Under, assert_same_output, printed, program_file};

struct Postgres {
    server: Option<Server>,
    programs: PathBuf,
    folder: Folder,
    under: Under,
}

/// The directory with the programs of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|it| it.path().join("bin")).filter(|it| it.join("initdb").is_file());
    let Some(programs) = folders.max() else {
        report_missing("PostgreSQL", "postgresql");
        return None;
    };
    assert_malloc_from_library(&programs.join("postgres"), "--version");
    Some(programs)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("reading /proc").uid() == 0
}

/// The server refuses to run as root: its user owns all files then.
fn chown_to_server_user(path: &Path) {
    if is_root() {
        let status = Command::new("chown").arg("-R").arg("postgres:").arg(path).status();
        assert!(
            status.is_ok_and(|it| it.success()),
            "cannot change the owner of {}",
            path.display()
        );
    }
}

impl Postgres {
    /// Creates a new cluster and starts its server.
    fn start(programs: &Path, under: Under) -> Self {
        let folder = Folder::new("postgres");
        fs::copy(capi_tests::library(), library(&folder)).expect("copying the library");
        fs::set_permissions(library(&folder), fs::Permissions::from_mode(0o755)).unwrap();
        chown_to_server_user(folder.path());
        let programs = programs.to_owned();
        let mut postgres = Postgres { server: None, programs, folder, under };
        let mut initdb = postgres.command("initdb");
        printed(initdb.args([
            "--no-sync",
            "--locale=C.UTF-8",
            "-A",
            "trust",
            "-U",
            "postgres",
            "-D",
            "data",
        ]));

        let mut command = postgres.command("postgres");
        command.args(["-D", "data", "-k"]).arg(postgres.folder.path());
        // As in `docs/recipes.md`.
        command.env("STRATA_CONF", "explain:exit");
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "shared_buffers=64MB",
            "work_mem=64MB",
            "max_parallel_workers_per_gather=2",
            // Containers often have little POSIX shared memory.
            "dynamic_shared_memory_type=mmap",
        ] {
            command.args(["-c", setting]);
        }
        let mut server = Server::start(&mut command, postgres.folder.at("log"));
        server.ready(|| {
            let output = postgres.client("psql").args(["-c", "SELECT 1"]).output().ok()?;
            output.status.success().then_some(())
        });
        postgres.server = Some(server);
        postgres
    }

    /// A command that runs a program as the server's user, with the copy of the
    /// library in the directory: that user may not have access to the one that
    /// was built.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.current_dir(self.folder.path());
        command.args(["--kill-after=5", &SECONDS.to_string()]);
        if is_root() {
            command.args(["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]);
        }
        if self.under == Under::Library {
            command.arg("env").arg(format!("LD_PRELOAD={}", library(&self.folder).display()));
        }
        command.arg(self.programs.join(program));
        command
    }

    /// A client of the server.
    fn client(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.arg("-h").arg(self.folder.path()).args(["-U", "postgres"]);
        command
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = self.client("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database]);
        command
    }

    fn dump(&self, database: &str) -> String {
        let dump = capi_tests::succeed(self.client("pg_dump").arg(database));
        // Lines with a random token against injection.
        let lines = dump
            .lines()
            .filter(|it| !it.starts_with("\\restrict ") && !it.starts_with("\\unrestrict "));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn stop(mut self) {
        self.server.take().expect("the server runs").stop("INT");
        let log = fs::read_to_string(self.folder.at("log")).expect("reading the log");
        assert!(log.contains("database system is shut down"), "{log}");
        if self.under == Under::Library {
            explained(&log, 2.0);
        }
        assert!(!log.contains("PANIC") && !log.contains("was terminated by"), "{log}");
    }
}

fn library(folder: &Folder) -> PathBuf {
    folder.at(&capi_tests::library().file_name().expect("a file name").to_string_lossy())
}

#[test]
fn a_dump_comes_back_as_it_went_out() {
    let Some(programs) = programs() else { return };
    let postgres = Postgres::start(&programs, Under::Library);
    let pid = postgres.server.as_ref().expect("the server runs").pid();
    assert_library_loaded(pid);
    // Background processes; short-lived ones may exit at any time.
    let helpers = count_children_with_library(pid);
    assert!(helpers >= 3, "{helpers} children");

    printed(postgres.client("pgbench").args(["-i", "-q", "-s", "3", "postgres"]));
    for way in ["simple", "prepared"] {
        let mut load = postgres.client("pgbench");
        load.args(["-n", "-c", "8", "-j", "2", "-t", "250", "-M", way, "postgres"]);
        let said = String::from_utf8_lossy(&printed(&mut load)).into_owned();
        assert!(said.contains("actually processed: 2000/2000"), "{said}");
    }
    let sums = "SELECT sum(abalance) = (SELECT sum(delta) FROM pgbench_history),
        sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches),
        (SELECT count(*) FROM pgbench_history) FROM pgbench_accounts";
    assert_eq!(
        capi_tests::succeed(postgres.psql("postgres").args(["-A", "-t", "-c", sums])),
        "t|t|4000\n"
    );

    let dump = postgres.dump("postgres");
    assert!(dump.lines().count() > 300_000, "{} lines", dump.lines().count());
    let file = postgres.folder.write("dump.sql", &dump);
    chown_to_server_user(&file);
    printed(postgres.psql("postgres").args(["-c", "CREATE DATABASE again"]));
    printed(postgres.psql("again").arg("-f").arg(&file));
    assert!(postgres.dump("again") == dump, "the dump of the restored database differs");
    assert!(resident(pid) < 200, "the server process has {} MiB", resident(pid));
    postgres.stop();
}

#[test]
fn large_queries_answer_the_same() {
    let Some(programs) = programs() else { return };
    assert_same_output(|under| {
        let postgres = Postgres::start(&programs, under);
        // The server's user may not have access to the original script.
        let script =
            postgres.folder.write("script.sql", fs::read(program_file("large.sql")).unwrap());
        chown_to_server_user(&script);
        let answers = printed(postgres.psql("postgres").args(["-f", "script.sql"]));
        let plans = String::from_utf8_lossy(&answers);
        for part in ["Gather", "Parallel Hash", "HashAggregate", "Sort", "JIT"] {
            assert!(plans.contains(part), "no {part} in\n{plans}");
        }
        postgres.stop();
        answers
    });
}
