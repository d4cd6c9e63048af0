//! The support bundle through console and command, with Debian's tar, sha256sum and openssl on the other side.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::appliance::AGENT;
use crate::web_console::{Answer, Console, PASSWORD};

const PAGE: &str = "/support";

/// What a command prints in a folder; it has to succeed.
fn ran(folder: &Path, command: &str) -> String {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", command]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into()
}

/// A console with a secret in each of its settings, and some in what it remembers.
fn careless() -> Console {
    let console = Console::new();
    console.claim();
    let own = console.directory.path().join("data/bulkhead");
    fs::create_dir_all(&own).unwrap();
    let mail = json!({"server": "mail.example", "security": "tls", "user": "demo", "password-file": "mail-password",
        "from": "demo@demo.example", "to": ["it@demo.example"]});
    let depot = json!({"format": 1, "check-hours": 0, "proxy": "http://proxy.example:3128", "proxy-user": "demo",
        "proxy-password-file": "proxy", "mail": mail});
    fs::write(own.join("depot.json"), depot.to_string()).unwrap();
    fs::write(own.join("mail-password"), "PLANTED mail 1\n").unwrap();
    fs::write(own.join("proxy"), "PLANTED proxy 2\n").unwrap();
    let phrase = "PLANTED backup phrase 3";
    let set = [("keep", "3"), ("file-bytes", "200000"), ("files", "50"), ("passphrase", phrase), ("again", phrase)];
    assert_eq!(console.form("/backups", "/do/set-backups", &set).status, 303);
    // Names that are refused stand in the audit log all the same.
    for name in
        ["x PLANTED mail 1 y", "password=PLANTED4", "http://anna:PLANTED5@proxy.example/", "Bearer PLANTED67890"]
    {
        let fields = [("name", name), ("role", "viewer"), ("password", "PLANTED password 6")];
        assert_ne!(console.form("/accounts", "/do/add-account", &fields).status, 303);
    }
    console
}

/// The bundle from the page, unpacked by tar.
fn made(console: &Console) -> (Answer, tempfile::TempDir, Value) {
    let answer = console.form(PAGE, "/do/support", &[]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("it.tar.zst"), &answer.bytes).unwrap();
    ran(folder.path(), "tar --zstd -xf it.tar.zst && rm it.tar.zst");
    let manifest = serde_json::from_slice(&fs::read(folder.path().join("support/manifest.json")).unwrap()).unwrap();
    (answer, folder, manifest)
}

fn names(manifest: &Value, list: &str) -> Vec<String> {
    manifest[list].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_bundle_is_shown_made_downloaded_and_checked_and_has_no_secret_in_it() {
    let console = careless();
    let page = console.curl(&[PAGE]).body;
    for words in ["status.json", "audit.json", "machine.txt", "private keys", "Size before compression", "known-secret"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("PLANTED"), "{page}");
    let (answer, folder, manifest) = made(&console);
    assert!(answer.head.contains("content-disposition: attachment; filename=\"support-2"), "{}", answer.head);
    assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);

    // Everything in it is in the list, and as the list says.
    let there = folder.path().join("support");
    let sums = manifest["entries"].as_array().unwrap().iter();
    let sums: Vec<String> =
        sums.map(|one| format!("{}  {}", one["sha256"].as_str().unwrap(), one["name"].as_str().unwrap())).collect();
    fs::write(folder.path().join("sums"), sums.join("\n") + "\n").unwrap();
    let checked = ran(&there, "sha256sum --check --strict ../sums");
    assert_eq!(checked.lines().count(), sums.len());
    let mut listed = names(&manifest, "entries");
    listed.extend(["manifest.json", "manifest.sig", "signer.pem"].map(str::to_owned));
    listed.sort();
    assert_eq!(ran(&there, "LC_ALL=C ls").lines().collect::<Vec<_>>(), listed);
    assert_eq!(manifest["format"], 1);
    let verify = "openssl pkeyutl -verify -pubin -inkey signer.pem -rawin -in manifest.json -sigfile manifest.sig";
    ran(&there, verify);
    let public =
        ran(&there, "openssl pkey -pubin -in signer.pem -outform DER | tail -c 32 | od -An -tx1 | tr -d ' \\n'");
    assert_eq!(manifest["signed-by"], public.as_str());
    ran(&there, &format!("sed -i 's/\"redacted\": /&1/' manifest.json; ! {verify}"));

    // What is useful stays, what is secret does not, in every file.
    let all = ran(&there, "cat *");
    assert!(all.contains("mail.example") && all.contains("add account") && all.contains("== /proc/meminfo"), "{all}");
    assert_eq!(all.find("PLANTED").map(|at| &all[at - 80..at + 20]), None);
    let key = fs::read_to_string(console.directory.path().join("data/bulkhead/identity")).unwrap();
    let key: Value = serde_json::from_str(&key).unwrap();
    let book = fs::read_to_string(console.directory.path().join("data/bulkhead/accounts.json")).unwrap_or_default();
    assert!(!all.contains(key["secret"].as_str().unwrap()) && !all.contains("$argon2") && !all.contains(PASSWORD));
    assert!(!all.contains(&console.session()), "{book}");
    let redacted = |name: &str| {
        let entries = manifest["entries"].as_array().unwrap();
        entries.iter().find(|one| one["name"] == name).unwrap()["redacted"].clone()
    };
    let audit = redacted("audit.json");
    assert_eq!((&audit["known-secret"], &audit["url-login"]), (&json!(1), &json!(1)), "{audit}");
    assert!(audit["named-value"].is_u64() && audit["token"].is_u64(), "{audit}");
    assert_eq!(redacted("depot.json"), json!({}));

    let log = console.desk.people.log().unwrap().lines;
    let deeds: Vec<(&str, &str)> = log.iter().map(|line| (line.action.as_str(), line.outcome.as_str())).collect();
    assert_eq!(deeds.iter().filter(|deed| **deed == ("support-bundle", "done")).count(), 1, "{deeds:?}");
}

