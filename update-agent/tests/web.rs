//! The console without an appliance: a keeper over a disk image file, its real process on a real port, and a real HTTPS client.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

#[expect(dead_code, reason = "shared with the tests of depots, which use all of it")]
mod appliance;
#[path = "web/backups.rs"]
mod backups;
#[path = "web/certificates.rs"]
mod certificates;
mod disk_file;
#[path = "web/load.rs"]
mod load;
#[expect(dead_code, reason = "shared with the tests of the network, which use all of it")]
mod loopback;
#[path = "web/mail.rs"]
mod mail;
#[path = "web/support.rs"]
mod support;
mod web_console;

#[path = "web/uploads.rs"]
mod uploads;

use std::fs;

use fixtures::release;
use formats::manifest::Kind;
use serde_json::{Value, json};
use web_console::{Console, PASSWORD, location};

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
fn every_answer_says_what_a_browser_may_do_with_it_also_a_refusal() {
    let console = Console::new();
    console.claim();
    let long = console.directory.path().join("long");
    // One byte too many, so that nothing is left unread and the answer always arrives.
    fs::write(&long, vec![b'x'; (64 << 10) + 1]).unwrap();
    let long = format!("@{}", long.display());
    for (status, arguments) in [
        (200, &["/status"][..]),
        (200, &["/static/console.js"]),
        (401, &["/v1/status"]),
        (403, &["/do/check", "--data", "proof=none"]),
        (404, &["/no-such-page"]),
        (405, &["/status", "--request", "DELETE"]),
        (413, &["/do/check", "--header", "Expect:", "--data-binary", &long]),
    ] {
        let answer = console.curl(arguments);
        assert_eq!(answer.status, status, "{arguments:?}");
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "x-frame-options: deny",
        ] {
            assert!(answer.head.contains(header), "{arguments:?} without {header}: {}", answer.head);
        }
    }
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
        (format!("{add}&proof={proof}"), "Origin: https://elsewhere.example"),
        (format!("{add}&proof={proof}"), "Origin: null"),
        (format!("{add}&proof={proof}"), &format!("Origin: http://{}", console.address)),
    ] {
        let answer = console.curl(&["/do/add-account", "--data", &fields, "--header", header]);
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
    assert_eq!(console.desk.people.accounts().unwrap().accounts.len(), 1);
    // Nor is anybody signed in by somebody else's page; an old browser's own form is.
    console.sign_out();
    let (sign_in, own) =
        ("name=anna&password=".to_owned() + &PASSWORD.replace(' ', "+"), format!("https://{}", console.address));
    for (origin, status) in [("https://elsewhere.example", 403), (own.as_str(), 303)] {
        let fields = format!("{sign_in}&proof={}", console.proof("/sign-in"));
        let answer = console.curl(&["/sign-in", "--data", &fields, "--header", &format!("Origin: {origin}")]);
        assert_eq!(answer.status, status, "{}", answer.body);
    }
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
    for (action, status) in [
        ("check", 403),
        ("restart", 403),
        ("shutdown", 403),
        ("factory-reset", 400),
        ("network", 403),
        ("remove-account", 403),
    ] {
        let answer = console.form("/status", &format!("/do/{action}"), &[("name", "anna")]);
        assert_eq!(answer.status, status, "{action}: {}", answer.body);
    }
    let status = console.curl(&["/status"]).body;
    assert!(!status.contains("/confirm?what=restart") && !status.contains("/confirm?what=shutdown"), "{status}");
    assert_eq!(console.curl(&["/audit"]).status, 200);
    assert!(console.curl(&["/audit"]).body.contains("not-allowed"));
    let log = console.desk.people.log().unwrap();
    assert!(log.broken.is_none());
    let refused: Vec<&str> =
        log.lines.iter().filter(|line| line.outcome == "not-allowed").map(|line| line.action.as_str()).collect();
    assert!(
        ["check", "restart", "shutdown", "network", "accounts"].iter().all(|one| refused.contains(one)),
        "{refused:?}"
    );
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
    let question = format!("/updates/install?staged={id}");
    assert!(page.contains(&format!("href=\"{question}\"")) && !page.contains("/do/install"), "{page}");
    let page = console.curl(&[&question]).body;
    for wanted in
        ["data-finding=\"suits\"", "data-finding=\"backup\"", "there is no backup", "Nobody notices", "Install now"]
    {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    let answer = console.form(&question, "/do/install", &[("staged", &id)]);
    assert_eq!((answer.status, location(&answer)), (303, "/updates".into()), "{}", answer.body);
    let job = console.job();
    assert!(job["result"]["steps"].is_array(), "{job}");
    let live = console.curl(&["/live"]);
    assert!(live.status == 200 && live.body.contains("Ended: Installation"), "{}", live.body);
    let written = console.desk.people.log().unwrap().lines;
    let install = written.iter().find(|line| line.action == "install").unwrap();
    let told = [&install.actor, &install.source, &install.outcome];
    assert_eq!(told, ["anna", "127.0.0.1", "begun"]);
    let history = console.curl(&["/history"]).body;
    assert!(history.contains("anna from 127.0.0.1"), "{history}");
    assert!(
        history.contains("demo-site 11.0.0 after 10.0.0 has to prove itself") && history.contains("there is no backup"),
        "{history}"
    );
    assert_eq!(console.form("/status", "/do/rollback", &[("site", "yes")]).status, 303);
    console.job();
    console.desk.complete_reports().unwrap();
    let saved = history.split("/download/report/").nth(1).unwrap().split('"').next().unwrap();
    let report = console.curl(&[&format!("/download/report/{saved}")]);
    assert!(report.head.contains(&format!("filename=\"report-{saved}.json\"")), "{}", report.head);
    let report: Value = serde_json::from_str(&report.body).unwrap();
    assert_eq!(
        (&report["end"]["outcome"], &report["before"]["version"]),
        (&json!("taken-back"), &json!("10.0.0")),
        "{report}"
    );
    assert!(report["result"]["phases"].as_array().is_some_and(|phases| !phases.is_empty()), "{report}");
    let findings = report["preflight"]["findings"].as_array().unwrap();
    let at_work = findings.iter().find(|finding| finding["id"] == "at-work").unwrap();
    assert_eq!(at_work["verdict"], "green", "an installation is not in its own way: {report}");
    assert_eq!(report["notes"], "What is new.");
    assert_eq!(console.curl(&["/download/report/19700101-000000"]).status, 404);
}

#[test]
fn what_would_be_refused_has_no_button_and_a_backup_is_made_first_where_it_is_offered() {
    let console = Console::new();
    console.claim();
    let old = console.staged("old.pkg", &release(Kind::Base, 0));
    let page = console.curl(&[&format!("/updates/install?staged={old}")]).body;
    assert!(
        page.contains("<tr class=\"bad\" data-finding=\"suits\">") && page.contains("number 1 was committed"),
        "{page}"
    );
    assert!(!page.contains("/do/install"), "{page}");
    let folder = console.directory.path().join("data/bulkhead");
    fs::write(folder.join("backup-passphrase"), "correct horse battery staple").unwrap();
    let setting = r#"{"format":1,"passphrase-file":"backup-passphrase","before-updates":"no"}"#;
    fs::write(folder.join("backup.json"), setting).unwrap();
    let id = console.staged("site.pkg", &release(Kind::Site, 11));
    let question = format!("/updates/install?staged={id}");
    let page = console.curl(&[&question, "--header", "Accept-Language: de"]).body;
    assert!(page.contains("Sichern und fortfahren") && page.contains("Ohne Datensicherung installieren"), "{page}");
    assert_eq!(console.form(&question, "/do/install", &[("staged", &id), ("backup", "yes")]).status, 303);
    let job = console.job();
    let steps = job["result"]["steps"].to_string();
    assert!(steps.contains("backup") && steps.contains("11.0.0"), "{job}");
    let page = console.curl(&["/updates/install?staged=%3Cscript%3E"]).body;
    assert!(page.contains("class=\"problem\"") && !page.contains("/do/install"), "{page}");
}

#[test]
fn a_restart_and_a_way_back_are_asked_about_with_what_starts_next_and_who_is_signed_out() {
    let console = Console::new();
    console.claim();
    let status = console.curl(&["/status"]).body;
    assert!(!status.contains("/do/restart") && !status.contains("/do/rollback"), "{status}");
    for (what, form, wanted) in [
        ("restart", "/do/restart", "yours among them</dt><dd>1</dd>"),
        ("shutdown", "/do/shutdown", "yours among them</dt><dd>1</dd>"),
        ("rollback", "/do/rollback", "No session of the console ends"),
        ("rollback-site", "/do/rollback", "name=\"site\" value=\"yes\""),
    ] {
        assert!(status.contains(&format!("href=\"/confirm?what={what}\"")), "{what}: {status}");
        let page = console.curl(&[&format!("/confirm?what={what}")]).body;
        assert!(page.contains(&format!("action=\"{form}\"")) && page.contains(wanted), "{what}: {page}");
    }
    let restart = console.curl(&["/confirm?what=restart"]).body;
    assert!(restart.contains("After the restart</dt><dd>demo-base 1.0.0"), "{restart}");
    let shutdown = console.curl(&["/confirm?what=shutdown", "--header", "Accept-Language: de"]).body;
    assert!(shutdown.contains("Nach dem Einschalten</dt><dd>demo-base 1.0.0"), "{shutdown}");
    assert!(shutdown.contains("bis jemand es wieder einschaltet"), "{shutdown}");
    assert!(!console.curl(&["/confirm?what=format"]).body.contains("/do/"), "nothing else is asked");
}

#[test]
fn a_shut_down_is_refused_while_something_is_at_work_and_turns_the_appliance_off_afterwards() {
    let console = Console::new();
    console.claim();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let slow = move |_: &update_agent::serve::job::Hand| {
        wait.recv().unwrap();
        Ok(Vec::new())
    };
    console.desk.jobs.begin("install", "user 0".into(), update_agent::serve::job::For::Somebody, slow).unwrap();
    let question = "/confirm?what=shutdown";
    let refused = console.form(question, "/do/shutdown", &[]);
    assert!(refused.status == 409 && refused.body.contains("busy"), "{} {}", refused.status, refused.body);
    let told = || format!("{:?}", console.desk.power);
    assert!(!told().contains("PowerOff"), "{}", told());
    go.send(()).unwrap();
    let ended = || {
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let job = console.desk.jobs.last().unwrap();
            if job.result.is_some() {
                return job;
            }
            assert!(std::time::Instant::now() < until, "{job:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    assert_eq!(ended().what, "install");
    assert_eq!(console.form(question, "/do/shutdown", &[]).status, 303);
    let job = ended();
    assert!(job.what == "shutdown" && format!("{:?}", job.result).contains("turning off"), "{job:?}");
    assert!(told().contains("[PowerOff]"), "{}", told());
    let log = console.desk.people.log().unwrap();
    let outcomes: Vec<&str> =
        log.lines.iter().filter(|line| line.action == "shutdown").map(|line| line.outcome.as_str()).collect();
    assert_eq!(outcomes, ["busy", "begun"]);
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
    // Room for a certificate is given to those who are known, and to nobody else.
    let long = console.directory.path().join("long");
    fs::write(&long, "x".repeat(200 << 10)).unwrap();
    let long = format!("@{}", long.display());
    let import = |header: &str| console.try_curl(&["/v1/certificates", "--header", header, "--data-binary", &long]);
    assert_eq!(import(&bearer).unwrap().status, 400);
    for header in ["Authorization: Bearer bulkhead-0", "x: y"] {
        // The answer comes before all is sent, so the connection may be gone before it is read.
        assert!(import(header).is_none_or(|answer| answer.status == 413), "{header}");
    }
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
