//! Backups by the real commands, over the real socket: made, listed, shown, tried, fetched, opened by age, restored on another appliance.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

mod appliance;
mod disk_file;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use appliance::Appliance;
use fixtures::release;
use formats::manifest::Kind;
use serde_json::Value;
use update_agent::calendar::Calendar;

const PASSPHRASE: &str = "correct horse battery staple\n";

/// An appliance with a setting, a site's file and the passphrase in a file.
fn used() -> Appliance {
    let appliance = fresh();
    put(&appliance, "data/bulkhead/health.json", r#"{"format":1,"checks":[]}"#);
    put(&appliance, "data/site/app.conf", "colour = blue");
    put(&appliance, "data/site/files/large", &"x".repeat(200_001));
    appliance
}

fn fresh() -> Appliance {
    let appliance = Appliance::with_depot(b"no root", None);
    fs::remove_file(appliance.path("shipped/root.json")).unwrap();
    fs::create_dir_all(appliance.path("data/bulkhead")).unwrap();
    put(&appliance, "passphrase", PASSPHRASE);
    appliance
}

fn put(appliance: &Appliance, path: &str, content: &str) {
    let path = appliance.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn shown(appliance: &Appliance, path: &str) -> String {
    appliance.path(path).to_str().unwrap().to_owned()
}

/// The names of those that are kept, the newest first.
fn kept(appliance: &Appliance) -> Vec<String> {
    let facts = appliance.json(&["backup", "list", "--json"]);
    facts["backups"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

fn create(appliance: &Appliance) -> String {
    let passphrase = shown(appliance, "passphrase");
    appliance.text(&["backup", "create", "--passphrase-file", &passphrase], 0);
    kept(appliance)[0].clone()
}

/// A key by age-keygen: the file, and its public half.
fn key(appliance: &Appliance) -> Option<(String, String)> {
    let file = shown(appliance, "key.txt");
    let Ok(made) = Command::new("age-keygen").args(["-o", &file]).output() else {
        assert!(std::env::var_os("CI").is_none(), "age is missing: install it (scripts/setup)");
        eprintln!("SKIPPED: needs age");
        return None;
    };
    let said = String::from_utf8(made.stderr).unwrap();
    Some((file, said.trim().rsplit(' ').next().unwrap().to_owned()))
}

#[test]
fn a_backup_is_made_listed_shown_tried_restored_elsewhere_and_removed() {
    let (old, new) = (used(), fresh());
    let passphrase = shown(&old, "passphrase");
    let said = old.text(&["backup", "create", "--passphrase-file", &passphrase], 0);
    assert!(said.contains("left out: \"site/files/large\""), "{said}");
    let id = kept(&old)[0].clone();
    let listed = old.text(&["backup", "list"], 0);
    assert!(listed.contains(&id) && listed.contains("opened with passphrase"), "{listed}");
    assert!(listed.contains("has the settings as they are"), "{listed}");
    let said = old.text(&["backup", "show", &id], 0);
    assert!(
        said.contains("+ site/app.conf") && said.contains("- site/files/large") && said.contains("limit for one file"),
        "{said}"
    );
    let said = old.text(&["backup", "test", &id, "--passphrase-file", &passphrase], 0);
    assert!(said.contains("is whole and can be restored"), "{said}");
    let file = shown(&new, "copy.backup.age");
    old.text(&["backup", "get", &id, &file], 0);
    let restore = ["backup", "restore", &file, "--passphrase-file", &passphrase];
    let said = new.text(&[&restore[..], &["--dry-run"]].concat(), 0);
    assert!(said.contains("\"bulkhead/health.json\" comes back") && said.contains("nothing was changed"), "{said}");
    assert!(!new.path("data/bulkhead/health.json").exists() && !new.path("data/bulkhead/restore").exists());
    let said = new.text(&restore, 0);
    assert!(said.contains("restart the appliance"), "{said}");
    for path in ["data/bulkhead/health.json", "data/site/app.conf"] {
        assert_eq!(fs::read(old.path(path)).unwrap(), fs::read(new.path(path)).unwrap(), "{path}");
    }
    let history = fs::read_to_string(new.path("data/bulkhead/journal")).unwrap();
    assert!(history.contains("settings and data replaced by those of backup"), "{history}");
    old.text(&["backup", "delete", &id], 0);
    assert!(kept(&old).is_empty());
    assert!(old.text(&["backup", "delete", &id], 6).contains("[not-found]"));
}

#[test]
fn a_wrong_passphrase_a_damaged_file_and_a_weak_passphrase_are_refused_and_nothing_changes() {
    let appliance = used();
    let id = create(&appliance);
    put(&appliance, "wrong", "another horse battery staple\n");
    put(&appliance, "weak", "horse\n");
    put(&appliance, "data/site/app.conf", "colour = red");
    let wrong = shown(&appliance, "wrong");
    let said = appliance.text(&["backup", "restore", &id, "--passphrase-file", &wrong], 4);
    assert!(said.contains("[wrong-passphrase]") && !said.contains("horse"), "{said}");
    let said = appliance.text(&["backup", "create", "--passphrase-file", &shown(&appliance, "weak")], 2);
    assert!(said.contains("at least 12"), "{said}");
    let file = appliance.path(&format!("data/bulkhead/backups/{id}.backup.age"));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    appliance.text(&["backup", "test", &id, "--passphrase-file", &shown(&appliance, "passphrase")], 3);
    appliance.text(&["backup", "restore", &id, "--passphrase-file", &shown(&appliance, "passphrase")], 3);
    assert_eq!(fs::read_to_string(appliance.path("data/site/app.conf")).unwrap(), "colour = red");
}

#[test]
fn a_backup_for_a_key_goes_to_a_folder_and_is_opened_by_age_and_restored_with_the_key() {
    let appliance = used();
    let Some((file, public)) = key(&appliance) else { return };
    fs::create_dir(appliance.path("medium")).unwrap();
    appliance.text(
        &["backup", "create", "--scope", "site", "--recipient", &public, "--to", &shown(&appliance, "medium")],
        0,
    );
    let made = fs::read_dir(appliance.path("medium")).unwrap().next().unwrap().unwrap().path();
    assert!(kept(&appliance).is_empty());
    let age = Command::new("age").args(["-d", "-i", &file]).arg(&made).output().unwrap();
    assert!(age.status.success() && age.stdout.windows(13).any(|it| it == b"colour = blue"));
    assert!(!age.stdout.windows(9).any(|it| it == b"\"checks\":"), "only the site");
    put(&appliance, "data/site/app.conf", "colour = red");
    appliance.text(&["backup", "restore", made.to_str().unwrap(), "--identity", &file], 0);
    assert_eq!(fs::read_to_string(appliance.path("data/site/app.conf")).unwrap(), "colour = blue");
}

#[test]
fn changed_settings_make_the_newest_backup_stale() {
    let appliance = used();
    let standing = || appliance.json(&["backup", "list", "--json"])["standing"]["state"].as_str().unwrap().to_owned();
    assert_eq!(standing(), "none");
    create(&appliance);
    assert_eq!(standing(), "current");
    put(&appliance, "data/site/app.conf", "colour = red");
    assert_eq!(standing(), "current", "the site's data are no settings");
    put(&appliance, "data/bulkhead/health.json", r#"{"format":1, "checks":[]}"#);
    assert_eq!(standing(), "stale");
}

#[test]
fn before_an_installation_one_is_made_and_without_one_it_needs_a_reason() {
    let appliance = used();
    let Some((_, public)) = key(&appliance) else { return };
    let package = appliance.path("base.pkg");
    fs::write(&package, release(Kind::Base, 2).package).unwrap();
    let package = package.to_str().unwrap();
    appliance.text(&["backup", "set", "--recipient", &public, "--before-updates", "require"], 0);
    let said = appliance.text(&["install", package], 0);
    assert!(said.contains("is made"), "{said}");
    assert_eq!(kept(&appliance).len(), 1);
    // A folder in the place of the backups: none can be made.
    let backups = appliance.path("data/bulkhead/backups");
    fs::remove_dir_all(&backups).unwrap();
    fs::write(&backups, "in the way").unwrap();
    let said = appliance.text(&["install", package], 5);
    assert!(said.contains("[backup-required]") && said.contains("--no-backup REASON"), "{said}");
    let said = appliance.text(&["install", package, "--no-backup", "the disk is full"], 0);
    assert!(said.contains("the disk is full"), "{said}");
    let history = fs::read_to_string(appliance.path("data/bulkhead/journal")).unwrap();
    assert!(history.contains("an installation without a backup before it") && history.contains("the disk is full"));
}

#[test]
fn the_schedule_makes_them_and_the_oldest_go() {
    let appliance = used();
    let Some((_, public)) = key(&appliance) else { return };
    let id = create(&appliance);
    appliance.text(&["backup", "set", "--recipient", &public, "--at", "02:30", "--keep", "1"], 0);
    let mut calendar = Calendar::default();
    let look = |calendar: &mut Calendar| appliance.desk.look_into(calendar, Duration::from_hours(240)).unwrap();
    look(&mut calendar);
    let until = Instant::now() + Duration::from_secs(20);
    let facts = loop {
        let facts: Value = appliance.json(&["backup", "list", "--json"]);
        if !facts["attempt"].is_null() {
            break facts;
        }
        assert!(Instant::now() < until, "it is not made");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(facts["attempt"]["problem"], Value::Null);
    assert_eq!((facts["backups"].as_array().unwrap().len(), &facts["backups"][0]["cause"]), (1, &"schedule".into()));
    assert_ne!(facts["backups"][0]["id"], id.as_str());
    look(&mut calendar);
    assert_eq!(kept(&appliance).len(), 1, "not before its next time");
}

#[test]
fn a_restore_that_was_cut_off_is_completed_before_clients_are_answered() {
    let appliance = used();
    put(&appliance, "data/bulkhead/restore/new/site/x", "new");
    put(&appliance, "data/site/x", "old");
    let number =
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(appliance.path("data/bulkhead/restore/new/site/x")).unwrap());
    let record = format!(
        r#"{{"format":1,"back":false,"steps":[{{"path":"bulkhead/health.json","beside":"bulkhead/restore/new/site/x","change":"replace","number":{number}}}]}}"#
    );
    put(&appliance, "data/bulkhead/restore/record.json", &record);
    appliance.desk.tidy();
    assert_eq!(fs::read_to_string(appliance.path("data/bulkhead/health.json")).unwrap(), "new");
    assert!(!appliance.path("data/bulkhead/restore").exists());
}
