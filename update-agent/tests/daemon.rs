//! The daemon without an appliance: a keeper over a disk image file, its real process on a real socket, and the real commands.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

#[expect(dead_code, reason = "shared with the tests of depots, which use all of it")]
mod appliance;
mod disk_file;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use appliance::{AGENT, desk};
use fixtures::{Release, licence_with, release, release_with_terms, trust};
use formats::manifest::Kind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use update_agent::api::child::USER;
use update_agent::api::route::ROUTES;
use update_agent::reader::Program;
use update_agent::serve::desk::Desk;
use update_agent::serve::keeper::{Keeper, Setup};
use update_agent::workplace::Place;

struct Bench {
    directory: tempfile::TempDir,
    keeper: Option<Keeper>,
}

impl Bench {
    /// A daemon over an image with base 1 and site 10.
    fn new() -> Self {
        Self::with(Program::at(AGENT), AGENT.into())
    }

    fn with(reader: Program, program: PathBuf) -> Self {
        let mut bench = Self { directory: tempfile::tempdir().unwrap(), keeper: None };
        disk_file::write(&bench.path("disk.img"), |_| 1);
        fs::write(bench.path("trust.json"), trust().encode().unwrap()).unwrap();
        bench.start(reader, program);
        bench
    }

    fn start(&mut self, reader: Program, program: PathBuf) {
        let desk = desk(self.directory.path(), reader);
        self.keeper = Some(Keeper::start(Setup { desk, socket: self.path("agent.sock"), program }).unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn package(&self, name: &str, release: &Release) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, &release.package).unwrap();
        path
    }

