//! An appliance and what is between it and its depot: encryption, a proxy; the mail it sends; what it does by itself, and when it may.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

mod appliance;
#[expect(dead_code, reason = "shared with the tests of the depot, which use all of it")]
mod depot_server;
mod disk_file;
mod loopback;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::time::{Duration, Instant, UNIX_EPOCH};

use appliance::Appliance;
use depot_server::{Depot, Server, converse};
use fixtures::{release_with, release_with_terms};
use formats::catalogue::PackageId;
use formats::manifest::Kind;
use formats::window::local;
use loopback::{Authority, Habits, Proxy, Sink, Taken, encrypted};
use serde_json::{Value, json};
use update_agent::calendar::Calendar;
use update_agent::serve::upgrade::{Road, Turn, turn};

/// An appliance that was started long ago.
const UP: Duration = Duration::from_hours(240);

struct Bench {
    appliance: Appliance,
    depot: Depot,
    server: Server,
}

impl Bench {
    fn new() -> Self {
        Self::with(Server::start(BTreeMap::new()))
    }

    fn behind_tls(authority: &Authority, name: &str, until: i32) -> Self {
        let config = authority.server(name, until);
        Self::with(Server::start_with(BTreeMap::new(), "https", move |stream, state| {
            drop(converse(encrypted(stream, &config), state));
        }))
    }

    /// An appliance with base 1 and site 10, and a depot with base 2.
    fn with(server: Server) -> Self {
        let depot = Depot::new();
        let appliance = Appliance::with_depot(&depot.root(1), Some(&server.url));
        fs::create_dir_all(appliance.path("data/bulkhead")).unwrap();
        let mut bench = Self { appliance, depot, server };
        bench.add(2);
        bench
    }

    fn add(&mut self, sequence: u64) -> PackageId {
        let base = release_with(Kind::Base, sequence, |manifest| {
            manifest.effects.reboot = true;
        });
        let id = self.depot.add(&base.manifest, &base.package);
        self.depot.version += 1;
        self.server.publish(&self.depot);
        id
    }

    fn keep(&self, name: &str, text: &str) {
        fs::write(self.path("data/bulkhead").join(name), text).unwrap();
    }

    /// The operator's setting.
    fn set(&self, setting: &Value) {
        let mut setting = setting.clone();
        setting["format"] = 1.into();
        self.keep("depot.json", &setting.to_string());
    }

    /// A maintenance window that opens so many minutes from now and closes then, beside `setting`.
    fn set_window(&self, setting: &Value, from: i64, to: i64) {
        self.set(setting);
        let written = fs::metadata(self.path("data/bulkhead/depot.json")).unwrap().modified().unwrap();
        let now = i64::try_from(written.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let time = |minutes: i64| local(now + minutes * 60, 0).split(' ').nth(1).unwrap().to_owned();
        let mut setting = setting.clone();
        setting["window"] = json!({"from": time(from), "to": time(to)});
        self.set(&setting);
    }

    /// What the daemon's thread for upgrades does when it is time.
    fn turn(&self) -> Turn {
        turn(&self.desk, &self.desk.wanted().unwrap().unwrap()).unwrap()
    }

    /// Looks until there is nothing more to begin, waiting for each job. What was begun.
    fn look(&self, calendar: &mut Calendar) -> Vec<String> {
        let mut begun = Vec::new();
        let before = self.desk.jobs.last().map_or(0, |job| job.id);
        let mut last = before;
        for _ in 0..6 {
            self.desk.look_into(calendar, UP).unwrap();
            let until = Instant::now() + Duration::from_mins(1);
            while self.desk.jobs.last().is_some_and(|job| job.result.is_none()) {
                assert!(Instant::now() < until, "{:?}", self.desk.jobs.last());
                std::thread::sleep(Duration::from_millis(5));
            }
            if let Some(job) = self.desk.jobs.last().filter(|job| job.id > last) {
                last = job.id;
                begun.push(job.what);
            }
        }
        begun
    }
}

impl Deref for Bench {
    type Target = Appliance;

