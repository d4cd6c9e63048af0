use super::*;

fn file(checks: &str) -> Result<Vec<Check>> {
    parse_operator(format!("{{\"format\": 1, \"checks\": [{checks}]}}").as_bytes())
}

fn signed(check: &str) -> std::result::Result<Check, String> {
    serde_json::from_str(check).map_err(|error| error.to_string())
}

/// One check of every kind, with every key somewhere.
pub(crate) fn samples() -> Vec<Check> {
    let url = LocalUrl::parse("http://[::1]:8080/page?x=1").unwrap();
    let http = Probe::Http { url, status: 204, contains: Some("All is well".into()), limit: Bytes(4096) };
    vec![
        Check::new("agent", Probe::Process { name: Some("update-agent".into()), pid_file: None }),
        Check::new("daemon", Probe::Process { name: Some("httpd".into()), pid_file: Some("/run/httpd.pid".into()) }),
        Check { timeout: 3, ..Check::new("page", http) },
        Check::new("port", Probe::Tcp { port: 443 }),
        Check::new("self-test", Probe::Command { words: vec!["/site/bin/test".into(), "--quick".into()] }),
        Check::new("room", Probe::DiskSpace { path: "/data".into(), least: Room::Free(Bytes::mib(4)) }),
        Check::new("room.share", Probe::DiskSpace { path: "/".into(), least: Room::Percent(5) }),
        Check::new("clock", Probe::Clock { within_days: Some(3650) }),
    ]
}

#[test]
fn every_kind_is_read_back_as_it_was_written() {
    assert_eq!(check_list(&samples()), Ok(()));
    let json = serde_json::to_string(&samples()).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Check>>(&json).unwrap(), samples());
    // What is usual is not written.
    let page = Probe::Http {
        url: LocalUrl::parse("http://localhost").unwrap(),
        status: 200,
        contains: None,
        limit: DEFAULT_ANSWER,
    };
    let json = serde_json::to_string(&Check::new("page", page)).unwrap();
    assert_eq!(json, r#"{"name":"page","http":"http://127.0.0.1/"}"#);
}

