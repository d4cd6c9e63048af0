//! Checks of real releases on a real machine: which apply, what is remembered of them before an update, and what is found.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use fixtures::{Release, agent, medium, release_with, running, trust};
use formats::SlotId::{A, B};
use formats::boot_state::BootState;
use formats::health::{Check, FEATURE, LocalUrl, Probe, Trial};
use formats::manifest::Kind;
use update_agent::disk::simulated::Disk;
use update_agent::health::{self, Asked, Checklist, Examiner, Rounds, operators_file};
use update_agent::journal::{Journal, Memory};
use update_agent::lifecycle::{Agent, Facts, Model};

fn with_checks(kind: Kind, sequence: u64, checks: Vec<Check>) -> Release {
    release_with(kind, sequence, |manifest| {
        manifest.required = vec![FEATURE.into()];
        manifest.health = checks;
        manifest.trial = Some(Trial { settle: 2, deadline: 60 });
    })
}

fn port(name: &str, port: u16) -> Check {
    Check { timeout: 2, ..Check::new(name, Probe::Tcp { port }) }
}

/// Whatever is asked, these fail.
struct Failing(&'static [&'static str]);

impl Examiner for Failing {
    fn failing(&self, _: &Facts) -> Vec<String> {
        self.0.iter().map(|name| (*name).to_owned()).collect()
    }
}

fn names(list: &Checklist) -> Vec<&str> {
    list.asked.iter().map(|asked| asked.name.as_str()).collect()
}

#[test]
fn the_checks_of_what_runs_and_of_the_operator_apply_and_those_of_the_other_slots_do_not() {
    let base = with_checks(Kind::Base, 1, vec![port("ssh", 22)]);
    let other = with_checks(Kind::Base, 2, vec![port("telnet", 23)]);
    let site = with_checks(Kind::Site, 10, vec![port("page", 80)]);
    let content = medium([Some(&base), Some(&other)], [Some(&site), None], &BootState::initial(A, Some(A)));
    let disk = Disk::new(content);
    let (store, trust) = (Memory::default(), trust());
    let journal = Journal::new(&store, || 0);
    let agent = Agent { journal, site: None, ..agent(&disk, &trust, Some(running(A, Some(A)))) };
    let folder = tempfile::tempdir().unwrap();
    let list = Checklist::new(&agent.facts().unwrap(), operators_file(folder.path()));
    assert_eq!(names(&list), ["base/ssh", "site/page"]);
    assert_eq!(list.asked[0].made, 1_700_000_000);
    assert_eq!(list.base_trial, Some(Trial { settle: 2, deadline: 60 }));

    std::fs::create_dir(folder.path().join("bulkhead")).unwrap();
    let file = folder.path().join(health::OPERATOR_PATH);
    std::fs::write(&file, r#"{"format": 1, "checks": [{"name": "mail", "tcp": 25}]}"#).unwrap();
    let list = Checklist::new(&agent.facts().unwrap(), operators_file(folder.path()));
    assert_eq!(names(&list), ["base/ssh", "site/page", "operator/mail"]);

    std::fs::write(&file, r#"{"format": 1, "checks": [{"name": "x", "command": ["/bin/true"]}]}"#).unwrap();
    let list = Checklist::new(&agent.facts().unwrap(), operators_file(folder.path()));
    assert_eq!(names(&list), ["base/ssh", "site/page"], "the others still count");
    assert!(list.findings[0].to_string().contains("only base and site may start programs"), "{:?}", list.findings);
    // A trap in its place is a finding, not a hang.
    std::fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(Checklist::new(&agent.facts().unwrap(), operators_file(folder.path())).findings.len(), 1);

    let image = Agent { running: None, ..agent };
    assert_eq!(Checklist::new(&image.facts().unwrap(), None), Checklist::default(), "nothing runs from an image file");
}

#[test]
fn an_installation_remembers_what_failed_before_it() {
    let (base, next) = (with_checks(Kind::Base, 1, vec![]), with_checks(Kind::Base, 2, vec![]));
    let disk = Disk::new(medium([Some(&base), None], [None, None], &BootState::initial(A, None)));
    let (store, trust) = (Memory::default(), trust());
    let journal = Journal::new(&store, || 0);
    let agent = Agent {
        journal,
        site: None,
        health: &Failing(&["operator/mail", "base/room"]),
        ..agent(&disk, &trust, Some(running(A, None)))
    };
    agent.install(&next.verified, &mut next.source(), &Model::default()).unwrap();
    let build = next.verified.manifest().build_id;
    assert_eq!(agent.journal.history().unwrap().baseline(build), ["operator/mail", "base/room"]);
    // After the restart into it.
    let agent = Agent { running: Some(running(B, None)), health: &health::Nothing, ..agent };
    agent.commit().unwrap();
    assert_eq!(agent.journal.history().unwrap().baseline(build), ["operator/mail", "base/room"]);
}

/// A web server that answers this for as long as the test runs.
fn server(answer: &'static str) -> LocalUrl {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 512];
            if stream.read(&mut request).is_ok() {
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    LocalUrl { address, path: "/".into() }
}

#[test]
fn a_round_on_this_machine_finds_every_kind_at_once_within_the_longest_time_limit() {
    let http =
        |url: LocalUrl| Probe::Http { url, status: 200, contains: Some("well".into()), limit: formats::Bytes(4096) };
    let words = |script: &str| Probe::Command { words: ["/bin/sh", "-c", script].map(str::to_owned).into() };
    let checks = [
        ("site/page", http(server("HTTP/1.0 200 OK\r\n\r\nAll is well"))),
        ("site/error", http(server("HTTP/1.0 503 No\r\n\r\nAll is well"))),
        ("base/script", words("exit 0")),
        ("base/hangs", words("sleep 1000")),
        ("base/clock", Probe::Clock { within_days: None }),
        ("operator/gone", Probe::Process { name: Some("no-such-program".into()), pid_file: None }),
    ];
    let asked = checks.map(|(name, probe)| Asked {
        name: name.into(),
        check: Check { timeout: 2, ..Check::new("x", probe) },
        made: 1_700_000_000,
    });
    let list = Checklist { asked: asked.into(), ..Checklist::default() };
    let probes = health::Appliance { verified: vec!["/bin/".into()] };
    let started = std::time::Instant::now();
    let findings = Rounds::new(Arc::new(probes)).run(&list);
    assert!(started.elapsed().as_secs() < 6, "{:?}", started.elapsed());
    let problems: Vec<Option<&str>> = findings.iter().map(|finding| finding.problem.as_deref()).collect();
    assert_eq!(
        problems,
        [None, Some("status 503"), None, Some("not finished within 2 s; killed"), None, Some("no such process runs")]
    );
    let verdict = health::verdict(&findings, &["operator/gone".into(), "base/hangs".into()]);
    assert!(verdict.reason().starts_with("site/error failed: status 503 (wanted: http://127.0.0.1:"), "{verdict:?}");
}