    fn deref(&self) -> &Appliance {
        &self.appliance
    }
}

#[test]
fn a_depot_behind_encryption_is_asked_once_its_authority_is_known() {
    let authority = Authority::new();
    let bench = Bench::behind_tls(&authority, "127.0.0.1", 2090);
    let text = bench.text(&["check"], 6);
    assert!(text.contains("an authority this appliance does not know") && text.contains("ca-file"), "{text}");
    assert!(text.contains("[depot-unreachable]"), "{text}");

    bench.set(&json!({"ca-file": "ca.pem"}));
    assert!(bench.text(&["check"], 6).contains("ca.pem\", which the depot.json beside it names"));
    bench.keep("ca.pem", "no certificate");
    assert!(bench.text(&["check"], 6).contains("has no certificate"));
    bench.keep("ca.pem", &authority.pem);
    let text = bench.text(&["check"], 0);
    assert!(text.contains("base/demo-base-2.0.0 is available"), "{text}");
    bench.text(&["stage", "base/demo-base-2.0.0"], 0);
}

#[test]
fn a_certificate_that_is_not_believed_is_explained_with_names_and_days() {
    let authority = Authority::new();
    for (name, until, wanted) in [
        ("depot.example", 2090, "its certificate is for other names: DnsName(\"depot.example\")"),
        ("127.0.0.1", 2020, "its certificate was good until 2020-12-31"),
    ] {
        let bench = Bench::behind_tls(&authority, name, until);
        bench.keep("ca.pem", &authority.pem);
        bench.set(&json!({"ca-file": "ca.pem"}));
        let text = bench.text(&["check"], 6);
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
}

#[test]
fn what_began_encrypted_does_not_go_on_without() {
    let authority = Authority::new();
    let (bench, plain) = (Bench::behind_tls(&authority, "127.0.0.1", 2090), Server::start(BTreeMap::new()));
    bench.keep("ca.pem", &authority.pem);
    bench.set(&json!({"ca-file": "ca.pem"}));
    bench.server.state.lock().unwrap().leads_to = Some(plain.url.clone());
    let text = bench.text(&["check"], 6);
    assert!(text.contains("it leads from https:// to") && text.contains("not encrypted"), "{text}");
    assert_eq!(plain.counts().0, Vec::<String>::new());
}

#[test]
fn a_proxy_is_gone_through_with_and_without_a_password() {
    let authority = Authority::new();
    for bench in [Bench::new(), Bench::behind_tls(&authority, "127.0.0.1", 2090)] {
        bench.keep("ca.pem", &authority.pem);
        let open = Proxy::start(None);
        bench.set(&json!({"proxy": open.url, "ca-file": "ca.pem"}));
        bench.text(&["check"], 0);
        let target = bench.server.url.split('/').nth(2).unwrap();
        assert!(open.asked.lock().unwrap().iter().any(|asked| asked == target), "{:?}", open.asked);

        // "hall:open sesame"
        let closed = Proxy::start(Some("aGFsbDpvcGVuIHNlc2FtZQ=="));
        bench.set(&json!({"proxy": closed.url, "ca-file": "ca.pem"}));
        let text = bench.text(&["check"], 6);
        assert!(text.contains("the proxy wants to know who asks: set \"proxy-user\""), "{text}");
        let login =
            json!({"proxy": closed.url, "ca-file": "ca.pem", "proxy-user": "hall", "proxy-password-file": "proxy"});
        bench.set(&login);
        bench.keep("proxy", "close sesame\n");
        bench.text(&["check"], 6);
        bench.keep("proxy", "open sesame\n");
        assert!(bench.text(&["check"], 0).contains("has nothing new"));
    }
}

fn mail(sink: &Sink, more: &Value) -> Value {
    let mut mail = json!({"server": "localhost", "port": sink.port, "security": "none", "from": "agent@demo.example",
        "to": ["one@example.org", "two@example.org"]});
    mail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"mail": mail, "check-hours": 0, "ca-file": "ca.pem"})
}

