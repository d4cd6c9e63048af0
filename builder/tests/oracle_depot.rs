//! A depot, read by a TUF client that is not ours, over HTTP.

#[path = "support/depot.rs"]
mod depot;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use builder::depot::Signers;
use builder::depot::answer::Shelf;
use depot::{Release, Served, Shop, python_tuf};
use formats::Digest;
use formats::catalogue::Entry;
use formats::manifest::Kind;
use serde_json::Value;

fn today() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

#[test]
fn another_client_refreshes_and_downloads() {
    let now = today();
    let shop = Shop::at(now);
    let root = shop.depot.metadata("1.root.json");
    let served = Served::start(shop.depot.folder());
    let state = shop.path("state");
    let base = Release {
        site: Some(">=1"),
        eula: Some("Du stimmst \"zu\".\n"),
        ..Release::new(Kind::Base, "1.2.0-rc.1+build.7", 7)
    };
    shop.add(now, &base).unwrap();
    let licence = Release::new(Kind::Licence, "1.0.0", 1);
    shop.add(now, &licence).unwrap();
    for (target, content) in [
        ("base/demo-base-1.2.0-rc.1+build.7.pkg", fs::read(shop.package(&base)).unwrap()),
        ("base/demo-base-1.2.0-rc.1+build.7.notes.md", base.notes.clone().into_bytes()),
        ("base/demo-base-1.2.0-rc.1+build.7.eula.txt", base.eula.unwrap().into()),
        ("licence/demo-licence-1.0.0.pkg", fs::read(shop.package(&licence)).unwrap()),
    ] {
        let seen: Value = serde_json::from_str(&python_tuf(&served, &root, &state, target).unwrap()).unwrap();
        assert_eq!(seen["sha256"], hex::encode(Digest::of(&content).0), "{target}");
        assert_eq!(seen["length"], content.len(), "{target}");
        if target.ends_with("build.7.pkg") {
            let entry = Entry::parse(seen["custom"].to_string().as_bytes()).unwrap();
            entry.check_target(target).unwrap();
            assert_eq!(entry.notes, Digest::of(base.notes.as_bytes()));
        }
    }
    shop.change(now, |edit, _| edit.withdraw(&"licence/demo-licence-1.0.0".parse().unwrap(), None, "zurückgezogen"))
        .unwrap();
    let seen: Value = serde_json::from_str(&python_tuf(&served, &root, &state, "index/index.json").unwrap()).unwrap();
    let index = fs::read(state.join("downloaded")).unwrap();
    assert!(String::from_utf8_lossy(&index).contains("zurückgezogen"));
    assert_eq!(seen["versions"]["timestamp"], 4);
    assert!(python_tuf(&served, &root, &state, "base/other.pkg").unwrap_err().contains("has no base/other.pkg"));

    // Other keys for every role, one after the other; whoever comes from the first root follows.
    for role in ["root", "timestamp", "snapshot", "targets", "depot", "base", "root"] {
        let (new, rotation) = shop.new_key(role);
        let signers = Signers { folders: vec![shop.keys.clone(), new.clone()], ..Signers::default() };
        shop.change_by(&signers, now, |edit, _| edit.rotate(role, &rotation)).unwrap();
        shop.take_over(role, &new);
        for state in [&state, &shop.path(&format!("fresh-{}", new.display()).replace('/', "-"))] {
            python_tuf(&served, &root, state, "index/index.json").unwrap_or_else(|problem| panic!("{role}: {problem}"));
        }
    }
    let next = Release::new(Kind::Base, "2.0.0", 8);
    shop.add(now, &next).unwrap();
    let seen = python_tuf(&served, &root, &state, "base/demo-base-2.0.0.pkg").unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["versions"]["root"], 6);
    assert_eq!(seen["sha256"], hex::encode(Digest::of(&fs::read(shop.package(&next)).unwrap()).0));

    // The judge does judge: a depot that was tampered with is refused.
    let version = seen["versions"]["snapshot"].as_u64().unwrap();
    let snapshot = shop.depot.metadata(&format!("{version}.snapshot.json"));
    let bytes = fs::read(&snapshot).unwrap();
    fs::write(
        &snapshot,
        String::from_utf8(bytes).unwrap().replace(&format!("\"version\":{version}"), "\"version\":999"),
    )
    .unwrap();
    fs::remove_dir_all(&state).unwrap();
    let problem = python_tuf(&served, &root, &state, "index/index.json").unwrap_err();
    assert!(problem.contains("Error"), "{problem}");
}

