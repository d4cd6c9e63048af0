mod power_cuts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Instant;

use formats::Bytes;
use formats::backup::{Contents, Limits, Made, Reason, Scope};

use super::collect::{Wanted, collect};
use super::make::{Origin, make};
use super::prepare::{self, Machine, Prepared, prepare};
use super::restore::{self, Mounted, Tree as _, carry_out, finish};
use super::table::{Fate, MIGRATIONS, Migration, TABLE, line, migrated, schema};
use super::unpack::Archive;
use super::{Key, Lock};
use crate::error::Result;
use crate::lifecycle::silent;
use crate::secret::Secret;

const PASSPHRASE: &str = "correct horse battery staple";

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

fn wanted() -> Wanted {
    Wanted { scopes: Scope::ALL.into(), history: true, limits: Limits::default(), changing: BTreeSet::new() }
}

fn put(data: &Path, path: &str, content: &str) {
    let path = data.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

const STATIC: &str = r#"{"format":1,"method":"static","interface":"eth7","address":"192.0.2.10/24"}"#;

/// A data partition in use.
fn used() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("bulkhead/network.json", r#"{"format":1,"method":"dhcp"}"#),
        (
            "bulkhead/depot.json",
            r#"{"format":1,"proxy":"http://a:1","proxy-user":"u","proxy-password-file":"secret-of-proxy"}"#,
        ),
        ("bulkhead/secret-of-proxy", "hunter2"),
        ("bulkhead/licences/demo.licence", "licence"),
        ("bulkhead/identity", "who I am"),
        ("bulkhead/journal", "what I did"),
        ("bulkhead/network.json.new", "half"),
        ("bulkhead/strange", "?"),
        ("site/app.conf", "colour = blue"),
        ("site/deep/er/state", "7"),
        ("site/files/a", "small"),
        ("site/history/log", "what happened"),
        ("site/recordings/film", "very long"),
    ] {
        put(data.path(), path, content);
    }
    fs::create_dir(data.path().join("site/empty")).unwrap();
    fs::set_permissions(data.path().join("site/app.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    data
}

fn origin() -> Origin {
    let made =
        Made { agent: "0.1.0".into(), appliance: "one".into(), hostname: Some("hello".into()), ..Made::default() };
    Origin { product: "demo".into(), made, created: 1_795_392_000 }
}

fn machine() -> Machine {
    Machine { product: "demo".into(), hostname: Some("hello".into()), model: None, interfaces: vec!["eth0".into()] }
}

/// A backup of this data partition, outside of it.
fn backup(data: &Path, wanted: &Wanted) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.backup.age");
    make(data, &path, wanted, &Lock::Passphrase(secret(PASSPHRASE)), &origin(), Bytes(0), &silent).unwrap();
    (folder, path)
}

fn opened(path: &Path) -> Result<Archive> {
    Archive::open(fs::File::open(path).unwrap(), "it", &Key::Passphrase(secret(PASSPHRASE)))
}

fn prepared(data: &Path, path: &Path, machine: &Machine, only: &[&str]) -> Result<Prepared> {
    let only = (!only.is_empty()).then(|| only.iter().map(|part| (*part).to_owned()).collect());
    prepare(data, opened(path)?, &prepare::Wanted { scopes: None, only }, machine)
}

fn restored(data: &Path, path: &Path) -> Vec<String> {
    let prepared = prepared(data, path, &machine(), &[]).unwrap();
    carry_out(&Mounted::new(data), &prepared.plan).unwrap();
    prepared.preview
}

/// Path, permissions and content of everything that a backup has.
fn kept(data: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let found = collect(data, &wanted()).unwrap();
    let files = found.files.iter().map(|file| {
        let content = fs::read(data.join(&file.path)).unwrap();
        (file.path.clone(), (file.mode, content))
    });
    files.chain(found.folders.iter().map(|folder| (folder.path.clone(), (folder.mode, Vec::new())))).collect()
}

fn excluded(data: &Path, wanted: &Wanted) -> BTreeMap<String, Reason> {
    collect(data, wanted).unwrap().excluded.into_iter().map(|one| (one.path, one.reason)).collect()
}

#[test]
fn the_table_decides_and_everything_left_out_is_named() {
    let data = used();
    let paths: Vec<String> = kept(data.path()).into_keys().collect();
    let expected = [
        "bulkhead/depot.json",
        "bulkhead/licences/demo.licence",
        "bulkhead/network.json",
        "bulkhead/secret-of-proxy",
        "site",
        "site/app.conf",
        "site/deep",
        "site/deep/er",
        "site/deep/er/state",
        "site/empty",
        "site/files",
        "site/files/a",
        "site/history",
        "site/history/log",
    ];
    assert_eq!(paths, expected);
    let left_out = BTreeMap::from([
        ("bulkhead/identity".to_owned(), Reason::Declared),
        ("bulkhead/journal".into(), Reason::Declared),
        ("bulkhead/network.json.new".into(), Reason::Declared),
        ("bulkhead/strange".into(), Reason::Unknown),
        ("site/recordings".into(), Reason::Declared),
    ]);
    assert_eq!(excluded(data.path(), &wanted()), left_out);
    let site = Wanted { scopes: BTreeSet::from([Scope::Site]), history: false, ..wanted() };
    let of_site = collect(data.path(), &site).unwrap();
    assert!(of_site.files.iter().all(|file| file.path.starts_with("site/") && !file.path.contains("history")));
    assert_eq!(excluded(data.path(), &site)["site/history"], Reason::History);
}

#[test]
fn the_limits_of_the_file_store_are_kept_to_and_what_exceeds_them_is_named() {
    let data = used();
    put(data.path(), "site/files/large", &"x".repeat(200_001));
    put(data.path(), "site/large", &"x".repeat(200_001));
    for number in 0..60 {
        put(data.path(), &format!("site/files/n{number:02}"), "x");
    }
    let found = collect(data.path(), &wanted()).unwrap();
    assert_eq!(found.files.iter().filter(|file| file.part == "site-files").count(), 50);
    assert!(found.files.iter().any(|file| file.path == "site/large"), "the limits are those of the file store");
    let left_out = excluded(data.path(), &wanted());
    assert_eq!(left_out["site/files/large"], Reason::TooLarge);
    assert_eq!(left_out.values().filter(|reason| **reason == Reason::TooMany).count(), 11);
    let more = Wanted { limits: Limits { file_bytes: 300_000, files: 100 }, ..wanted() };
    assert!(
        !excluded(data.path(), &more).values().any(|reason| *reason >= Reason::TooLarge && *reason < Reason::Unknown)
    );
}

#[test]
fn links_pipes_and_strange_names_are_left_out_by_name_and_nothing_is_followed() {
    use std::os::unix::ffi::OsStrExt as _;
    let data = used();
    symlink("/etc/shadow", data.path().join("site/link")).unwrap();
    nix::unistd::mkfifo(&data.path().join("site/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(data.path().join(std::ffi::OsStr::from_bytes(b"site/bad\xff")), "x").unwrap();
    put(data.path(), "site/line\nbreak", "x");
    symlink("/etc/hostname", data.path().join("bulkhead/health.json")).unwrap();
    let left_out = excluded(data.path(), &wanted());
    assert_eq!((left_out["site/link"], left_out["site/pipe"]), (Reason::NotAFile, Reason::NotAFile));
    assert_eq!((left_out["site/bad\u{fffd}"], left_out["site/line\\nbreak"]), (Reason::Name, Reason::Name));
    assert_eq!(left_out["bulkhead/health.json"], Reason::NotAFile);
    backup(data.path(), &wanted());
}

#[test]
fn a_setting_cannot_have_a_file_taken_in_that_is_never_in() {
    let data = used();
    put(data.path(), "bulkhead/depot.json", r#"{"format":1,"ca-file":"identity"}"#);
    assert_eq!(excluded(data.path(), &wanted())["bulkhead/identity"], Reason::Declared);
}

#[test]
fn what_was_backed_up_is_there_again_byte_for_byte_on_a_new_machine() {
    let data = used();
    let (_folder, path) = backup(data.path(), &wanted());
    let fresh = tempfile::tempdir().unwrap();
    put(fresh.path(), "bulkhead/identity", "somebody else");
    let preview = restored(fresh.path(), &path);
    assert_eq!(kept(fresh.path()), kept(data.path()));
    assert!(preview.iter().any(|line| line == "network: \"bulkhead/network.json\" comes back"), "{preview:?}");
    assert_eq!(fs::read_to_string(fresh.path().join("bulkhead/identity")).unwrap(), "somebody else");
    assert!(!fresh.path().join(restore::FOLDER).exists());
    assert_eq!(
        collect(fresh.path(), &wanted()).unwrap().settings(),
        collect(data.path(), &wanted()).unwrap().settings()
    );
}

#[test]
fn a_restore_takes_away_what_came_since_and_leaves_what_is_never_in_a_backup() {
    let data = used();
    let (_folder, path) = backup(data.path(), &wanted());
    let before = kept(data.path());
    put(data.path(), "site/app.conf", "colour = red");
    put(data.path(), "bulkhead/health.json", r#"{"format":1,"checks":[]}"#);
    put(data.path(), "site/new-since", "x");
    put(data.path(), "bulkhead/licences/other.licence", "x");
    put(data.path(), "site/recordings/second", "y");
    let preview = restored(data.path(), &path);
    assert_eq!(kept(data.path()), before);
    for line in [
        "health: \"bulkhead/health.json\" is removed: the backup has none",
        "site: \"site/app.conf\" changes",
        "licences: \"bulkhead/licences\" changes: 0 of its 1 files are others, 1 that are here are not in it",
        "network: \"bulkhead/network.json\" stays as it is",
    ] {
        assert!(preview.iter().any(|said| said == line), "{line}: {preview:#?}");
    }
    assert_eq!(fs::read_to_string(data.path().join("site/recordings/second")).unwrap(), "y");
    assert_eq!(fs::read_to_string(data.path().join("bulkhead/strange")).unwrap(), "?");
}

#[test]
fn files_that_a_backup_left_out_stay_and_a_backup_without_history_leaves_history_alone() {
    let data = used();
    put(data.path(), "site/files/large", &"x".repeat(200_001));
    let (_folder, path) = backup(data.path(), &Wanted { history: false, ..wanted() });
    put(data.path(), "site/files/a", "changed");
    put(data.path(), "site/history/log", "more happened");
    restored(data.path(), &path);
    assert_eq!(fs::read_to_string(data.path().join("site/files/a")).unwrap(), "small");
    assert_eq!(fs::metadata(data.path().join("site/files/large")).unwrap().len(), 200_001);
    assert_eq!(fs::read_to_string(data.path().join("site/history/log")).unwrap(), "more happened");
    let fresh = tempfile::tempdir().unwrap();
    restored(fresh.path(), &path);
    assert!(!fresh.path().join("site/history").exists());
}

#[test]
fn another_machine_is_told_what_does_not_suit_it() {
    let data = used();
    put(data.path(), "bulkhead/network.json", STATIC);
    let (_folder, path) = backup(data.path(), &wanted());
    let fresh = tempfile::tempdir().unwrap();
    let other = Machine { hostname: None, model: Some("virtual".into()), ..machine() };
    let told = prepared(fresh.path(), &path, &other, &[]).unwrap();
    let said = told.preview.join("\n");
    for line in [
        "it is for the interface \"eth7\", and this machine has eth0",
        "host name \"hello\", this one has \"none\"",
        "model \"none\"",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(told.plan.steps.iter().all(|step| step.path != "bulkhead/network.json"));
    let suits = Machine { interfaces: vec!["eth7".into()], ..machine() };
    let told = prepared(fresh.path(), &path, &suits, &["network"]).unwrap();
    assert_eq!(told.plan.steps.len(), 1);
    assert!(told.preview.join("\n").contains("two machines must not have it at once"));
}

#[test]
fn what_is_newer_damaged_or_of_another_product_is_refused_and_touches_nothing() {
    let data = used();
    let (_folder, path) = backup(data.path(), &wanted());
    let before = kept(data.path());
    let refused = |result: Result<Prepared>| (result.as_ref().unwrap_err().code(), result.unwrap_err().to_string());
    let other = Machine { product: "other".into(), ..machine() };
    assert_eq!(refused(prepared(data.path(), &path, &other, &[])).0, "other-product");
    assert_eq!(refused(prepared(data.path(), &path, &machine(), &["nothing"])).0, "usage");
    let wrong = Archive::open(fs::File::open(&path).unwrap(), "it", &Key::Passphrase(secret("wrong horse battery")));
    assert_eq!(wrong.err().unwrap().code(), "wrong-passphrase");
    let good = fs::read(&path).unwrap();
    let cut = path.with_extension("cut");
    fs::write(&cut, &good[..good.len() - 1]).unwrap();
    assert_eq!(refused(prepared(data.path(), &cut, &machine(), &[])).0, "truncated");
    put(data.path(), "bulkhead/depot.json", "no JSON");
    let (_other, bad) = backup(data.path(), &wanted());
    put(data.path(), "bulkhead/depot.json", std::str::from_utf8(&before["bulkhead/depot.json"].1).unwrap());
    let (code, text) = refused(prepared(data.path(), &bad, &machine(), &[]));
    assert_eq!((code, text.contains("--only")), ("unusable", true), "{text}");
    assert_eq!(kept(data.path()), before);
}

/// Changes the table of contents of a backup without changing anything else.
fn with_contents(path: &Path, change: impl FnOnce(&mut Contents)) {
    struct All(Vec<Vec<u8>>);
    impl formats::backup::Sink for All {
        fn begin(&mut self, _: &formats::backup::File) -> io::Result<()> {
            self.0.push(Vec::new());
            Ok(())
        }
        fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.last_mut().unwrap().extend(bytes);
            Ok(())
        }
        fn end(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let key = Key::Passphrase(secret(PASSPHRASE));
    let plain = formats::age::open(fs::File::open(path).unwrap(), key.as_age()).unwrap();
    let mut all = All(Vec::new());
    let mut contents = formats::backup::Reader::open(plain).unwrap().files(&mut all).unwrap();
    change(&mut contents);
    let lock = Lock::Passphrase(secret(PASSPHRASE));
    let to = formats::age::seal(Vec::new(), lock.as_age(), &mut crate::chance::fill).unwrap();
    let mut files = all.0.iter();
    let to = formats::backup::write(to, &contents, |_| Ok(files.next().unwrap().as_slice()), |_| {}).unwrap();
    fs::write(path, to.finish().unwrap()).unwrap();
}

#[test]
fn a_part_of_a_newer_version_is_refused_with_the_way_out_and_can_be_left_out() {
    let data = used();
    let (_folder, path) = backup(data.path(), &wanted());
    with_contents(&path, |contents| contents.parts.iter_mut().find(|part| part.name == "depot").unwrap().schema = 2);
    let problem = prepared(data.path(), &path, &machine(), &[]).unwrap_err();
    assert_eq!(problem.code(), "too-new");
    for words in ["part \"depot\"", "has version 2", "knows version 1", "update this appliance first", "--only"] {
        assert!(problem.to_string().contains(words), "{problem}");
    }
    prepared(data.path(), &path, &machine(), &["network", "site"]).unwrap();
    with_contents(&path, |contents| {
        contents.parts.push(formats::backup::Part { name: "magic".into(), scope: Scope::Site, schema: 1 });
    });
    assert!(prepared(data.path(), &path, &machine(), &["magic"]).unwrap_err().to_string().contains("does not know it"));
}

#[test]
fn a_backup_cannot_bring_what_no_backup_has() {
    let data = used();
    for (from, to) in [
        ("bulkhead/network.json", "bulkhead/identity"),
        ("bulkhead/secret-of-proxy", "bulkhead/restore/record.json"),
        ("bulkhead/secret-of-proxy", "etc/passwd"),
        ("site/app.conf", "bulkhead/health.json"),
        ("site/app.conf", "site/recordings/x"),
    ] {
        let (_folder, path) = backup(data.path(), &wanted());
        with_contents(&path, |contents| {
            contents.files.iter_mut().find(|file| file.path == from).unwrap().path = to.into();
        });
        let problem = prepared(data.path(), &path, &machine(), &[]).unwrap_err();
        assert!(problem.code() == "unusable" && problem.to_string().contains(to), "{to}: {problem}");
    }
}

#[test]
fn files_of_older_versions_are_brought_on_step_by_step() {
    let add = |_: &str, bytes: &[u8]| Ok([bytes, b"+"].concat());
    let fail = |path: &str, _: &[u8]| Err(format!("{path} is too old"));
    let steps = [
        Migration { part: "network", from: 1, bring: add },
        Migration { part: "network", from: 2, bring: add },
        Migration { part: "depot", from: 1, bring: fail },
    ];
    let from = |part, versions| migrated(&steps, part, versions, "file", b"x".to_vec());
    assert_eq!(from("network", (1, 3)).unwrap(), b"x++");
    assert_eq!(from("network", (2, 3)).unwrap(), b"x+");
    assert_eq!(from("network", (3, 3)).unwrap(), b"x");
    assert!(from("network", (1, 4)).unwrap_err().contains("from version 3"));
    assert_eq!(from("depot", (1, 2)).unwrap_err(), "file is too old");
    // Whoever raises a version in the table writes the steps to it.
    for row in TABLE {
        if let Fate::Part(part, schema) | Fate::History(part, schema) | Fate::Limited(part, schema) = row.fate {
            let there = |from: &u32| MIGRATIONS.iter().any(|step| step.part == part && step.from == *from);
            assert!((1..schema).all(|from| there(&from)), "{part}");
        }
    }
}

#[test]
fn a_file_that_changes_each_time_it_is_read_is_left_out_by_name() {
    let data = used();
    let changing = Wanted { changing: BTreeSet::from(["site/app.conf".to_owned()]), ..wanted() };
    assert_eq!(excluded(data.path(), &changing)["site/app.conf"], Reason::Changing);
    // One that grows while it is read: a thread does nothing else.
    let path = data.path().join("site/app.conf");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut count = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                count += 1;
                fs::write(&path, format!("{count}")).unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("one.backup.age");
        let written =
            make(data.path(), &to, &wanted(), &Lock::Passphrase(secret(PASSPHRASE)), &origin(), Bytes(0), &silent);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let contents = written.unwrap().contents;
        let archive = opened(&to).unwrap();
        assert_eq!(archive.test().unwrap(), contents);
    });
}

#[test]
fn the_verdict_about_a_passphrase_takes_less_than_a_second() {
    let data = used();
    let (_folder, path) = backup(data.path(), &wanted());
    let fastest = (0..3).map(|_| {
        let started = Instant::now();
        let wrong =
            Archive::open(fs::File::open(&path).unwrap(), "it", &Key::Passphrase(secret("wrong horse battery")));
        assert!(wrong.is_err());
        started.elapsed()
    });
    assert!(fastest.min().unwrap().as_millis() < 1000);
}

#[test]
fn nothing_secret_stands_in_what_is_shown() {
    let order = crate::api::CreateBackup { passphrase: Some(secret(PASSPHRASE)), ..Default::default() };
    assert!(!format!("{order:?}").contains("horse"));
    let data = used();
    let (_folder, path) = backup(data.path(), &wanted());
    assert!(!fs::read(&path).unwrap().windows(7).any(|seven| seven == b"hunter2"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn every_path_that_the_sources_name_on_the_data_partition_is_in_the_table() {
    fn visit(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && !path.components().any(|part| part.as_os_str() == "tests")
            {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                for rest in code.split("\"bulkhead/").skip(1) {
                    let name: String =
                        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
                    found.insert(format!("bulkhead/{name}"));
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for folder in ["src", "../formats/src", "../rootfs/init/src", "../rootfs/appliance/src", "../rootfs/reset/src"] {
        visit(&root.join(folder), &mut found);
    }
    assert!(found.contains("bulkhead/identity") && found.contains("bulkhead/boot-failures.jsonl"), "{found:?}");
    // The name of the program in a header, and what lies in memory below /run.
    found.retain(|path| !["bulkhead/", "bulkhead/trust.json"].contains(&path.as_str()));
    let strange: Vec<_> = found.iter().filter(|path| line(path).is_none()).collect();
    assert!(strange.is_empty(), "add them to backup/table.rs: {strange:?}");
    assert!(
        TABLE
            .iter()
            .all(|row| row.path.starts_with("site") || row.path.starts_with("bulkhead/") || row.path == "lost+found")
    );
    assert_eq!((schema("network"), schema("identity")), (Some(1), None));
}

#[test]
fn a_real_restore_that_was_cut_off_is_completed_at_the_next_start_and_blocks_another_until_then() {
    let data = used();
    let (_folder, path) = backup(data.path(), &wanted());
    let before = kept(data.path());
    put(data.path(), "site/app.conf", "colour = red");
    put(data.path(), "site/deep/er/state", "8");
    let ready = prepared(data.path(), &path, &machine(), &[]).unwrap();
    assert_eq!(ready.plan.steps.len(), 2, "{:?}", ready.plan);
    // As a cut leaves it behind the first exchange.
    let tree = Mounted::new(data.path());
    tree.keep(&serde_json::to_vec(&ready.plan).unwrap()).unwrap();
    tree.exchange(&ready.plan.steps[0].beside, &ready.plan.steps[0].path).unwrap();
    let problem = prepared(data.path(), &path, &machine(), &[]).unwrap_err();
    assert_eq!(problem.code(), "restore-halfway");
    assert_eq!(finish(&tree).unwrap(), Some("a restore that was cut off is completed"));
    assert_eq!(kept(data.path()), before);
    assert_eq!(finish(&tree).unwrap(), None);
    assert!(!data.path().join(restore::FOLDER).exists());
}