#[test]
fn a_test_letter_arrives_however_the_way_is_protected() {
    let (authority, bench) = (Authority::new(), Bench::new());
    bench.keep("ca.pem", &authority.pem);
    bench.keep("mail-password", "open sesame\n");
    let config = authority.server("localhost", 2090);
    // "\0agent\0open sesame"
    let login = Some("AGFnZW50AG9wZW4gc2VzYW1l");
    let user = json!({"user": "agent", "password-file": "mail-password"});
    for (security, habits) in [
        ("none", Habits::default()),
        ("starttls", Habits { starttls: Some(config.clone()), login, ..Habits::default() }),
        ("tls", Habits { tls: Some(config), login, ..Habits::default() }),
    ] {
        let secret = habits.login.is_some();
        let sink = Sink::start(habits);
        let mut more = if secret { user.clone() } else { json!({}) };
        more["security"] = security.into();
        bench.set(&mail(&sink, &more));
        let text = bench.text(&["mail", "--test"], 0);
        assert!(text.contains("took a test for one@example.org, two@example.org"), "{text}");
        let letters = sink.letters();
        let [letter] = letters.as_slice() else { panic!("{letters:?}") };
        assert_eq!((letter.encrypted, letter.login.as_deref()), (secret, login.filter(|_| secret)));
        assert_eq!(letter.from, "FROM:<agent@demo.example>");
        assert_eq!(letter.to, ["TO:<one@example.org>", "TO:<two@example.org>"]);
        assert_eq!(letter.header("Subject"), "demo.example: a test of its mail");
    }
}

#[test]
fn a_mail_server_that_is_not_right_gets_neither_letter_nor_password() {
    let (authority, bench) = (Authority::new(), Bench::new());
    bench.keep("ca.pem", &authority.pem);
    bench.keep("mail-password", "wrong\n");
    let login = Some("AGFnZW50AG9wZW4gc2VzYW1l");
    let starttls = Some(authority.server("localhost", 2090));
    let (stranger, other) = (Authority::new().server("localhost", 2090), authority.server("mail.example", 2090));
    for (habits, wanted) in [
        (Habits::default(), "STARTTLS"),
        (Habits { starttls: Some(stranger), login, ..Habits::default() }, "an authority this appliance does not know"),
        (Habits { starttls: Some(other), login, ..Habits::default() }, "its certificate is for other names"),
        (Habits { starttls, login, ..Habits::default() }, "who are you"),
    ] {
        let sink = Sink::start(habits);
        bench.set(&mail(&sink, &json!({"security": "starttls", "user": "agent", "password-file": "mail-password"})));
        let text = bench.text(&["mail", "--test"], 6);
        assert!(text.contains(wanted) && text.contains("[mail-not-sent]"), "\"{wanted}\" in {text}");
        assert_eq!(sink.letters(), []);
    }
}

#[test]
fn a_password_is_looked_for_beside_the_setting_that_names_it_and_nowhere_else() {
    let (authority, bench) = (Authority::new(), Bench::new());
    let starttls = || Some(authority.server("localhost", 2090));
    let habits = || Habits { starttls: starttls(), login: Some("AGFnZW50AG9wZW4gc2VzYW1l"), ..Habits::default() };
    let named = json!({"security": "starttls", "user": "agent", "password-file": "mail-password"});
    let sink = Sink::start(habits());
    let shipped = |name: &str| bench.path("shipped").join(name);
    let mut setting = mail(&sink, &named);
    (setting["format"], setting["url"]) = (1.into(), bench.server.url.as_str().into());
    fs::write(shipped("depot.json"), setting.to_string()).unwrap();
    fs::write(shipped("ca.pem"), &authority.pem).unwrap();
    // The operator has one of the same name, for another server.
    bench.keep("mail-password", "open sesame\n");
    bench.keep("ca.pem", "not for this");
    let text = bench.text(&["mail", "--test"], 6);
    assert!(text.contains("shipped/mail-password\"") && text.contains("[not-found]"), "{text}");
    fs::write(shipped("mail-password"), "open sesame\n").unwrap();
    bench.text(&["mail", "--test"], 0);
    assert_eq!(sink.letters().len(), 1);
    // And the base's password is not for a server that the operator names.
    let other = Sink::start(habits());
    bench.set(&mail(&other, &named));
    bench.keep("ca.pem", &authority.pem);
    fs::remove_file(bench.path("data/bulkhead/mail-password")).unwrap();
    let text = bench.text(&["mail", "--test"], 6);
    assert!(text.contains("bulkhead/mail-password\"") && text.contains("[not-found]"), "{text}");
    assert_eq!(other.letters(), []);
}