#[test]
fn an_operator_gets_one_without_the_audit_log_and_a_viewer_none() {
    let console = careless();
    for role in ["viewer", "operator"] {
        let fields = [("name", role), ("role", role), ("password", PASSWORD)];
        assert_eq!(console.form("/accounts", "/do/add-account", &fields).status, 200);
    }
    console.sign_out();
    assert_eq!(console.sign_in("operator", PASSWORD).status, 303);
    let (_, folder, manifest) = made(&console);
    assert!(!folder.path().join("support/audit.json").exists());
    assert!(names(&manifest, "left-out").contains(&"audit.json".to_owned()), "{manifest}");
    console.sign_out();
    assert_eq!(console.sign_in("viewer", PASSWORD).status, 303);
    let page = console.curl(&[PAGE]).body;
    assert!(page.contains("not-allowed") && !page.contains("/do/support") && !page.contains("status.json"), "{page}");
    let refused = console.form("/status", "/do/support", &[]);
    assert!(refused.status == 403 && refused.body.contains("not-allowed"), "{}", refused.body);
}

#[test]
fn the_command_lists_and_writes_one_and_overwrites_nothing() {
    let console = careless();
    let run = |arguments: &[&str]| {
        let socket = console.directory.path().join("agent.sock");
        let mut command = Command::new(AGENT);
        command.arg("support").args(arguments).arg("--socket").arg(socket).current_dir(console.directory.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = run(&["--contents"]);
    assert!(code == Some(0) && text.contains("status.json") && text.contains("left out:"), "{text}");
    let (code, text) = run(&["--contents", "--json"]);
    let contents: Value = serde_json::from_str(&text).unwrap();
    assert!(code == Some(0) && names(&contents, "entries").contains(&"audit.json".to_owned()), "{text}");
    assert!(contents["bytes"].as_u64().unwrap() > 0 && contents["signed-by"].is_null(), "{text}");

    let (code, text) = run(&["--output", "it.tar.zst"]);
    assert!(code == Some(0) && text.contains("it.tar.zst: ") && text.contains("secrets taken out"), "{text}");
    let names = ran(console.directory.path(), "tar --zstd -tf it.tar.zst");
    assert!(names.starts_with("support/manifest.json\n") && names.contains("support/kernel.log\n"), "{names}");
    assert_eq!(run(&["--output", "it.tar.zst"]).0, Some(6), "what is there stays");
    assert_eq!(run(&[]).0, Some(0));
    assert_eq!(ran(console.directory.path(), "ls support-2*.tar.zst").lines().count(), 1);
    assert_eq!(run(&["--json"]).0, Some(2));
    // An appliance whose own key is damaged gives one all the same, and says what it lacks.
    fs::write(console.directory.path().join("data/bulkhead/identity"), "{}").unwrap();
    let (code, text) = run(&["--output", "unsigned.tar.zst"]);
    assert!(code == Some(0) && text.contains("it is not signed: "), "{text}");
    let names = ran(console.directory.path(), "tar --zstd -tf unsigned.tar.zst");
    assert!(!names.contains("manifest.sig") && !names.contains("signer.pem"), "{names}");
}
