//! Backups through the console, with age and tar on the other side.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::web_console::{Answer, Console, PASSWORD, location};

const PAGE: &str = "/backups";
const PHRASE: &str = "four words by chance";

/// What somebody does about the console, in its folder; it has to succeed.
fn ran(console: &Console, command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).current_dir(console.directory.path()).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// A console of a site whose file is longer than two pieces of a download.
fn used() -> Console {
    let console = Console::new();
    console.claim();
    fs::create_dir_all(console.directory.path().join("data/site/files")).unwrap();
    fs::write(conf(&console), vec![b'x'; 1_300_000]).unwrap();
    fs::write(console.directory.path().join("data/site/files/film"), vec![b'x'; 200_001]).unwrap();
    console
}

fn conf(console: &Console) -> std::path::PathBuf {
    console.directory.path().join("data/site/app.conf")
}

/// Sends a form that begins a job, and returns how that ended.
fn job(console: &Console, action: &str, fields: &[(&str, &str)]) -> Value {
    let answer = console.form(PAGE, &format!("/do/{action}"), fields);
    assert_eq!((answer.status, location(&answer)), (303, PAGE.into()), "{}", answer.body);
    console.job()["result"].clone()
}

/// The name of the newest.
fn newest(console: &Console) -> String {
    let body = console.curl(&[PAGE]).body;
    let link = body.split("href=\"/download/backup/").nth(1).unwrap_or_else(|| panic!("{body}"));
    link.split('"').next().unwrap().into()
}

fn length(answer: &Answer) -> usize {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("content-length: "));
    line.unwrap_or_else(|| panic!("{}", answer.head)).parse().unwrap()
}

#[test]
fn a_backup_is_made_for_the_key_that_was_set_looked_through_downloaded_and_opened_by_age() {
    let console = used();
    let key = ran(&console, "age-keygen -o key.txt 2>/dev/null && age-keygen -y key.txt");
    let usual = [("keep", "3"), ("file-bytes", "200000"), ("files", "50"), ("before", "make"), ("history", "on")];
    let set = |more: &[(&str, &str)]| console.form(PAGE, "/do/set-backups", &[&usual, more].concat());
    assert_eq!(set(&[("recipients", &key), ("at", "02:30"), ("days", "sun"), ("clock", "+01:00")]).status, 303);
    let wrong = set(&[("recipients", &key), ("at", "25:00")]);
    assert!(wrong.status == 400 && wrong.body.contains("25:00"), "{}", wrong.body);
    let body = console.curl(&[PAGE]).body;
    assert!(body.contains(&key) && body.contains("value=\"02:30\"") && body.contains("value=\"3\""), "{body}");

    let made = job(&console, "create-backup", &[("scope", "both"), ("history", "on")]);
    assert!(made["steps"][0].as_str().unwrap().contains("is made"), "{made}");
    let id = newest(&console);
    let contents = console.curl(&[&format!("/backups/contents?backup={id}")]).body;
    assert!(contents.contains("site/app.conf") && contents.contains("site/files/film"), "{contents}");

    let file = console.curl(&[&format!("/download/backup/{id}")]);
    assert!(file.status == 200 && file.head.contains(&format!("filename=\"{id}.backup.age\"")), "{}", file.head);
    assert!(file.bytes.len() > 1_300_000 && length(&file) == file.bytes.len(), "{}", file.head);
    fs::write(console.directory.path().join("copy.age"), &file.bytes).unwrap();
    let names = ran(&console, "age -d -i key.txt -o copy.tar copy.age && tar -tf copy.tar");
    assert!(names.starts_with("backup.json") && names.contains("site/app.conf") && !names.contains("film"), "{names}");

    // Who hangs up in the middle keeps nobody from anything.
    let address = format!("https://{}/download/backup/{id}", console.address);
    let cut = ran(&console, &format!("curl --silent --insecure --cookie cookies {address} | head -c 100000 | wc -c"));
    assert_eq!(cut.trim(), "100000");
    assert_eq!(console.curl(&[&format!("/download/backup/{id}")]).bytes, file.bytes);

    assert_eq!(console.form(PAGE, "/do/delete-backup", &[("id", &id), ("sure", "on")]).status, 303);
    assert_eq!(console.curl(&[&format!("/download/backup/{id}")]).status, 404);
    assert!(console.curl(&[PAGE]).body.contains("No backup is kept"));
    let log: Vec<String> = console.desk.people.log().unwrap().lines.into_iter().map(|line| line.action).collect();
    let count = |wanted: &str| log.iter().filter(|action| *action == wanted).count();
    assert_eq!(
        [count("backup-setting"), count("backup"), count("fetch-backup"), count("delete-backup")],
        [1, 1, 4, 1],
        "{log:?}"
    );
}