#[test]
fn every_kind_is_shown_as_a_sentence() {
    let lines: Vec<String> = samples().iter().map(Check::to_string).collect();
    let expected = [
        "agent: process \"update-agent\" runs (within 10 s)",
        "daemon: process \"httpd\" runs, the one in \"/run/httpd.pid\" (within 10 s)",
        "page: http://[::1]:8080/page?x=1 answers 204 with \"All is well\" (within 3 s)",
        "port: port 443 accepts connections (within 10 s)",
        "self-test: \"/site/bin/test --quick\" succeeds (within 10 s)",
        "room: \"/data\" has 4 MiB free (within 10 s)",
        "room.share: \"/\" has 5 % free (within 10 s)",
        "clock: the clock is after the release, at most 3650 days (within 10 s)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn each_wrong_check_is_refused_with_its_name_and_reason() {
    for (check, part) in [
        (r#"{"tcp": 80}"#, "missing field `name`"),
        (r#"{"name": "x"}"#, "health check \"x\": nothing says what to check; give one of process"),
        (r#"{"name": "X y", "tcp": 80}"#, "name \"X y\" is not 1 to 64"),
        (r#"{"name": "x", "tcp": 80, "http": "http://127.0.0.1"}"#, "http and tcp are given; make a check of each"),
        (r#"{"name": "x", "tcp": 80, "status": 200}"#, "\"status\" belongs to \"http\", this is \"tcp\""),
        (r#"{"name": "x", "tcp": 80, "free": 1}"#, "\"free\" belongs to \"disk-space\""),
        (r#"{"name": "x", "tcp": 80, "within-days": 1}"#, "\"within-days\" belongs to \"clock\""),
        (r#"{"name": "x", "tcp": 80, "colour": 1}"#, "unknown field `colour`"),
        (r#"{"name": "x", "tcp": 0}"#, "tcp = 0 is not between 1 and 65535"),
        (r#"{"name": "x", "tcp": 65536}"#, "invalid value"),
        (r#"{"name": "x", "tcp": 80, "timeout": 0}"#, "timeout = 0 is not between 1 and 60 seconds"),
        (r#"{"name": "x", "tcp": 80, "timeout": 61}"#, "timeout = 61"),
        (r#"{"name": "x", "process": "a/b"}"#, "process = \"a/b\" is not a program's name"),
        (r#"{"name": "x", "process": ""}"#, "process = \"\""),
        (r#"{"name": "x", "pid-file": "run/x"}"#, "pid-file = \"run/x\" is not an absolute path"),
        (r#"{"name": "x", "http": "http://127.0.0.1", "status": 99}"#, "status = 99"),
        (r#"{"name": "x", "http": "http://127.0.0.1", "limit": 0}"#, "limit = 0 B is not between"),
        (r#"{"name": "x", "http": "http://127.0.0.1", "limit": "2MiB"}"#, "limit = 2 MiB is not between"),
        (r#"{"name": "x", "http": "http://127.0.0.1", "contains": ""}"#, "contains = \"\""),
        (r#"{"name": "x", "http": "http://127.0.0.1", "contains": "a\u001b[2J"}"#, "contains = \"a\\u{1b}[2J\""),
        (r#"{"name": "x", "command": []}"#, "command is empty"),
        (r#"{"name": "x", "command": ["sh"]}"#, "command = \"sh\" is not an absolute path"),
        (r#"{"name": "x", "command": ["/data/evil"]}"#, "lies in /data, which nobody signed"),
        (r#"{"name": "x", "command": ["/usr/../data/evil"]}"#, "is not an absolute path"),
        (r#"{"name": "x", "command": ["/usr//bin/x"]}"#, "is not an absolute path"),
        (r#"{"name": "x", "command": ["/bin/x", "a\nb"]}"#, "command = \"a\\nb\""),
        (r#"{"name": "x", "disk-space": "/data"}"#, "either \"free\" or \"free-percent\""),
        (r#"{"name": "x", "disk-space": "/data", "free": 1, "free-percent": 1}"#, "either \"free\" or"),
        (r#"{"name": "x", "disk-space": "/data", "free": 0}"#, "free = 0 B holds always"),
        (r#"{"name": "x", "disk-space": "/data", "free-percent": 100}"#, "free-percent = 100"),
        (r#"{"name": "x", "disk-space": "data", "free": 1}"#, "disk-space = \"data\""),
        (r#"{"name": "x", "clock": "right"}"#, "clock = \"right\" is not known; write clock = \"after-release\""),
        (r#"{"name": "x", "clock": "after-release", "within-days": 0}"#, "within-days = 0"),
    ] {
        let message = signed(check).expect_err(check);
        assert!(message.contains(part), "{check}: {message}");
        assert!(file(check).is_err(), "{check}");
    }
    let words = vec!["/bin/x".to_owned(); MAX_WORDS + 1];
    assert!(Check::new("x", Probe::Command { words }).check().unwrap_err().contains("33 words; at most 32"));
    assert!(signed(r#"{"name": "x", "command": ["/database/tool", ""]}"#).is_ok());
}

#[test]
fn only_addresses_of_this_machine_are_asked() {
    for url in [
        "https://127.0.0.1/",
        "http://example.org/",
        "http://127.0.0.1.example.org/",
        "http://127.0.0.1@example.org/",
        "http://10.0.0.1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:+80/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:/",
        "http://[::2]/",
        "http://[::1",
        "http://",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nHost: x",
        "http://127.0.0.1/#x",
        "http://127.0.0.1/\u{202e}",
    ] {
        let problem = LocalUrl::parse(url).expect_err(url);
        assert!(problem.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{problem}");
    }
    assert!(LocalUrl::parse(&format!("http://127.0.0.1/{}", "x".repeat(255))).is_ok());
    assert!(LocalUrl::parse(&format!("http://127.0.0.1/{}", "x".repeat(256))).is_err());
    for (url, shown) in [
        ("http://localhost:80", "http://127.0.0.1/"),
        ("http://[::1]/x", "http://[::1]/x"),
        ("http://127.0.0.1:8080/a?b=c", "http://127.0.0.1:8080/a?b=c"),
    ] {
        assert_eq!(LocalUrl::parse(url).unwrap().to_string(), shown);
    }
}

#[test]
fn the_operator_may_check_but_not_start_programs() {
    let found =
        file(r#"{"name": "mail", "tcp": 25}, {"name": "room", "disk-space": "/data", "free": "1MiB"}"#).unwrap();
    assert_eq!(found.iter().map(|check| check.name.as_str()).collect::<Vec<_>>(), ["mail", "room"]);
    let problem = file(r#"{"name": "x", "command": ["/bin/true"]}"#).unwrap_err().to_string();
    assert!(problem.contains("health check \"x\" is a command; only base and site may start programs"), "{problem}");
}

#[test]
fn the_operators_file_is_read_strictly_and_bounded() {
    let problem = |text: &str| parse_operator(text.as_bytes()).unwrap_err().to_string();
    assert!(problem("").contains("the operator's health file is damaged"));
    assert!(problem(r#"{"format": 2, "checks": []}"#).contains("it has format 2; 1 is understood"));
    assert!(problem(r#"{"format": 1, "checks": [], "x": 1}"#).contains("unknown field `x`"));
    assert!(problem(r#"{"format": 1, "checks": [], "checks": []}"#).contains("appears twice"));
    assert!(problem(r#"{"format": 1, "checks": [{"name": "x", "tcp": 1, "tcp": 2}]}"#).contains("appears twice"));
    let twice = r#"{"format": 1, "checks": [{"name": "x", "tcp": 1}, {"name": "x", "tcp": 2}]}"#;
    assert!(problem(twice).contains("health check \"x\" is there twice"));
    let many: Vec<String> = (0..33).map(|n| format!(r#"{{"name": "x{n}", "tcp": 1}}"#)).collect();
    assert!(file(&many.join(",")).unwrap_err().to_string().contains("33 health checks; at most 32"));
    assert!(file(&many[..32].join(",")).is_ok());
    let long = format!(r#"{{"format": 1, "checks": []{}}}"#, " ".repeat(MAX_FILE));
    assert!(problem(&long).contains("at most 32768 are allowed"));
}

#[test]
fn a_trial_has_to_leave_time_for_proving() {
    assert_eq!(Trial::default().check(), Ok(()));
    assert_eq!(Trial::default().to_string(), "healthy for 3 s, within 300 s");
    for (settle, deadline, part) in [
        (0, 300, "settle = 0"),
        (3601, 7200, "settle = 3601"),
        (3, 9, "deadline = 9"),
        (3, 7201, "deadline = 7201"),
        (60, 60, "above settle = 60"),
    ] {
        let problem = Trial { settle, deadline }.check().unwrap_err();
        assert!(problem.contains(part), "{problem}");
    }
    assert!(serde_json::from_str::<Trial>(r#"{"settle": 3, "dead-line": 5}"#).is_err());
}
