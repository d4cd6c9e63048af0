//! Files from elsewhere, over HTTPS into staging: by programs, by the script's steps and by a form, with everything that goes wrong.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use formats::manifest::Kind;
use serde_json::{Value, json};

use crate::appliance::AGENT;
use crate::fixtures::{release, release_with};
use crate::web_console::{Answer, Console, PASSWORD, location};

/// A console with its administrator signed in, and a token of this role.
fn with_token(role: &str) -> (Console, String) {
    let console = Console::new();
    console.claim();
    let bearer = token(&console, "ci", role);
    (console, bearer)
}

fn token(console: &Console, name: &str, role: &str) -> String {
    let made = console.form("/accounts", "/do/add-token", &[("name", name), ("role", role), ("days", "1")]);
    let token = made.body.split("<pre>").nth(1).unwrap().split('<').next().unwrap();
    format!("Authorization: Bearer {token}")
}

fn call(console: &Console, bearer: &str, path: &str, body: &Value) -> (u16, Value) {
    let file = console.directory.path().join("body.json");
    fs::write(&file, body.to_string()).unwrap();
    let data = format!("@{}", file.display());
    let mut arguments = vec![path, "--header", bearer];
    if !body.is_null() {
        arguments.extend(["--data-binary", data.as_str(), "--header", "Expect:"]);
    }
    let answer = console.curl(&arguments);
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{}", answer.body)))
}

fn piece(console: &Console, bearer: &str, id: &Value, offset: usize, bytes: &[u8]) -> (u16, Value) {
    let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
    call(console, bearer, "/v1/upload-piece", &json!({ "id": id, "offset": offset, "bytes": bytes }))
}

/// Uploads a file whole, and returns the job that takes it in.
fn uploaded(console: &Console, bearer: &str, bytes: &[u8]) -> Value {
    let order = json!({ "kind": "package", "name": "it.pkg", "length": bytes.len() });
    let (status, begun) = call(console, bearer, "/v1/uploads", &order);
    assert_eq!(status, 200, "{begun}");
    for (number, part) in bytes.chunks(512 << 10).enumerate() {
        let (status, told) = piece(console, bearer, &begun["id"], number * (512 << 10), part);
        assert_eq!(status, 200, "{told}");
    }
    let (status, told) = call(console, bearer, "/v1/upload-finish", &json!({ "id": begun["id"] }));
    assert_eq!(status, 202, "{told}");
    console.job()
}

