//! The console without an appliance: a keeper over a disk image file, its real process on a real port, and a real HTTPS client.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

#[expect(dead_code, reason = "shared with the tests of depots, which use all of it")]
mod appliance;
mod disk_file;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use appliance::{AGENT, desk};
use fixtures::{Release, release, trust};
use formats::manifest::Kind;
use serde_json::{Value, json};
use update_agent::reader::Program;
use update_agent::serve::desk::Desk;
use update_agent::serve::guard::Guard;
use update_agent::serve::keeper::{Keeper, Setup};

struct Console {
    directory: tempfile::TempDir,
    address: SocketAddr,
    desk: Desk,
    _keepers: [Keeper; 2],
}

/// An answer as `curl` shows it.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Console {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        disk_file::write(&path("disk.img"), |_| 1);
        fs::write(path("trust.json"), trust().encode().unwrap()).unwrap();
        let desk = desk(directory.path(), Program::at(AGENT));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let here = Setup { desk: desk.clone(), socket: path("agent.sock"), program: AGENT.into() };
        let here = Keeper::start(here).unwrap();
        let guard = Box::new(Guard::new(desk.clone()));
        let there = Keeper::keep(guard, listener.into(), AGENT.into(), None).unwrap();
        let console = Self { directory, address, desk, _keepers: [here, there] };
        let until = Instant::now() + Duration::from_mins(1);
        while console.try_curl(&["/static/console.css"]).is_none() {
            assert!(Instant::now() < until, "nobody answers browsers");
            std::thread::sleep(Duration::from_millis(100));
        }
        console
    }

    fn try_curl(&self, arguments: &[&str]) -> Option<Answer> {
        let (path, rest) = arguments.split_first().unwrap();
        let jar = self.directory.path().join("cookies");
        let output = Command::new("curl")
            .args(["--silent", "--insecure", "--include", "--max-time", "60", "--cookie-jar"])
            .arg(&jar)
            .arg("--cookie")
            .arg(&jar)
            .args(rest)
            .arg(format!("https://{}{path}", self.address))
            .output()
            .expect("curl is missing; run scripts/setup");
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head: head.to_ascii_lowercase(), body: body.into() })
    }

    fn curl(&self, arguments: &[&str]) -> Answer {
        self.try_curl(arguments).unwrap_or_else(|| panic!("no answer to {arguments:?}"))
    }

    /// The proof in the forms of a page.
    fn proof(&self, path: &str) -> String {
        let body = self.curl(&[path]).body;
        body.split("name=\"proof\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {body}"))[..64].into()
    }

    /// Sends a form from a page.
    fn form(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let proof = format!("proof={}", self.proof(page));
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec![action, "--data-urlencode", &proof];
        for field in &fields {
            arguments.extend(["--data-urlencode", field.as_str()]);
        }
        self.curl(&arguments)
    }

    fn claim(&self) {
        let code = self.desk.people.claim_code().unwrap().unwrap();
        let answer = self.form("/claim", "/claim", &[("code", &code), ("name", "anna"), ("password", PASSWORD)]);
        assert_eq!((answer.status, location(&answer)), (303, "/status".into()), "{}", answer.body);
    }

    fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.form("/sign-in", "/sign-in", &[("name", name), ("password", password)])
    }

    fn sign_out(&self) {
        assert_eq!(self.form("/status", "/sign-out", &[]).status, 303);
    }

    /// Waits until no job is at work, and returns the last one.
    fn job(&self) -> Value {
        let until = Instant::now() + Duration::from_mins(2);
        loop {
            let job = serde_json::to_value(self.desk.jobs.last()).unwrap();
            if !job["result"].is_null() {
                return job;
            }
            assert!(Instant::now() < until, "{job}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn staged(&self, name: &str, release: &Release) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, &release.package).unwrap();
        let output = Command::new(AGENT)
            .args(["stage", path.to_str().unwrap(), "--socket"])
            .arg(self.directory.path().join("agent.sock"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().rsplit(' ').next().unwrap_or_else(|| panic!("{text}")).into()
    }
}

fn location(answer: &Answer) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("location: "));
    line.unwrap_or_default().into()
}

const PASSWORD: &str = "correct horse battery staple";

#[test]
fn a_new_appliance_is_claimed_with_the_code_its_screen_shows_and_nothing_is_served_before() {
    let console = Console::new();
    for path in ["/", "/status", "/accounts", "/sign-in", "/anything"] {
        assert_eq!(location(&console.curl(&[path])), "/claim", "{path}");
    }
    let wrong =
        console.form("/claim", "/claim", &[("code", "0000-0000-0000"), ("name", "anna"), ("password", PASSWORD)]);
    assert!(wrong.status == 403 && wrong.body.contains("wrong-claim-code"), "{}", wrong.body);
    console.claim();
    let page = console.curl(&["/status"]);
    assert!(page.status == 200 && page.body.contains("anna (Administrator)"), "{}", page.body);
    assert!(page.body.contains("x 1.0.0 (Slot A)") || page.body.contains("1.0.0"), "{}", page.body);
    assert_eq!(location(&console.curl(&["/claim"])), "/status");
}

#[test]
fn every_page_is_there_in_both_languages_and_may_run_nothing_but_the_consoles_own_script() {
    let console = Console::new();
    console.claim();
    for (language, words) in [("en", "Sign out"), ("de", "Abmelden")] {
        for page in update_agent::web::route::Page::ALL {
            let answer = console.curl(&[page.path(), "--header", &format!("Accept-Language: {language}")]);
            assert_eq!(answer.status, 200, "{}", page.path());
            assert!(answer.body.contains(words) && answer.body.contains(&format!("<html lang=\"{language}\"")));
            assert!(
                answer
                    .head
                    .contains("content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'")
            );
            assert!(
                !answer.body.contains("<style")
                    && !answer.body.contains(" style=")
                    && !answer.body.contains(" onclick")
            );
        }
    }
    assert_eq!(console.curl(&["/no-such-page"]).status, 404);
}

#[test]
fn a_form_that_was_not_on_a_page_of_the_session_changes_nothing() {
    let console = Console::new();
    console.claim();
    let proof = console.proof("/accounts");
    let add = "name=eve&role=administrator&password=correct+horse+battery";
    for (fields, header) in [
        (add.to_owned(), "x: y"),
        (format!("{add}&proof={}", "0".repeat(64)), "x: y"),
        (format!("{add}&proof={proof}"), "Sec-Fetch-Site: cross-site"),
        (format!("{add}&proof={proof}"), "Sec-Fetch-Site: same-site"),
    ] {
        let answer = console.curl(&["/do/add-account", "--data", &fields, "--header", header]);
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
    assert_eq!(console.desk.people.accounts().unwrap().accounts.len(), 1);
    let cookie = fs::read_to_string(console.directory.path().join("cookies")).unwrap();
    assert!(cookie.contains("#HttpOnly_127.0.0.1") && cookie.contains("\tTRUE\t"), "{cookie}");
}

#[test]
fn each_role_may_do_what_it_may_and_refusals_are_written_down() {
    let console = Console::new();
    console.claim();
    for role in ["viewer", "operator"] {
        let fields = [("name", role), ("role", role), ("password", PASSWORD)];
        assert_eq!(console.form("/accounts", "/do/add-account", &fields).status, 200);
    }
    console.sign_out();
    assert_eq!(console.sign_in("viewer", PASSWORD).status, 303);
    for (action, status) in
        [("check", 403), ("restart", 403), ("factory-reset", 400), ("network", 403), ("remove-account", 403)]
    {
        let answer = console.form("/status", &format!("/do/{action}"), &[("name", "anna")]);
        assert_eq!(answer.status, status, "{action}: {}", answer.body);
    }
    assert!(!console.curl(&["/status"]).body.contains("/do/restart"));
    assert_eq!(console.curl(&["/audit"]).status, 200);
    assert!(console.curl(&["/audit"]).body.contains("not-allowed"));
    let log = console.desk.people.log().unwrap();
    assert!(log.broken.is_none());
    let refused: Vec<&str> =
        log.lines.iter().filter(|line| line.outcome == "not-allowed").map(|line| line.action.as_str()).collect();
    assert!(["check", "restart", "network", "accounts"].iter().all(|one| refused.contains(one)), "{refused:?}");
    console.sign_out();
    assert_eq!(console.sign_in("operator", PASSWORD).status, 303);
    assert_eq!(console.form("/status", "/do/rollback", &[]).status, 303);
    assert_eq!(console.form("/status", "/do/network", &[("method", "dhcp")]).status, 403);
}

#[test]
fn an_update_is_installed_from_the_page_and_shown_while_it_is() {
    let console = Console::new();
    console.claim();
    let id = console.staged("site.pkg", &release(Kind::Site, 11));
    let page = console.curl(&["/updates"]).body;
    assert!(page.contains(&id), "{page}");
    let answer = console.form("/updates", "/do/install", &[("staged", &id)]);
    assert_eq!((answer.status, location(&answer)), (303, "/updates".into()), "{}", answer.body);
    let job = console.job();
    assert!(job["result"]["steps"].is_array(), "{job}");
    let live = console.curl(&["/live"]);
    assert!(live.status == 200 && live.body.contains("install"), "{}", live.body);
    let written = console.desk.people.log().unwrap().lines;
    let install = written.iter().find(|line| line.action == "install").unwrap();
    let told = [&install.actor, &install.source, &install.outcome];
    assert_eq!(told, ["anna", "127.0.0.1", "begun"]);
    let history = console.curl(&["/history"]).body;
    assert!(history.contains("anna from 127.0.0.1"), "{history}");
}

#[test]
fn programs_use_the_same_interface_with_a_token_and_no_file_of_the_appliance() {
    let console = Console::new();
    console.claim();
    let made = console.form("/accounts", "/do/add-token", &[("name", "ci"), ("role", "operator"), ("days", "1")]);
    let token = made.body.split("<pre>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}");
    let status = console.curl(&["/v1/status", "--header", &bearer]);
    assert_eq!(status.status, 200);
    let told: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(told["state"], "slot A is good; nothing is pending", "{told}");
    for (path, body, wanted) in [
        ("/v1/stage", json!({ "file": "/etc/passwd" }), 403),
        ("/v1/install", json!({ "package": { "file": "/etc/passwd" } }), 403),
        ("/v1/eula", json!({ "file": "/etc/shadow" }), 403),
        ("/v1/network", json!({ "method": "dhcp" }), 403),
        ("/v1/nothing", json!({}), 404),
        ("/v1/rollback", json!({ "site": "maybe" }), 400),
    ] {
        let answer = console.curl(&[path, "--header", &bearer, "--data", &body.to_string()]);
        assert_eq!(answer.status, wanted, "{path}: {}", answer.body);
    }
    assert_eq!(console.curl(&["/v1/status"]).status, 401, "a cookie is no token");
    assert_eq!(console.curl(&["/v1/status", "--header", "Authorization: Bearer bulkhead-0"]).status, 401);
}

#[test]
fn many_who_say_nothing_keep_nobody_out() {
    let console = Console::new();
    let idle: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(console.address).unwrap()).collect();
    assert_eq!(console.curl(&["/static/console.js"]).status, 200);
    drop(idle);
}

#[test]
fn wrong_passwords_are_slowed_down_and_right_ones_wait_as_well() {
    let console = Console::new();
    console.claim();
    console.sign_out();
    for _ in 0..5 {
        assert_eq!(console.sign_in("anna", "wrong horse battery").status, 401);
    }
    let barred = console.sign_in("anna", PASSWORD);
    assert!(barred.status == 429 && barred.body.contains("too-many-tries"), "{}", barred.body);
}

#[test]
fn what_somebody_else_wrote_is_text_on_every_page() {
    let console = Console::new();
    console.claim();
    let page = console.curl(&["/updates/way?to=%3Cscript%3Ealert(1)%3C/script%3E"]);
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
    let back = console.curl(&["/sign-in?back=//elsewhere.example"]);
    assert_eq!(location(&back), "/status");
}