#[test]
fn a_backup_is_tested_previewed_and_restored_and_not_without_its_passphrase_or_a_look() {
    let console = used();
    let mistyped = [("scope", "site"), ("passphrase", PHRASE), ("again", "four words by choice")];
    assert_eq!(console.form(PAGE, "/do/create-backup", &mistyped).status, 400);
    job(&console, "create-backup", &[("scope", "site"), ("passphrase", PHRASE), ("again", PHRASE)]);
    let id = newest(&console);
    let with = |passphrase: &'static str, more: &[(&'static str, &'static str)]| {
        [&[("id", id.as_str()), ("passphrase", passphrase)], more].concat()
    };
    assert_eq!(job(&console, "test-backup", &with("another phrase", &[]))["code"], "wrong-passphrase");
    let tested = job(&console, "test-backup", &with(PHRASE, &[]));
    assert!(tested["steps"][0].as_str().unwrap().contains("is whole"), "{tested}");

    fs::write(conf(&console), "colour = red").unwrap();
    let preview = job(&console, "restore", &with(PHRASE, &[("preview", "yes")]));
    assert!(preview["steps"].to_string().contains("nothing was changed"), "{preview}");
    assert!(console.curl(&[PAGE]).body.contains("nothing was changed"), "the answer stands on the page");
    let unseen = console.form(PAGE, "/do/restore", &with(PHRASE, &[]));
    assert!(unseen.status == 400 && unseen.body.contains("nothing was restored"), "{}", unseen.body);
    assert_eq!(fs::read(conf(&console)).unwrap(), b"colour = red");
    job(&console, "restore", &with(PHRASE, &[("sure", "on"), ("scope", "site")]));
    assert_eq!(fs::read(conf(&console)).unwrap().len(), 1_300_000);
}

#[test]
fn a_backup_from_the_readers_computer_is_brought_tried_put_back_and_gone() {
    let console = used();
    job(&console, "create-backup", &[("scope", "site"), ("passphrase", PHRASE), ("again", PHRASE)]);
    let kept = newest(&console);
    fs::write(console.directory.path().join("old.age"), console.curl(&[&format!("/download/backup/{kept}")]).bytes)
        .unwrap();
    assert_eq!(console.form(PAGE, "/do/delete-backup", &[("id", &kept), ("sure", "on")]).status, 303);
    fs::write(conf(&console), "colour = red").unwrap();

    let (proof, file) =
        (format!("proof={}", console.proof(PAGE)), format!("file=@{}/old.age", console.directory.path().display()));
    let sent = console.curl(&[
        "/upload?backup",
        "--header",
        "Expect:",
        "--form",
        &proof,
        "--form",
        "kind=backup",
        "--form",
        &file,
    ]);
    assert_eq!((sent.status, location(&sent)), (303, PAGE.into()), "{}", sent.body);
    let body = console.curl(&[PAGE]).body;
    assert!(body.contains("Restore: old.age"), "{body}");
    let id = body.split("name=\"uploaded\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let with = |more: &[(&'static str, &'static str)]| {
        [&[("uploaded", id.as_str()), ("passphrase", PHRASE), ("scope", "site")], more].concat()
    };
    assert!(job(&console, "test-backup", &with(&[]))["steps"][0].as_str().unwrap().contains("is whole"));
    let preview = job(&console, "restore", &with(&[("preview", "yes")]));
    assert!(preview["steps"].to_string().contains("nothing was changed"), "{preview}");
    job(&console, "restore", &with(&[("sure", "on")]));
    assert_eq!(fs::read(conf(&console)).unwrap().len(), 1_300_000);
    // Who was signed in before is not any more: the accounts may be others now.
    assert_eq!(location(&console.curl(&[PAGE])), "/sign-in?back=/backups");
    assert_eq!(console.sign_in("anna", PASSWORD).status, 303);
    assert!(!console.curl(&[PAGE]).body.contains("old.age"), "what was put back is not kept twice");
}

#[test]
fn viewers_see_that_there_are_backups_and_operators_what_is_in_them_and_neither_gets_one() {
    let console = used();
    job(&console, "create-backup", &[("scope", "site"), ("passphrase", PHRASE), ("again", PHRASE)]);
    let id = newest(&console);
    for role in ["viewer", "operator"] {
        let fields = [("name", role), ("role", role), ("password", PASSWORD)];
        assert_eq!(console.form("/accounts", "/do/add-account", &fields).status, 200);
    }
    for role in ["viewer", "operator"] {
        console.sign_out();
        assert_eq!(console.sign_in(role, PASSWORD).status, 303);
        let body = console.curl(&[PAGE]).body;
        assert!(body.contains(&id) && !body.contains("/do/restore") && !body.contains("/download/"), "{body}");
        let contents = console.curl(&[&format!("/backups/contents?backup={id}")]).body;
        assert_eq!(contents.contains("site/app.conf"), role == "operator", "{contents}");
        assert_eq!(contents.contains("not-allowed"), role == "viewer", "{contents}");
        let file = console.curl(&[&format!("/download/backup/{id}")]);
        assert!(file.status == 403 && file.body.contains("not-allowed"), "{}", file.body);
        let usual = [("keep", "3"), ("file-bytes", "200000"), ("files", "50"), ("id", &id), ("sure", "on")];
        for action in ["create-backup", "test-backup", "delete-backup", "restore", "set-backups"] {
            let answer = console.form(PAGE, &format!("/do/{action}"), &usual);
            assert!(answer.status == 403 && answer.body.contains("not-allowed"), "{action}: {}", answer.body);
        }
    }
}