/// Nothing is left of any upload.
fn assert_gone(console: &Console) {
    let until = Instant::now() + Duration::from_secs(20);
    let folder = console.desk.data.join("bulkhead/uploads");
    let names = || fs::read_dir(&folder).map_or(0, Iterator::count);
    while names() > 0 {
        assert!(Instant::now() < until, "{} files are left", names());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_program_uploads_a_package_and_what_it_does_wrong_is_refused_and_changes_nothing() {
    let (console, bearer) = with_token("operator");
    let bytes = release(Kind::Site, 11).package;
    let sha256 = formats::Digest::of(&bytes).to_string();
    let order = json!({ "kind": "package", "name": "site.pkg", "length": bytes.len(), "sha256": sha256 });
    let (status, begun) = call(&console, &bearer, "/v1/uploads", &order);
    assert_eq!((status, &begun["offset"]), (200, &json!(0)), "{begun}");
    let id = &begun["id"];
    let half = bytes.len() / 2;
    assert_eq!(piece(&console, &bearer, id, 0, &bytes[..half]).1["offset"], half);
    // Begun twice, sent twice, sent elsewhere, finished early, and by somebody else.
    assert_eq!(call(&console, &bearer, "/v1/uploads", &order).1["id"], *id);
    assert_eq!(piece(&console, &bearer, id, 0, &bytes[..half]).0, 200);
    let (status, told) = piece(&console, &bearer, id, half + 1, &bytes[..10]);
    assert_eq!((status, &told["code"]), (409, &json!("wrong-offset")), "{told}");
    assert_eq!(call(&console, &bearer, "/v1/upload-finish", &json!({ "id": id })).0, 409);
    let other = token(&console, "other", "operator");
    assert_eq!(piece(&console, &other, id, half, &bytes[half..]).0, 403);
    assert_eq!(call(&console, &other, "/v1/upload-finish", &json!({ "id": id })).0, 403);
    let viewer = token(&console, "viewer", "viewer");
    assert_eq!(call(&console, &viewer, "/v1/uploads", &order).0, 403);
    assert_eq!(call(&console, &viewer, "/v1/uploads", &Value::Null).0, 200);
    for (order, wanted) in [
        (json!({ "kind": "backup", "name": "x.age", "length": 4096 }), 403),
        (json!({ "kind": "package", "name": "x", "length": 0 }), 400),
        (json!({ "kind": "package", "name": "x", "length": -1 }), 400),
        (json!({ "kind": "package", "name": "\n", "length": 1 }), 400),
        (json!({ "kind": "package", "name": "x", "length": 1_u64 << 40 }), 409),
    ] {
        let (status, told) = call(&console, &bearer, "/v1/uploads", &order);
        assert_eq!(status, wanted, "{order}: {told}");
    }
    assert_eq!(piece(&console, &bearer, id, half, &vec![0; (512 << 10) + 1]).0, 400);
    let long = console.directory.path().join("long");
    fs::write(&long, vec![b'x'; 2 << 20]).unwrap();
    let long = format!("@{}", long.display());
    let answer = console.curl(&["/v1/upload-piece", "--header", &bearer, "--data-binary", &long]);
    assert!(answer.body.starts_with("HTTP/1.1 413"), "asked before it is sent: {}", answer.body);
    let not_base64 = json!({ "id": id, "offset": half, "bytes": "%%" });
    assert_eq!(call(&console, &bearer, "/v1/upload-piece", &not_base64).0, 400);
    // And right.
    assert_eq!(piece(&console, &bearer, id, half, &bytes[half..]).1["offset"], bytes.len());
    assert_eq!(call(&console, &bearer, "/v1/upload-finish", &json!({ "id": id })).0, 202);
    let job = console.job();
    assert!(job["result"]["steps"][0].as_str().is_some_and(|step| step.contains("is staged as")), "{job}");
    assert_gone(&console);
    assert_eq!(call(&console, &bearer, "/v1/upload-finish", &json!({ "id": id })).0, 404, "finished twice");
    let audit = console.desk.people.log().unwrap();
    assert!(audit.lines.iter().any(|line| line.action == "upload" && line.about == "site.pkg"));
}

#[test]
fn an_uploaded_file_is_refused_as_one_on_the_appliance_is_and_leaves_nothing() {
    let (console, bearer) = with_token("operator");
    let good = release(Kind::Site, 11).package;
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases =
        [flipped(700), flipped(good.len() / 2), good[..good.len() * 2 / 3].to_vec(), [&good[..], b"more"].concat()];
    for (number, bytes) in cases.iter().enumerate() {
        let job = uploaded(&console, &bearer, bytes);
        let path = console.directory.path().join("here.pkg");
        fs::write(&path, bytes).unwrap();
        let here = Command::new(AGENT)
            .args(["stage", path.to_str().unwrap(), "--socket"])
            .arg(console.directory.path().join("agent.sock"))
            .output()
            .unwrap();
        let here = String::from_utf8(here.stderr).unwrap();
        let code = job["result"]["code"].as_str().unwrap_or_else(|| panic!("{number}: {job}"));
        assert!(here.contains(&format!("[{code}]")), "{number}: {job} but {here}");
        assert_gone(&console);
    }
    // One that comes too early is staged, and its installation says why not.
    let early = release_with(Kind::Site, 12, |manifest| manifest.requires.base = Some(">=9".parse().unwrap()));
    let job = uploaded(&console, &bearer, &early.package);
    let id = job["result"]["steps"][0].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    let order = json!({ "package": { "staged": id } });
    assert_eq!(call(&console, &bearer, "/v1/install", &order).0, 202);
    let job = console.job();
    assert_eq!(job["result"]["code"], "needs-base", "{job}");
}

/// Sends a form with a file; `fields` before it.
fn form(console: &Console, fields: &[&str], file: &str, more: &[&str]) -> Answer {
    let mut arguments = vec!["/upload", "--header", "Expect:"];
    for field in fields {
        arguments.extend(["--form", field]);
    }
    arguments.extend(["--form", file]);
    arguments.extend(more);
    console.curl(&arguments)
}

#[test]
fn a_form_without_a_script_uploads_and_its_file_is_not_looked_at_before_its_proof() {
    let console = Console::new();
    console.claim();
    let path = console.directory.path().join("site.pkg");
    fs::write(&path, release(Kind::Site, 11).package).unwrap();
    let file = format!("file=@{}", path.display());
    let page = console.curl(&["/updates"]).body;
    assert!(page.contains("multipart/form-data") && page.contains("type=\"file\""), "{page}");
    let proof = format!("proof={}", console.proof("/updates"));
    let empty = console.directory.path().join("empty");
    fs::write(&empty, "").unwrap();
    let nothing = format!("file=@{}", empty.display());
    let wrong = format!("proof={}", "0".repeat(64));
    let site = ["--header", "Sec-Fetch-Site: cross-site"];
    let huge = ["--header", "Content-Length: 99999999999999"];
    for (fields, file, more, wanted) in [
        (&["kind=package"][..], file.as_str(), &[][..], 403),
        (&[wrong.as_str(), "kind=package"], &file, &[], 403),
        (&[proof.as_str(), "kind=package"], &file, &site, 403),
        (&[proof.as_str(), "kind=poem"], &file, &[], 400),
        (&[proof.as_str()], &file, &[], 400),
        (&[proof.as_str(), "kind=package"], "other=x", &[], 400),
        (&[proof.as_str(), "kind=package"], &nothing, &[], 400),
        (&[proof.as_str(), "kind=package"], "file=@/etc/passwd", &[], 422),
        (&[proof.as_str(), "kind=package"], &file, &huge, 409),
    ] {
        let answer = form(&console, fields, file, more);
        assert_eq!(answer.status, wanted, "{fields:?} {file} {more:?}: {}", answer.body);
        assert_gone(&console);
    }
    let plain = console.curl(&["/upload", "--data", &proof]);
    assert_eq!(plain.status, 400, "no such form");
    let answer = form(&console, &[&proof, "kind=package"], &file, &[]);
    assert_eq!((answer.status, location(&answer)), (303, "/updates".into()), "{}", answer.body);
    assert!(console.job()["result"]["steps"][0].as_str().is_some_and(|step| step.contains("is staged")));
    assert_gone(&console);
    console.sign_out();
    assert_eq!(form(&console, &[&proof, "kind=package"], &file, &[]).status, 401);
}

/// What a process had in memory at most.
fn most_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_long_file_costs_no_memory_and_a_cut_form_leaves_nothing() {
    let console = Console::new();
    console.claim();
    let path = console.directory.path().join("long.pkg");
    let mut bytes = vec![0; 48 << 20];
    bytes[257..262].copy_from_slice(b"ustar");
    fs::write(&path, &bytes).unwrap();
    let (file, proof) = (format!("file=@{}", path.display()), format!("proof={}", console.proof("/updates")));
    let before = most_memory(console.process());
    let answer = form(&console, &[&proof, "kind=package"], &file, &[]);
    assert_eq!(answer.status, 303, "{}", answer.body);
    let used = most_memory(console.process()) - before;
    assert!(used < 12 << 20, "{used} bytes more for a file of 48 MiB");
    assert_eq!(console.job()["result"]["code"], "malformed");
    assert_gone(&console);
    // A megabyte of it arrives.
    let cut = ["--limit-rate", "1M", "--max-time", "1"];
    let proof = proof.as_str();
    let arguments =
        ["/upload", "--header", "Expect:", "--form", proof, "--form", "kind=package", "--form", file.as_str()];
    assert!(console.try_curl(&[&arguments[..], &cut].concat()).is_none());
    assert_gone(&console);
}

#[test]
fn the_script_goes_on_after_a_cut_and_a_restart_and_nothing_is_sent_twice() {
    let console = Console::new();
    console.claim();
    console.form("/accounts", "/do/add-account", &[("name", "otto"), ("role", "operator"), ("password", PASSWORD)]);
    let proof = format!("x-proof: {}", console.proof("/updates"));
    let mut bytes: Vec<u8> = (0..32 << 20).map(|at: usize| u8::try_from(at / 4096 % 251).unwrap()).collect();
    bytes[257..262].copy_from_slice(b"ustar");
    let part = console.directory.path().join("part");
    let data = format!("@{}", part.display());
    let step = |step: &str, more: &[&str]| {
        let path = format!("/upload/{step}");
        let mut arguments = vec![path.as_str(), "--request", "POST", "--header", proof.as_str()];
        arguments.extend(more);
        let answer = console.try_curl(&arguments)?;
        Some((answer.status, serde_json::from_str::<Value>(&answer.body).unwrap()))
    };
    let begin = format!("begin?kind=package&name=long.pkg&length={}&mark=1700000000000", bytes.len());
    assert_eq!(console.curl(&["/upload/begin", "--request", "POST"]).status, 403, "no proof");
    assert_eq!(step("begin?kind=package&name=x&length=much", &[]).unwrap().0, 400);
    assert_eq!(step("else", &[]).unwrap().0, 404);
    let (mut sent, mut cuts) = (0, 0);
    let mut at = step(&begin, &[]).unwrap().1;
    while at["offset"] != at["of"] {
        let offset = usize::try_from(at["offset"].as_u64().unwrap()).unwrap();
        let piece = &bytes[offset..(offset + (512 << 10)).min(bytes.len())];
        fs::write(&part, piece).unwrap();
        let path = format!("piece?id={}&offset={offset}", at["id"].as_str().unwrap());
        sent += piece.len();
        if cuts == 0 && offset >= bytes.len() / 2 {
            // The process that talks to browsers ends in the middle of a piece.
            cuts += 1;
            let process = console.process().to_string();
            let killer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                Command::new("kill").args(["-9", &process]).status().unwrap();
            });
            let slow = ["--data-binary", data.as_str(), "--limit-rate", "100k", "--header", "Expect:"];
            assert!(step(&path, &slow).is_none(), "it was not cut");
            killer.join().unwrap();
            let until = Instant::now() + Duration::from_mins(1);
            at = loop {
                if let Some((200, at)) = step(&begin, &[]) {
                    break at;
                }
                assert!(Instant::now() < until, "nobody serves browsers again");
                thread::sleep(Duration::from_millis(100));
            };
            assert_eq!(at["offset"], offset, "half a piece is none");
            continue;
        }
        let (status, told) = step(&path, &["--data-binary", &data, "--header", "Expect:"]).unwrap();
        assert_eq!(status, 200, "{told}");
        at = told;
    }
    assert_eq!(cuts, 1);
    assert!(sent * 100 <= bytes.len() * 102, "{sent} bytes for {}", bytes.len());
    let kept = console.desk.data.join(format!("bulkhead/uploads/{}.part", at["id"].as_str().unwrap()));
    assert!(fs::read(kept).unwrap() == bytes, "it is another file");
    fs::write(&part, vec![0; (512 << 10) + 1]).unwrap();
    let path = format!("piece?id={}&offset=0", at["id"].as_str().unwrap());
    assert_eq!(step(&path, &["--data-binary", &data, "--header", "Expect:"]).unwrap().0, 413);
    // Another one who is signed in sees it, and neither goes on with it nor removes it.
    console.sign_out();
    assert_eq!(console.curl(&["/upload/begin", "--request", "POST"]).status, 401);
    assert_eq!(console.sign_in("otto", PASSWORD).status, 303);
    let page = console.curl(&["/updates"]).body;
    assert!(page.contains("long.pkg: 100 % (anna)"), "{page}");
    let id = at["id"].as_str().unwrap();
    assert_eq!(console.form("/updates", "/do/discard-upload", &[("upload", id)]).status, 403);
}