#[test]
fn a_setting_with_a_header_in_it_is_refused_and_without_one_nobody_is_told() {
    let (bench, sink) = (Bench::new(), Sink::start(Habits::default()));
    assert!(bench.text(&["mail", "--test"], 5).contains("[no-mail]"));
    for more in [
        json!({"to": ["one@example.org\r\nBcc: all@example.org"]}),
        json!({"from": "agent@demo.example\nSubject: x"}),
        json!({"server": "localhost\r\nX"}),
    ] {
        bench.set(&mail(&sink, &more));
        assert!(bench.text(&["mail", "--test"], 3).contains("[malformed]"));
    }
    assert_eq!(sink.letters(), []);
}

#[test]
fn people_are_told_once_about_each_package_that_opens() {
    let (mut bench, sink) = (Bench::new(), Sink::start(Habits::default()));
    bench.keep("ca.pem", &Authority::new().pem);
    bench.set(&mail(&sink, &json!({})));
    let mut calendar = Calendar::default();
    assert_eq!(bench.look(&mut calendar), Vec::<String>::new(), "nobody asked the depot");
    bench.text(&["check"], 0);
    assert_eq!(bench.look(&mut calendar), ["mail"]);
    let letters = sink.letters();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter.header("Subject"), "demo.example: base/demo-base-2.0.0 can be installed");
    for wanted in [
        "Runs: demo-base 1.0.0",
        "Size: ",
        "Effects: the appliance restarts",
        "Install it: update-agent install base/demo-base-2.0.0",
        "Notes:\n  What is new.",
    ] {
        assert!(letter.text().contains(wanted), "\"{wanted}\" in {}", letter.text());
    }

    // Neither another check nor another start of the agent tells it again, and the next package is told alone.
    bench.text(&["check"], 0);
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new());
    bench.add(3);
    bench.text(&["check"], 0);
    assert_eq!(bench.look(&mut Calendar::default()), ["mail"]);
    let letters: Vec<Taken> = sink.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].header("Subject").ends_with("base/demo-base-3.0.0 can be installed"));
    assert!(!letters[0].text().contains("demo-base-2.0.0"), "{}", letters[0].text());
}

#[test]
fn a_letter_that_was_not_taken_is_kept_for_another_time_and_known_by_its_id_when_it_comes_twice() {
    let (bench, sink) = (Bench::new(), Sink::start(Habits::default()));
    bench.keep("ca.pem", &Authority::new().pem);
    bench.set(&mail(&sink, &json!({})));
    *sink.sulks.lock().unwrap() = true;
    bench.text(&["check"], 0);
    assert_eq!(bench.look(&mut Calendar::default()), ["mail"]);
    let text = bench.text(&["mail"], 0);
    assert!(
        text.contains("the last mail failed: the mail server \"localhost:") && text.contains("not in the mood"),
        "{text}"
    );
    assert!(bench.text(&["list"], 0).contains("not in the mood"));

    *sink.sulks.lock().unwrap() = false;
    assert_eq!(bench.look(&mut Calendar::default()), ["mail"], "the agent was started again");
    assert!(bench.text(&["mail"], 0).contains("the last mail was taken"));
    // A power cut before it was remembered.
    fs::remove_file(bench.path("data/bulkhead/mail.json")).unwrap();
    assert_eq!(bench.look(&mut Calendar::default()), ["mail"]);
    let letters = sink.letters();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].header("Message-ID").ends_with("@demo.example>"), "{letters:?}");
    assert_eq!(letters[0].header("Message-ID"), letters[1].header("Message-ID"));
}

#[test]
fn an_appliance_asks_and_fetches_by_itself_as_far_as_its_operator_lets_it() {
    let bench = Bench::new();
    let staged = || bench.text(&["staged"], 0).contains("demo-base 2.0.0");
    bench.set(&json!({"auto": "no"}));
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new());
    bench.set(&json!({"check-hours": 0}));
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new());
    bench.set(&json!({}));
    let mut calendar = Calendar::default();
    assert_eq!(bench.look(&mut calendar), ["check"], "once a day is what everybody does");
    assert_eq!((bench.look(&mut calendar), staged()), (Vec::new(), false));
    bench.set(&json!({"auto": "stage"}));
    assert_eq!(bench.look(&mut Calendar::default()), ["stage"]);
    assert!(staged());
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new(), "it is there");
}