    fn base(&self, sequence: u64) -> PathBuf {
        self.package(&format!("base-{sequence}.pkg"), &release(Kind::Base, sequence))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(AGENT);
        command.args(arguments).arg("--socket").arg(self.path("agent.sock"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Bytes to the socket and everything that comes back.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path("agent.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A refused request may be refused before its end.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Status and JSON of an answer.
    fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        let answer = self.raw(format!("{head}{body}").as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Begins a job and waits for its end.
    fn job(&self, path: &str, body: &Value) -> Value {
        let (status, begun) = self.call("POST", path, &body.to_string());
        assert_eq!(status, 202, "{path}: {begun}");
        within("the job ends", || {
            let job = self.get("/v1/job");
            assert_eq!(job["id"], begun["id"]);
            (!job["result"].is_null()).then_some(job)
        })
    }

    fn process(&self) -> u32 {
        within("there is a process that serves", || self.keeper.as_ref()?.process())
    }
}

fn within<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it does not happen that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(output: &Output, code: i32) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A reader that hangs for a while; `$0` is not used.
fn hanging(seconds: u32) -> Program {
    Program::other("/bin/sh", ["-c".into(), format!("exec sleep {seconds}")])
}

#[test]
fn a_command_installs_through_the_daemon_and_the_journal_says_for_whom() {
    let bench = Bench::new();
    let output = text(&bench.run(&["install", shown(&bench.base(2))]), 0);
    for wanted in ["demo-base 2.0.0, signed by base", "base slot B holds demo-base 2.0.0", "starts on trial"] {
        assert!(output.contains(wanted), "{output}");
    }
    let history = bench.get("/v1/history");
    let user = nix::unistd::geteuid();
    let actor = history[0]["actor"].as_str().unwrap();
    assert!(actor.starts_with(&format!("user {user}, process ")), "{history}");
    let status = bench.get("/v1/status");
    assert_eq!(status["next-restart"]["base"]["release"]["version"], "2.0.0", "{status}");
    let job = text(&bench.run(&["job"]), 0);
    assert!(job.contains("job 1: install for user") && job.contains("slot B"), "{job}");

    assert!(text(&bench.run(&["rollback"]), 0).contains("slot A"));
    assert_eq!(bench.get("/v1/status")["next-restart"]["base"]["release"]["version"], "1.0.0");
}

#[test]
fn the_exit_code_and_the_last_word_of_a_command_are_those_of_its_job() {
    let bench = Bench::new();
    let mut forged = release(Kind::Base, 2);
    let at = forged.package.windows(9).position(|window| window == b"demo-base").unwrap();
    forged.package[at] = b'x';
    let forged = bench.package("forged.pkg", &forged);
    let mut cut = release(Kind::Base, 2);
    cut.package.truncate(5000);
    let cut = bench.package("cut.pkg", &cut);
    for (package, exit, word) in [
        (forged, 4, "[bad-signature]"),
        (cut, 3, "[truncated]"),
        (bench.base(0), 5, "[below-floor]"),
        (bench.path("none.pkg"), 6, "[not-found]"),
        (bench.path("0123456789abcdef"), 6, "[not-found]"),
        (bench.directory.path().into(), 2, "[not-a-file]"),
    ] {
        let output = text(&bench.run(&["install", shown(&package)]), exit);
        assert!(output.trim_end().ends_with(word), "{output}");
    }
    text(&bench.run(&["rollback"]), 5);
}

#[test]
fn one_job_at_a_time() {
    let bench = Bench::with(hanging(3).with_patience(Duration::from_secs(2)), AGENT.into());
    let install = json!({ "package": { "file": bench.base(2) } }).to_string();
    assert_eq!(bench.call("POST", "/v1/install", &install).0, 202);
    let (status, problem) = bench.call("POST", "/v1/install", &install);
    assert_eq!((status, problem["code"].as_str()), (409, Some("busy")), "{problem}");
    // Facts are answered meanwhile.
    let job = bench.get("/v1/job");
    assert_eq!((job["id"].as_u64(), job["result"].is_null()), (Some(1), true));
    let job = within("the reader is given up", || Some(bench.get("/v1/job")).filter(|job| !job["result"].is_null()));
    assert_eq!(job["result"]["code"], "reader-failed", "{job}");
}

#[test]
fn the_process_that_serves_is_started_again_whenever_it_dies() {
    let bench = Bench::new();
    bench.get("/v1/status");
    let mut last = bench.process();
    for _ in 0..3 {
        kill(Pid::from_raw(last.try_into().unwrap()), Signal::SIGKILL).unwrap();
        last = within("another one has the socket", || bench.keeper.as_ref()?.process().filter(|new| *new != last));
        // The socket was open all the time: whoever connects in between waits.
        bench.get("/v1/status");
    }
}

#[test]
fn a_job_does_not_mind_the_death_of_the_process_that_took_it() {
    let bench = Bench::with(hanging(60).with_patience(Duration::from_secs(2)), AGENT.into());
    let child = bench.command(&["install", shown(&bench.base(2))]).stderr(Stdio::piped()).spawn().unwrap();
    // Written down means answered in a moment: from then on the client only asks how far the job is.
    within("the job is at work and written down", || {
        bench.get("/v1/audit")["lines"].as_array().filter(|lines| !lines.is_empty()).map(drop)
    });
    std::thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(bench.process().try_into().unwrap()), Signal::SIGKILL).unwrap();
    let output = child.wait_with_output().unwrap();
    let output = text(&output, 6);
    assert!(output.contains("silent for too long") && output.trim_end().ends_with("[reader-failed]"), "{output}");
}

#[test]
fn a_reader_that_is_killed_fails_its_job_and_nothing_else() {
    let killed = Program::other("/bin/sh", ["-c", "kill -KILL $$"]);
    let bench = Bench::with(killed, AGENT.into());
    let before = fs::read(bench.path("disk.img")).unwrap();
    let job = bench.job("/v1/install", &json!({ "package": { "file": bench.base(2) } }));
    assert_eq!(job["result"]["code"], "reader-failed", "{job}");
    assert!(fs::read(bench.path("disk.img")).unwrap() == before);
    bench.get("/v1/status");
}

/// Whatever has the socket instead: rubbish to the keeper, silence, an early end.
#[test]
fn no_process_that_serves_can_bring_the_keeper_down() {
    for rubbish in [
        "exit 1",
        "exec cat /dev/zero >&1",
        "exec yes >&1",
        "printf '\\2\\0\\0\\0[]\\377\\377\\377\\377' >&1; exec sleep 60",
        "printf '\\2\\0\\0\\0[]\\2\\0\\0\\0{}' >&1; exec sleep 60",
        "printf '\\2\\0\\0\\0[]\\12\\0\\0\\0' >&1",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (script, count) = (directory.path().join("serve"), directory.path().join("count"));
        let text = format!("#!/bin/sh\necho >>'{}'\n{rubbish}\n", count.display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut bench = Bench::with(Program::at(AGENT), script);
        let starts = || fs::read(&count).map_or(0, |lines| lines.len());
        within("it was started three times", || (starts() >= 3).then_some(()));
        // Ever more slowly: after 0.1, 0.2, 0.4, 0.8 s.
        std::thread::sleep(Duration::from_millis(500));
        assert!(starts() <= 6, "{rubbish}: {} starts", starts());
        // And an honest one gets the socket back.
        bench.keeper = None;
        bench.start(Program::at(AGENT), AGENT.into());
        bench.get("/v1/status");
    }
}

#[test]
fn the_process_that_serves_has_nothing_but_its_socket() {
    let bench = Bench::new();
    bench.get("/v1/status");
    let proc = PathBuf::from(format!("/proc/{}", bench.process()));
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((value("NoNewPrivs:"), value("Threads:")), ("1".into(), "1".into()));
    let mode = fs::metadata(bench.path("agent.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can see it give its rights away");
        return;
    }
    assert!(value("Uid:").split_whitespace().all(|user| user == USER.to_string()), "{status}");
    assert_eq!(value("CapEff:"), "0000000000000000");
    let root = fs::read_link(proc.join("root")).unwrap();
    assert!(root.to_string_lossy().ends_with(" (deleted)"), "{}", root.display());
}

#[test]
fn the_network_is_changed_by_the_agent_for_the_command_and_for_others() {
    let bench = Bench::new();
    let log = bench.path("log");
    let hook = |more: &str| {
        let beside = bench.path("hook.new");
        fs::write(&beside, format!("#!/bin/sh\necho \"$@\" >>'{}'\n{more}\n", log.display())).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(beside, bench.path("network")).unwrap();
    };
    hook("");
    assert_eq!(bench.get("/v1/network")["setting"], json!({ "method": "dhcp" }));
    let output = bench.run(&["network", "set", "192.0.2.10/24", "--gateway=192.0.2.1", "--dns=192.0.2.53"]);
    assert!(text(&output, 0).contains("network: static 192.0.2.10/24, gateway 192.0.2.1"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "static - 192.0.2.10/24 192.0.2.1 192.0.2.53\n");
    let setting = &bench.get("/v1/network")["setting"];
    assert_eq!((&setting["method"], &setting["address"]), (&json!("static"), &json!("192.0.2.10/24")));
    assert!(fs::read_to_string(bench.path("data/bulkhead/network.json")).unwrap().contains("192.0.2.53"));
    assert!(text(&bench.run(&["job"]), 0).contains("network for user "));

    // What cannot work is refused before anything changes.
    let (status, problem) = bench.call("POST", "/v1/network", r#"{"method":"static","address":"192.0.2.0/24"}"#);
    assert_eq!((status, problem["code"].as_str()), (400, Some("usage")), "{problem}");
    assert_eq!(&bench.get("/v1/network")["setting"], setting);
    // A hook that fails is named; the setting is kept for the next start.
    hook("exit 3");
    let output = text(&bench.run(&["network", "set", "dhcp"]), 6);
    assert!(output.contains("exit status: 3") && output.contains("tried again at the next start"), "{output}");
    assert_eq!(bench.get("/v1/network")["setting"], json!({ "method": "dhcp" }));
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_answered() {
    let bench = Bench::new();
    let code = |method, path, body: &str| {
        let (status, problem) = bench.call(method, path, body);
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(code("GET", "/v1/", ""), (404, "not-found".into()));
    assert_eq!(code("PUT", "/v1/status", ""), (405, "not-found".into()));
    assert_eq!(code("POST", "/v1/install", "{"), (400, "usage".into()));
    assert_eq!(code("POST", "/v1/install", r#"{"package":{"file":"x"},"force":1}"#), (400, "usage".into()));
    assert_eq!(code("POST", "/v1/commit", &"x".repeat(65_537)), (413, "too-long".into()));
    assert_eq!(code("DELETE", "/v1/staged/..%2f..%2fjournal", ""), (404, "not-found".into()));
    assert_eq!(code("DELETE", "/v1/staged/0123456789abcdef", ""), (404, "not-found".into()));
    assert_eq!(code("POST", "/v1/eula", r#"{"file":"relative.pkg"}"#), (400, "usage".into()));
    assert_eq!(code("POST", "/v1/eula", r#"{"file":"/dev/zero"}"#), (400, "not-a-file".into()));
    for rubbish in [&b"\0\xff\xfe rubbish\r\n\r\n"[..], b"GET /v1/status HTTP/9.9\r\n\r\n", &vec![b'A'; 40_000], b""] {
        let mut stream = UnixStream::connect(bench.path("agent.sock")).unwrap();
        drop(stream.write_all(rubbish));
        drop(stream);
        bench.get("/v1/job");
    }
    let long = format!("GET /v1/status HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(60_000));
    assert!(bench.raw(long.as_bytes()).starts_with("HTTP/1.1 431"));
    // Some that connect and say nothing.
    let idle: Vec<_> = (0..15).map(|_| UnixStream::connect(bench.path("agent.sock")).unwrap()).collect();
    bench.get("/v1/job");
    drop(idle);
}

/// As many as there may be, twice over: half of them ask and ask and never read, half have had their answer and say no more.
#[test]
fn clients_that_read_nothing_or_say_nothing_keep_nobody_out_for_long() {
    let bench = Bench::new();
    let request = b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n";
    let connect = || UnixStream::connect(bench.path("agent.sock")).unwrap();
    for reads in [false, true] {
        let held: Vec<UnixStream> = (0..16)
            .map(|_| {
                let mut stream = connect();
                if reads {
                    stream.write_all(request).unwrap();
                    assert!(stream.read(&mut [0; 12]).unwrap() > 0);
                } else {
                    stream.set_nonblocking(true).unwrap();
                    // Until no answer finds room any more, and no question either.
                    let until = Instant::now() + Duration::from_secs(10);
                    let (mut full, mut sent) = (0, 0);
                    while full < 20 && Instant::now() < until {
                        if let Ok(written) = stream.write(&request[sent..]) {
                            (full, sent) = (0, (sent + written) % request.len());
                        } else {
                            full += 1;
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                }
                stream
            })
            .collect();
        let asked = Instant::now();
        bench.get("/v1/job");
        assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
        drop(held);
    }
}

#[test]
fn without_a_daemon_a_command_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent.sock");
    let output = Command::new(AGENT).args(["commit", "--socket"]).arg(&socket).output().unwrap();
    let output = text(&output, 6);
    for wanted in ["does not answer at", "agent.sock", "update-agent serve", "[no-agent]"] {
        assert!(output.contains(wanted), "{output}");
    }
}

#[test]
fn an_interrupted_command_leaves_its_job_at_work_and_says_so() {
    let bench = Bench::with(hanging(60).with_patience(Duration::from_secs(3)), AGENT.into());
    let child: Child = bench.command(&["install", shown(&bench.base(2))]).stderr(Stdio::piped()).spawn().unwrap();
    within("the job is at work", || bench.get("/v1/job")["id"].as_u64());
    std::thread::sleep(Duration::from_millis(300));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = text(&child.wait_with_output().unwrap(), 6);
    assert!(output.contains("the install goes on (job 1)") && output.contains("update-agent job"), "{output}");
    assert!(bench.get("/v1/job")["result"].is_null());
}

#[test]
fn a_second_keeper_does_not_take_the_socket_away() {
    let bench = Bench::new();
    let place = Place { disk: None, trust: None, report: PathBuf::new(), journal: None };
    let desk = Desk { place, ..desk(bench.directory.path(), Program::at(AGENT)) };
    let second = Keeper::start(Setup { desk, socket: bench.path("agent.sock"), program: AGENT.into() });
    assert!(second.is_err_and(|problem| problem.code() == "busy"));
    bench.get("/v1/status");
}

#[test]
fn packages_are_staged_listed_installed_by_id_and_discarded() {
    let bench = Bench::new();
    assert!(text(&bench.run(&["staged"]), 0).contains("no package is staged"));
    let path = bench.base(2);
    let output = text(&bench.run(&["stage", shown(&path)]), 0);
    assert!(output.contains("demo-base 2.0.0 is staged as "), "{output}");
    // Again is the same.
    text(&bench.run(&["stage", shown(&path)]), 0);
    fs::remove_file(path).unwrap();
    let staged = bench.get("/v1/staged");
    let id = staged[0]["id"].as_str().unwrap();
    assert_eq!((staged.as_array().unwrap().len(), &staged[0]["release"]["version"]), (1, &json!("2.0.0")));
    assert!(text(&bench.run(&["staged"]), 0).contains(id));
    let output = text(&bench.run(&["install", id]), 0);
    assert!(output.contains("slot B"), "{output}");
    text(&bench.run(&["discard", id]), 0);
    assert!(text(&bench.run(&["discard", id]), 6).contains("[not-found]"));
    assert_eq!(bench.get("/v1/staged"), json!([]));
}

#[test]
fn what_was_kept_is_not_staged_any_more_and_what_was_not_stays() {
    let bench = Bench::new();
    let desk = desk(bench.directory.path(), Program::at(AGENT));
    let site = bench.package("site.pkg", &release(Kind::Site, 20));
    for package in [&bench.base(2), &site] {
        text(&bench.run(&["stage", shown(package)]), 0);
    }
    let mut cleared = None;
    let staged = || -> Vec<String> {
        let staged = bench.get("/v1/staged");
        let versions = staged.as_array().unwrap().iter().map(|one| one["release"]["version"].as_str().unwrap());
        let mut versions: Vec<String> = versions.map(Into::into).collect();
        versions.sort();
        versions
    };
    desk.clear_kept(&mut cleared).unwrap();
    assert_eq!(staged(), ["2.0.0", "20.0.0"]);
    // A base that waits for its restart was not kept. On an image a site is, as soon as it is installed and said to be good.
    for package in [&bench.base(2), &site] {
        text(&bench.run(&["install", shown(package)]), 0);
    }
    text(&bench.run(&["commit"]), 0);
    desk.clear_kept(&mut cleared).unwrap();
    assert_eq!(staged(), ["2.0.0"]);
    // As after a power cut before it, or after a copy of what was kept was staged once more: it is found out anew.
    text(&bench.run(&["stage", shown(&site)]), 0);
    desk.clear_kept(&mut cleared).unwrap();
    assert_eq!(staged(), ["2.0.0", "20.0.0"], "nothing happened since");
    desk.clear_kept(&mut None).unwrap();
    desk.clear_kept(&mut None).unwrap();
    assert_eq!(staged(), ["2.0.0"]);
}

#[test]
fn as_many_packages_as_may_be_staged_are_listed_and_one_more_is_refused() {
    let bench = Bench::new();
    let folder = bench.path("data/bulkhead/staged");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..255 {
        fs::write(folder.join(format!("{number:016x}.pkg")), "rubbish").unwrap();
    }
    let (two, three) = (bench.base(2), bench.base(3));
    text(&bench.run(&["stage", shown(&two)]), 0);
    assert_eq!(bench.get("/v1/staged").as_array().unwrap().len(), 256);
    let output = text(&bench.run(&["stage", shown(&three)]), 5);
    assert!(
        output.contains("256 packages are") && output.contains("discard") && output.contains("[too-many-staged]"),
        "{output}"
    );
    // The same once more takes no place.
    text(&bench.run(&["stage", shown(&two)]), 0);
    text(&bench.run(&["discard", "0000000000000000"]), 0);
    text(&bench.run(&["stage", shown(&three)]), 0);
}

#[test]
fn what_lies_among_the_staged_packages_is_not_believed() {
    let bench = Bench::new();
    let folder = bench.path("data/bulkhead/staged");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("package.new"), "cut").unwrap();
    fs::write(folder.join("0000000000000001.pkg"), "rubbish").unwrap();
    fs::write(folder.join("not-an-id.pkg"), "ignored").unwrap();
    std::os::unix::fs::symlink(bench.base(2), folder.join("0000000000000002.pkg")).unwrap();
    nix::unistd::mkfifo(&folder.join("0000000000000003.pkg"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let staged = bench.get("/v1/staged");
    let staged = staged.as_array().unwrap();
    assert_eq!(staged.len(), 3);
    assert!(staged.iter().all(|one| one["release"].is_null() && one["problem"].is_string()), "{staged:?}");
    for id in ["0000000000000001", "0000000000000002", "0000000000000003"] {
        let job = bench.job("/v1/install", &json!({ "package": { "staged": id } }));
        assert!(job["result"]["code"].is_string(), "{job}");
    }
    // A package that is refused leaves nothing, and the next one tidies up.
    let mut damaged = release(Kind::Base, 3);
    let at = damaged.package.len() - 1024 - 700;
    damaged.package[at] ^= 1;
    let job = bench.job("/v1/stage", &json!({ "file": bench.package("damaged.pkg", &damaged) }));
    assert_eq!(job["result"]["code"], "digest-mismatch", "{job}");
    assert!(!folder.join("package.new").exists());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
}

#[test]
fn an_agent_that_starts_again_removes_the_copy_that_was_cut_off_and_keeps_the_whole_ones() {
    let mut bench = Bench::new();
    let job = bench.job("/v1/stage", &json!({ "file": bench.base(2) }));
    assert!(job["result"]["steps"].is_array(), "{job}");
    let folder = bench.path("data/bulkhead/staged");
    fs::write(folder.join("package.new"), "cut").unwrap();
    bench.keeper = None;
    bench.start(Program::at(AGENT), AGENT.into());
    assert_eq!(bench.get("/v1/staged").as_array().unwrap().len(), 1);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn staging_says_how_much_room_it_needs_and_how_much_there_is() {
    let bench = Bench::new();
    let staging = update_agent::staging::Staging::new(&bench.path("data")).with_reserve(formats::Bytes(1 << 60));
    let file = fs::File::open(bench.base(2)).unwrap();
    let problem = staging.stage(file, "package", &trust(), &Program::at(AGENT), &update_agent::lifecycle::silent);
    let problem = problem.unwrap_err();
    assert_eq!(problem.code(), "no-space");
    let text = problem.to_string();
    // In whole MiB: what is needed rounded up, what is free rounded down.
    assert!(text.contains("staging package (1 MiB, and 1073741824 GiB to stay free) needs 1"), "{text}");
    assert!(text.contains("iB free;") && !text.contains(" B free"), "{text}");
    assert!(text.contains("discard"), "{text}");
    assert_eq!(fs::read_dir(bench.path("data/bulkhead/staged")).unwrap().count(), 0);
}

#[test]
fn licence_terms_are_accepted_once_for_each_text_and_the_journal_says_by_whom() {
    let bench = Bench::new();
    let first = bench.package("two.pkg", &release_with_terms(Kind::Base, 2, "Be kind.\n"));
    let before = fs::read(bench.path("disk.img")).unwrap();
    let refusal = text(&bench.run(&["install", shown(&first)]), 5);
    assert!(refusal.contains("--accept-eula") && refusal.contains("[eula-not-accepted]"), "{refusal}");
    assert!(fs::read(bench.path("disk.img")).unwrap() == before);
    let terms = text(&bench.run(&["eula", shown(&first)]), 0);
    assert!(terms.starts_with("Be kind.\n") && terms.contains("not accepted on this appliance"), "{terms}");

    let output = text(&bench.run(&["install", shown(&first), "--accept-eula"]), 0);
    assert!(output.contains("licence terms of demo-base 2.0.0 accepted"), "{output}");
    let history = bench.get("/v1/history");
    let accepted = history.as_array().unwrap().iter().find(|record| record["entry"] == "eula").unwrap();
    assert!(accepted["actor"].as_str().unwrap().starts_with("user ") && accepted["time"].as_u64() > Some(0));
    assert_eq!(accepted["digest"], formats::Digest::of(b"Be kind.\n").to_string());
    assert!(text(&bench.run(&["eula", shown(&first)]), 0).contains(", accepted on this appliance"));

    // The same text is not asked twice, another one is.
    let same = bench.package("three.pkg", &release_with_terms(Kind::Base, 3, "Be kind.\n"));
    let output = text(&bench.run(&["install", shown(&same)]), 0);
    assert!(!output.contains("accepted"), "{output}");
    let other = bench.package("four.pkg", &release_with_terms(Kind::Base, 4, "Be kinder.\n"));
    text(&bench.run(&["install", shown(&other)]), 5);
    assert!(text(&bench.run(&["eula", shown(&bench.base(5))]), 0).contains("comes without licence terms"));
}

/// What `docs/openapi.json` says about the schema at `path`, with references followed.
fn schema<'a>(document: &'a Value, found: &'a Value) -> &'a Value {
    match found["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}")),
        None => found,
    }
}

/// Complains about every field of an answer that the schema does not name, and every required one that is not there.
fn compare(document: &Value, wanted: &Value, found: &Value, place: &str) {
    let wanted = schema(document, wanted);
    if let Some(any) = wanted["oneOf"].as_array() {
        let fits = |one: &&Value| {
            let one = schema(document, one);
            let required = one["required"].as_array().cloned().unwrap_or_default();
            match one["type"].as_str() {
                Some("null") => found.is_null(),
                Some("object") => {
                    found.is_object() && required.iter().all(|key| found.get(key.as_str().unwrap()).is_some())
                }
                _ => !found.is_null() && !found.is_object(),
            }
        };
        let one = any.iter().find(fits).unwrap_or_else(|| panic!("{place}: {found} is none of {wanted}"));
        return compare(document, one, found, place);
    }
    match found {
        Value::Object(fields) => {
            assert_eq!(wanted["type"], "object", "{place}: {found}");
            let Some(properties) = wanted["properties"].as_object() else { return };
            for (name, value) in fields {
                let property = properties.get(name);
                let property = property.unwrap_or_else(|| panic!("{place} has \"{name}\", which is not documented"));
                compare(document, property, value, &format!("{place}.{name}"));
            }
            for name in wanted["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{place} has no {name}");
            }
        }
        Value::Array(items) => {
            assert_eq!(wanted["type"], "array", "{place}: {found}");
            for item in items {
                compare(document, &wanted["items"], item, &format!("{place}[]"));
            }
        }
        Value::String(_) => {
            assert_eq!(wanted["type"], "string", "{place}: {found}");
            let known = wanted["enum"].as_array();
            assert!(known.is_none_or(|known| known.contains(found)), "{place}: {found} is not documented");
        }
        Value::Number(_) => assert_eq!(wanted["type"], "integer", "{place}: {found}"),
        Value::Bool(_) => assert_eq!(wanted["type"], "boolean", "{place}: {found}"),
        Value::Null => assert_eq!(wanted["type"], "null", "{place}"),
    }
}

fn document() -> Value {
    serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap()
}

#[test]
fn the_document_has_exactly_the_routes_of_the_program() {
    let document = document();
    let mut documented: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        documented.extend(methods.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())));
    }
    let mut known: Vec<(String, String)> =
        ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_owned())).collect();
    documented.sort();
    known.sort();
    assert_eq!(documented, known);
    let guide = include_str!("../../docs/api.md");
    for (path, method) in known {
        assert!(guide.contains(&format!("`{method} {path}`")), "docs/api.md does not name {method} {path}");
    }
}

/// Compares an answer with what `docs/openapi.json` says about it.
fn check(document: &Value, method: &str, path: &str, status: u16, body: &Value, real: &str) {
    let place = format!("{method} {path} {status}");
    let answer = &document["paths"][path][method.to_lowercase()]["responses"][status.to_string()];
    assert!(answer.is_object(), "{place} is not documented: {body}");
    let answer = schema(document, answer);
    compare(document, &answer["content"]["application/json"]["schema"], body, real);
}

#[test]
fn real_answers_are_what_the_document_says() {
    let bench = Bench::new();
    let document = document();
    let package = bench.package("two.pkg", &release_with_terms(Kind::Base, 2, "Be kind.\n"));
    let file = json!({ "package": { "file": package } });
    let licence = bench.package("licence.pkg", &licence_with(1, None, |_, _| {}));
    let id = formats::Digest::of(&release_with_terms(Kind::Base, 2, "Be kind.\n").manifest).short();
    let (one, pem) = certificate_for("one.example");
    let certificate = |check: bool| json!({ "file": base64(&pem), "check-only": check });
    let piece = json!({ "id": "0123456789abcdef", "offset": 0, "bytes": "eA==" });
    let mut seen = 0;
    for (method, path, real, body) in [
        ("GET", "/v1/job", "/v1/job", Value::Null),
        ("POST", "/v1/eula", "/v1/eula", json!({ "file": package })),
        ("POST", "/v1/stage", "/v1/stage", json!({ "file": package })),
        ("GET", "/v1/staged", "/v1/staged", Value::Null),
        ("POST", "/v1/install", "/v1/install", json!({ "package": { "file": licence } })),
        ("GET", "/v1/licences", "/v1/licences", Value::Null),
        ("POST", "/v1/preflight", "/v1/preflight", file.clone()),
        ("POST", "/v1/preflight", "/v1/preflight", json!({ "way": {} })),
        ("POST", "/v1/install", "/v1/install", file.clone()),
        ("POST", "/v1/install", "/v1/install", json!({ "package": { "file": package }, "accept-eula": true })),
        ("POST", "/v1/backups", "/v1/backups", json!({ "passphrase": "correct horse battery" })),
        ("GET", "/v1/backups", "/v1/backups", Value::Null),
        ("POST", "/v1/backup-piece", "/v1/backup-piece", json!({ "id": "20261123-000000", "offset": 0 })),
        ("POST", "/v1/backup-setting", "/v1/backup-setting", json!({ "setting": { "format": 1, "keep": 3 } })),
        ("GET", "/v1/backups/{id}", "/v1/backups/20261123-000000", Value::Null),
        ("DELETE", "/v1/backups/{id}", "/v1/backups/20261123-000000", Value::Null),
        ("POST", "/v1/uploads", "/v1/uploads", json!({ "kind": "package", "name": "x.pkg", "length": 4096 })),
        ("POST", "/v1/uploads", "/v1/uploads", json!({ "kind": "poem", "name": "x.pkg", "length": 4096 })),
        ("POST", "/v1/uploads", "/v1/uploads", json!({ "kind": "backup", "name": "x.age", "length": 1_u64 << 60 })),
        ("GET", "/v1/uploads", "/v1/uploads", Value::Null),
        ("GET", "/v1/uploads/{id}", "/v1/uploads/0123456789abcdef", Value::Null),
        ("DELETE", "/v1/uploads/{id}", "/v1/uploads/0123456789abcdef", Value::Null),
        ("POST", "/v1/upload-piece", "/v1/upload-piece", piece),
        ("POST", "/v1/upload-finish", "/v1/upload-finish", json!({ "id": "0123456789abcdef" })),
        ("POST", "/v1/check", "/v1/check", Value::Null),
        ("GET", "/v1/updates", "/v1/updates", Value::Null),
        ("POST", "/v1/plan", "/v1/plan", json!({ "to": "site/x-1.0.0" })),
        ("POST", "/v1/texts", "/v1/texts", Value::Null),
        ("POST", "/v1/notes", "/v1/notes", Value::Null),
        ("GET", "/v1/upgrade", "/v1/upgrade", Value::Null),
        ("POST", "/v1/upgrade", "/v1/upgrade", json!({ "no-soak": "a new fleet" })),
        ("DELETE", "/v1/upgrade", "/v1/upgrade", Value::Null),
        ("GET", "/v1/mail", "/v1/mail", Value::Null),
        ("POST", "/v1/mail", "/v1/mail", Value::Null),
        ("GET", "/v1/support", "/v1/support", Value::Null),
        ("POST", "/v1/support", "/v1/support", Value::Null),
        ("GET", "/v1/network", "/v1/network", Value::Null),
        ("POST", "/v1/network", "/v1/network", json!({ "method": "static", "address": "192.0.2.10/24" })),
        ("GET", "/v1/network", "/v1/network", Value::Null),
        ("POST", "/v1/network", "/v1/network", json!({ "method": "static", "address": "192.0.2.10" })),
        ("POST", "/v1/certificates", "/v1/certificates", certificate(true)),
        ("POST", "/v1/certificates", "/v1/certificates", certificate(false)),
        ("POST", "/v1/certificates", "/v1/certificates", certificate(false)),
        ("POST", "/v1/certificates", "/v1/certificates", json!({ "file": "AAAA" })),
        ("POST", "/v1/signing-requests", "/v1/signing-requests", json!({ "names": ["one.example"] })),
        ("POST", "/v1/signing-requests", "/v1/signing-requests", json!({ "renew": "self-signed" })),
        ("GET", "/v1/certificates", "/v1/certificates", Value::Null),
        ("POST", "/v1/certificates/bind", "/v1/certificates/bind", json!({ "certificate": one, "to": "default" })),
        (
            "POST",
            "/v1/certificates/bind",
            "/v1/certificates/bind",
            json!({ "certificate": one, "to": { "name": "a.b" } }),
        ),
        ("POST", "/v1/certificates/export", "/v1/certificates/export", json!({ "of": one, "certificate": true })),
        ("POST", "/v1/certificates/export", "/v1/certificates/export", json!({ "of": one, "key": true })),
        ("GET", "/v1/certificates", "/v1/certificates", Value::Null),
        ("DELETE", "/v1/certificates/{id}", &format!("/v1/certificates/{one}"), Value::Null),
        ("POST", "/v1/certificates/unbind", "/v1/certificates/unbind", json!({ "to": { "name": "a.b" } })),
        ("POST", "/v1/certificates/unbind", "/v1/certificates/unbind", json!({ "to": "default" })),
        ("DELETE", "/v1/certificates/{id}", &format!("/v1/certificates/{one}"), Value::Null),
        ("DELETE", "/v1/signing-requests/{id}", "/v1/signing-requests/00", Value::Null),
        ("POST", "/v1/rollback", "/v1/rollback", Value::Null),
        ("POST", "/v1/commit", "/v1/commit", Value::Null),
        ("GET", "/v1/history", "/v1/history", Value::Null),
        ("GET", "/v1/reports", "/v1/reports", Value::Null),
        ("GET", "/v1/status", "/v1/status", Value::Null),
        ("GET", "/v1/health", "/v1/health", Value::Null),
        ("DELETE", "/v1/factory-reset", "/v1/factory-reset", Value::Null),
        ("POST", "/v1/factory-reset", "/v1/factory-reset", json!({ "confirm": "demo.example" })),
        ("GET", "/v1/status", "/v1/status", Value::Null),
        ("DELETE", "/v1/factory-reset", "/v1/factory-reset", Value::Null),
        ("DELETE", "/v1/staged/{id}", &format!("/v1/staged/{id}"), Value::Null),
        ("DELETE", "/v1/staged/{id}", "/v1/staged/0123456789abcdef", Value::Null),
        ("POST", "/v1/install", "/v1/install", json!({})),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = bench.call(method, real, &body);
        check(&document, method, path, status, &answer, real);
        if status == 202 {
            let job = within("the job ends", || Some(bench.get("/v1/job")).filter(|job| !job["result"].is_null()));
            check(&document, "GET", "/v1/job", 200, &job, "job");
        }
        seen += 1;
    }
    assert_eq!(seen, 70);
    assert_eq!(document["openapi"], "3.1.0");
}

/// A certificate of its own with its key, PEM, and its fingerprint.
fn certificate_for(host: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let fingerprint = formats::Digest::of(made.cert.der()).to_string();
    (fingerprint, made.cert.pem() + &made.signing_key.serialize_pem())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The passphrase and the key of a certificate are nobody's business but the file's they end in.
#[test]
fn certificates_go_in_and_out_by_command_and_no_passphrase_is_told() {
    let bench = Bench::new();
    let (one, pem) = certificate_for("one.example");
    fs::write(bench.path("one.pem"), &pem).unwrap();
    fs::write(bench.path("word"), "correct horse\n").unwrap();
    let (file, word) = (bench.path("one.pem"), bench.path("word"));
    let run = |arguments: &[&str], code| text(&bench.run(&[&["cert"], arguments].concat()), code);
    assert!(run(&["list"], 0).contains("shown to everybody, the appliance's own"));
    let checked = run(&["import", shown(&file), "--check", "--name", "two.example"], 0);
    assert!(checked.contains("[self-signed]") && checked.contains("it is not for \"two.example\""), "{checked}");
    assert!(!run(&["list"], 0).contains("one.example"));
    assert!(run(&["import", shown(&file)], 0).contains("is imported"));
    assert!(run(&["import", shown(&file)], 5).contains("[certificate-known]"));
    assert!(run(&["bind", &one[..8], "--name", "one.example"], 0).contains("those who ask for \"one.example\""));
    assert!(run(&["delete", &one[..8]], 5).contains("[certificate-in-use]"));
    let out = bench.path("out.p12");
    let export = ["export", &one[..8], "--parts", "certificate,key", "--format", "pkcs12", "-o", shown(&out)];
    assert!(run(&export, 5).contains("[not-confirmed]"));
    let named = [&export[..], &["--passphrase-file", shown(&word)]].concat();
    run(&named, 0);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(run(&named, 6).contains("exists"), "nothing is overwritten");
    let all = run(&["show", &one[..8]], 0);
    assert!(all.contains(&one) && all.contains("private key: here") && !all.contains("not-exported"), "{all}");
    run(&["unbind", "--name", "one.example"], 0);
    run(&["delete", &one[..8]], 0);
    assert!(run(&["import", shown(&out)], 4).contains("[wrong-passphrase]"));
    assert!(run(&["import", shown(&out), "--passphrase-file", shown(&word)], 0).contains("is imported"));
    assert!(run(&["csr", "one.example", "192.0.2.10"], 0).contains("BEGIN CERTIFICATE REQUEST"));
    let id = bench.get("/v1/certificates")["signing-requests"][0]["id"].as_str().unwrap().to_owned();
    run(&["delete", "--request", &id], 0);
    for place in ["/v1/history", "/v1/job", "/v1/status", "/v1/certificates"] {
        assert!(!bench.get(place).to_string().contains("correct horse"), "{place}");
    }
    // A file may be larger than any other request, and not without end.
    let most = base64(&"x".repeat(1 << 20));
    assert_eq!(bench.call("POST", "/v1/certificates", &json!({ "file": most }).to_string()).0, 422);
    let more = base64(&"x".repeat(1200 << 10));
    assert_eq!(bench.call("POST", "/v1/certificates", &json!({ "file": more }).to_string()).0, 413);
    assert_eq!(
        bench.call("POST", "/v1/certificates/bind", &json!({ "certificate": most, "to": "default" }).to_string()).0,
        413
    );
}

#[test]
fn accounts_and_the_audit_log_are_what_the_document_says() {
    let (bench, document) = (Bench::new(), document());
    for (method, path, body) in [
        ("GET", "/v1/claim-code", Value::Null),
        ("POST", "/v1/accounts", json!({ "change": "remove-account", "name": "nobody" })),
        (
            "POST",
            "/v1/accounts",
            json!({ "change": "add-account", "name": "anna", "role": "administrator", "password": "correct horse battery" }),
        ),
        ("POST", "/v1/accounts", json!({ "change": "add-token", "name": "ci", "role": "viewer", "days": 9 })),
        ("POST", "/v1/accounts", json!({ "change": "remove-account", "name": "anna" })),
        ("GET", "/v1/accounts", Value::Null),
        ("GET", "/v1/claim-code", Value::Null),
        ("GET", "/v1/audit", Value::Null),
        ("DELETE", "/v1/accounts", Value::Null),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = bench.call(method, path, &body);
        check(&document, method, path, status, &answer, path);
    }
}

/// The status of an appliance needs one; its outermost fields need only the report of a start.
#[test]
fn the_status_of_an_appliance_is_what_the_document_says() {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("boot.json");
    let content = json!({ "name": "demo", "version": "1.0.0", "build-id": "00".repeat(32), "sequence": 1,
        "verified": true, "signers": ["release"] });
    let mut site = content.clone();
    site["slot"] = json!("a");
    let json = json!({ "format": 1, "product": "demo", "slot": "a", "base": content, "site": site,
        "data": { "device": null, "grown": false, "error": null },
        "state": { "device": null, "whole-blocks": 0, "newest": null },
        "firmware": "uefi", "secure-boot": true, "disk": "/nowhere", "warnings": ["one"] });
    fs::write(&report, json.to_string()).unwrap();
    let status = update_agent::status::everything(&Place { disk: None, trust: None, report, journal: None }).unwrap();
    let document = document();
    compare(&document, &json!({ "$ref": "#/components/schemas/Status" }), &status, "status");
}