#[test]
fn the_server_serves_ranges_and_says_what_has_not_changed() {
    let shop = Shop::new();
    let served = Served::start(shop.depot.folder());
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(served.url.trim_start_matches("http://").trim_end_matches('/')).unwrap();
        write!(stream, "{head}\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    };
    let whole = fs::read_to_string(shop.depot.metadata("timestamp.json")).unwrap();
    let get = "GET /metadata/timestamp.json HTTP/1.1";
    let answer = ask(get);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&whole), "{answer}");
    let tag = answer.split("etag: ").nth(1).unwrap().split('\r').next().unwrap().to_owned();
    let same = ask(&format!("{get}\r\nif-none-match: {tag}"));
    assert!(same.starts_with("HTTP/1.1 304") && same.ends_with("\r\n\r\n"), "{same}");
    let part = ask(&format!("{get}\r\nrange: bytes=10-19"));
    assert!(part.starts_with("HTTP/1.1 206") && part.ends_with(&format!("\r\n\r\n{}", &whole[10..20])), "{part}");
    assert!(part.contains(&format!("content-range: bytes 10-19/{}\r\n", whole.len())), "{part}");
    let other = ask(&format!("{get}\r\nrange: bytes=10-19\r\nif-range: \"old\""));
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    assert!(ask(&format!("{get}\r\nrange: bytes=99999-")).starts_with("HTTP/1.1 416"));
    let head = ask("HEAD /metadata/timestamp.json HTTP/1.1");
    assert!(head.ends_with("\r\n\r\n") && head.contains(&format!("content-length: {}\r\n", whole.len())), "{head}");
    assert!(ask("GET /metadata/2.root.json HTTP/1.1").starts_with("HTTP/1.1 404"));
    assert!(ask("GET /.lock HTTP/1.1").starts_with("HTTP/1.1 404"));
    assert!(ask("POST /metadata/timestamp.json HTTP/1.1").starts_with("HTTP/1.1 405"));
}

#[test]
fn another_client_reads_an_unpacked_bundle() {
    let now = today();
    let shop = Shop::at(now);
    let base = Release::new(Kind::Base, "2.0.0-with-a-long-pre-release.20271231+and-more-of-it", 2);
    let state = shop.add(now, &base).unwrap();
    shop.add(now, &Release::new(Kind::Site, "2.0.0", 2)).unwrap();
    let order: Vec<_> = state.catalogue().unwrap().entries().keys().cloned().collect();
    let file = shop.path("x.path");
    Shelf::open(&shop.depot, now).unwrap().bundle("one", order, now).unwrap().write(&file).unwrap();
    let folder = shop.path("unpacked");
    fs::create_dir(&folder).unwrap();
    let tar = Command::new("tar").arg("-C").arg(&folder).arg("-xf").arg(&file).status().unwrap();
    assert!(tar.success());
    let served = Served::start(&folder);
    let target = format!("base/demo-base-{}.pkg", base.version);
    let seen = python_tuf(&served, &shop.depot.metadata("1.root.json"), &shop.path("state"), &target).unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["sha256"], hex::encode(Digest::of(&fs::read(shop.package(&base)).unwrap()).0));
    let missing =
        python_tuf(&served, &shop.depot.metadata("1.root.json"), &shop.path("state"), "site/demo-site-2.0.0.pkg");
    assert!(missing.is_err(), "what was not asked for is not there");
}