#[test]
fn a_slow_download_that_nobody_waits_for_gives_way_and_goes_on_from_where_it_was() {
    let bench = Bench::new();
    bench.set(&json!({}));
    bench.text(&["check"], 0);
    bench.server.state.lock().unwrap().sent_of_packages = 0;
    // About ten kilobytes, two each second.
    bench.set(&json!({"auto": "stage", "bandwidth": 2048}));
    let mut calendar = Calendar::default();
    bench.desk.look_into(&mut calendar, UP).unwrap();
    let fetched = || bench.desk.jobs.last().filter(|job| job.what == "stage" && job.done >= 4096);
    let until = Instant::now() + Duration::from_secs(30);
    while fetched().is_none() {
        assert!(Instant::now() < until, "{:?}", bench.desk.jobs.last());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fetched().unwrap().result, None, "it is at work");
    bench.set(&json!({"auto": "stage"}));
    // Nothing is fetched for that, so only giving way makes room for it.
    bench.text(&["commit"], 0);
    assert!(!bench.text(&["staged"], 0).contains("demo-base 2.0.0"));
    assert_eq!(bench.look(&mut calendar), ["stage"]);
    assert!(bench.text(&["staged"], 0).contains("demo-base 2.0.0"));
    let size = bench.json(&["list", "--json"])["updates"][0]["size"].as_u64().unwrap();
    let sent = bench.server.state.lock().unwrap().sent_of_packages;
    assert!(sent <= 2 * size - 4096, "{sent} of {size}: the whole of it, and then the rest");
}