#[test]
fn a_backup_is_uploaded_and_put_back() {
    let (console, bearer) = with_token("administrator");
    let order = json!({ "passphrase": "correct horse battery" });
    assert_eq!(call(&console, &bearer, "/v1/backups", &order).0, 202);
    assert!(console.job()["result"]["steps"].is_array());
    let (_, backups) = call(&console, &bearer, "/v1/backups", &Value::Null);
    let kept = backups["backups"][0]["id"].as_str().unwrap();
    let (_, got) = call(&console, &bearer, "/v1/backup-piece", &json!({ "id": kept, "offset": 0 }));
    let bytes = base64::engine::general_purpose::STANDARD.decode(got["bytes"].as_str().unwrap()).unwrap();
    let order = json!({ "kind": "backup", "name": "it.tar.age", "length": bytes.len() });
    let (_, begun) = call(&console, &bearer, "/v1/uploads", &order);
    let source = json!({ "uploaded": begun["id"] });
    let restore = json!({ "backup": source, "passphrase": "correct horse battery" });
    assert_eq!(piece(&console, &bearer, &begun["id"], 0, &bytes).0, 200);
    assert_eq!(call(&console, &bearer, "/v1/restore", &restore).0, 202);
    assert_eq!(console.job()["result"]["code"], "not-found", "it is not finished");
    assert_eq!(call(&console, &bearer, "/v1/upload-finish", &json!({ "id": begun["id"] })).0, 202);
    assert!(console.job()["result"]["steps"].is_array());
    let test = json!({ "backup": source, "passphrase": "another horse battery" });
    assert_eq!(call(&console, &bearer, "/v1/backup-test", &test).0, 202);
    assert_eq!(console.job()["result"]["code"], "wrong-passphrase");
    assert_eq!(call(&console, &bearer, "/v1/restore", &restore).0, 202);
    let job = console.job();
    assert!(job["result"]["steps"].is_array(), "{job}");
    let (_, again) = call(&console, &bearer, "/v1/uploads", &json!({ "kind": "backup", "name": "no", "length": 9000 }));
    let (status, told) = piece(&console, &bearer, &again["id"], 0, &[b'x'; 9000]);
    assert_eq!((status, &told["code"]), (422, &json!("malformed")), "{told}");
}