#[test]
fn an_upgrade_begins_by_itself_in_the_maintenance_window_and_the_journal_says_for_whom() {
    let bench = Bench::new();
    bench.set_window(&json!({"auto": "install"}), 120, 180);
    assert_eq!(bench.look(&mut Calendar::default()), ["check", "stage"], "the window is closed");
    assert_eq!(bench.desk.wanted().unwrap(), None);
    bench.set_window(&json!({"auto": "stage"}), -60, 120);
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new(), "nobody said so");

    bench.set_window(&json!({"auto": "install"}), -60, 120);
    assert_eq!(bench.look(&mut Calendar::default()), ["upgrade"]);
    let begun = bench.desk.wanted().unwrap().unwrap();
    assert_eq!((begun.by.as_str(), begun.to[0].to_string().as_str()), ("the calendar", "base/demo-base-2.0.0"));
    assert_eq!((begun.accept_eula, begun.no_soak, begun.offline), (false, None, false), "only people decide these");
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new(), "it is under way");
    assert_eq!(bench.turn(), Turn::Moved);
    let history = fs::read_to_string(bench.path("data/bulkhead/journal")).unwrap();
    let of = |entry: &str| history.lines().find(|line| line.contains(&format!(r#""entry":"{entry}""#))).unwrap();
    assert!(of("upgrade").contains(r#""event":"begun""#), "{history}");
    // And so was the installation.
    for record in [of("upgrade"), of("begin")] {
        assert!(record.contains(r#""actor":"the calendar""#), "{record}");
    }
}

#[test]
fn what_somebody_took_back_does_not_begin_by_itself_before_something_newer_is_offered() {
    let mut bench = Bench::new();
    bench.set(&json!({"auto": "install"}));
    assert_eq!(bench.look(&mut Calendar::default()), ["check", "stage", "upgrade"]);
    bench.text(&["upgrade", "--cancel"], 0);
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new());
    // Whoever asks for it gets it.
    bench.text(&["upgrade"], 0);
    assert_eq!(bench.desk.wanted().unwrap().unwrap().to[0].to_string(), "base/demo-base-2.0.0");
    bench.text(&["upgrade", "--cancel"], 0);
    bench.add(3);
    bench.text(&["check"], 0);
    assert_eq!(bench.look(&mut Calendar::default()), ["stage", "upgrade"]);
    assert_eq!(bench.desk.wanted().unwrap().unwrap().to[0].to_string(), "base/demo-base-3.0.0");
}

#[test]
fn licence_terms_stop_what_began_by_itself_and_it_stays_stopped() {
    let mut bench = Bench::new();
    let site = release_with_terms(Kind::Site, 20, "Be kind.\n");
    bench.depot.index.channels.clear();
    bench.depot.add(&site.manifest, &site.package);
    bench.depot.version += 1;
    bench.server.publish(&bench.depot);
    bench.set(&json!({"auto": "install"}));
    assert_eq!(bench.look(&mut Calendar::default()), ["check", "stage", "upgrade"]);
    assert_eq!(bench.turn(), Turn::Moved);
    let stopped = bench.desk.wanted().unwrap().unwrap().stopped.unwrap();
    assert_eq!(stopped.problem.code, "eula-not-accepted");
    assert_eq!(bench.json(&["list", "--json"])["updates"][0]["standing"], "available");
    assert_eq!(bench.look(&mut Calendar::default()), Vec::<String>::new(), "only somebody who reads them can go on");
    bench.text(&["upgrade", "--accept-eula"], 0);
    assert_eq!(bench.turn(), Turn::Moved);
    assert_eq!(bench.json(&["list", "--json"])["updates"][0]["standing"], "installed");
}

#[test]
fn a_step_begins_in_the_maintenance_window_and_only_when_it_fits_into_what_is_left_of_it() {
    let mut bench = Bench::new();
    // From now on it is known how long things take here; a restart counts two minutes until one was seen.
    bench.text(&["install", "base/demo-base-2.0.0"], 0);
    bench.text(&["rollback"], 0);
    bench.add(3);
    bench.set_window(&json!({}), 120, 180);
    bench.text(&["upgrade"], 0);
    let summary = || bench.text(&["upgrade"], 5);
    assert_eq!(bench.turn(), Turn::Waited);
    assert!(summary().contains("the maintenance window is closed; it opens on"), "{}", summary());
    assert!(bench.text(&["list"], 0).contains("the maintenance window is closed; it opens on"));
    bench.set_window(&json!({}), -60, 2);
    assert_eq!(bench.turn(), Turn::Waited);
    assert!(summary().contains("about 2 min are needed and the maintenance window closes in 2 min"), "{}", summary());
    // Decided while there was time: it is asked again before anything is written.
    let upgrade = bench.desk.wanted().unwrap().unwrap();
    let problem = bench.desk.install(&upgrade, &"base/demo-base-3.0.0".parse().unwrap()).unwrap_err();
    assert_eq!(problem.code(), "outside-window");
    bench.set_window(&json!({}), -60, 60);
    assert_eq!(bench.turn(), Turn::Moved);
    assert!(bench.desk.wanted().unwrap().unwrap().stopped.is_none());
}

#[test]
fn an_upgrade_that_fits_into_no_window_stops_and_does_not_begin_by_itself() {
    let mut bench = Bench::new();
    bench.text(&["install", "base/demo-base-2.0.0"], 0);
    bench.text(&["rollback"], 0);
    bench.add(3);
    bench.set_window(&json!({"auto": "install"}), 0, 1);
    bench.text(&["check"], 0);
    let list = bench.text(&["list"], 0);
    let sentence = "the maintenance window is never open for more than 1 min: set a longer one in depot.json";
    assert!(
        list.contains("nothing is installed by itself: about 2 min are needed") && list.contains(sentence),
        "{list}"
    );
    bench.text(&["upgrade"], 0);
    assert_eq!(bench.turn(), Turn::Moved);
    let stopped = bench.desk.wanted().unwrap().unwrap().stopped.unwrap();
    assert!(stopped.problem.code == "window-too-short" && stopped.problem.message.contains(sentence), "{stopped:?}");
}

#[test]
fn a_cap_on_the_bandwidth_is_kept_over_a_whole_download() {
    let mut bench = Bench::new();
    let size = 600 << 10;
    let long = release_with(Kind::Site, 11, |_| {});
    let padded = [long.package.as_slice(), &vec![0; size]].concat();
    let id = bench.depot.add(&long.manifest, &padded);
    bench.depot.version += 1;
    bench.server.publish(&bench.depot);
    let bandwidth = 200_000_u64;
    bench.set(&json!({"bandwidth": bandwidth}));
    bench.text(&["check"], 0);
    let begun = Instant::now();
    // It is no package in the end; what counts is how long its bytes took.
    bench.text(&["stage", &id.to_string()], 3);
    let least = Duration::from_millis(padded.len() as u64 * 1000 / bandwidth);
    assert!(begun.elapsed() >= least.mul_f64(0.95), "{:?} of {least:?}", begun.elapsed());
    // A busy machine needs its time for starting processes.
    assert!(begun.elapsed() <= least.mul_f64(1.2) + Duration::from_secs(20), "{:?} of {least:?}", begun.elapsed());
}
