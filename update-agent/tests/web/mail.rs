//! Who is told by mail, through the console, with a mail server on the other side.

use std::fs;

use serde_json::json;

use crate::loopback::{Habits, Sink};
use crate::web_console::{Console, PASSWORD, location};

const PAGE: &str = "/mail";

fn set(console: &Console, port: u16) {
    let mail = json!({"server": "localhost", "port": port, "security": "none", "from": "agent@demo.example",
        "to": ["one@example.org", "two@example.org"]});
    let setting = json!({"format": 1, "check-hours": 0, "mail": mail});
    fs::create_dir_all(console.directory.path().join("data/bulkhead")).unwrap();
    fs::write(console.directory.path().join("data/bulkhead/depot.json"), setting.to_string()).unwrap();
}

#[test]
fn an_appliance_that_tells_nobody_says_so_calmly_and_where_it_is_set() {
    let console = Console::new();
    console.claim();
    for (language, words) in [("en", "Nobody is told by mail"), ("de", "Niemand wird per E-Mail benachrichtigt")] {
        let page = console.curl(&[PAGE, "--header", &format!("Accept-Language: {language}")]);
        assert!(page.status == 200 && page.body.contains(words), "{}", page.body);
        assert!(page.body.contains("/data/bulkhead/depot.json"), "{}", page.body);
        assert!(!page.body.contains("class=\"problem\"") && !page.body.contains("no-mail"), "{}", page.body);
        assert!(!page.body.contains("/do/test-mail"), "nothing to try: {}", page.body);
    }
    // Another fault is one: nobody may take a broken setting for none.
    fs::create_dir_all(console.directory.path().join("data/bulkhead")).unwrap();
    fs::write(console.directory.path().join("data/bulkhead/depot.json"), "{").unwrap();
    let broken = console.curl(&[PAGE]).body;
    assert!(broken.contains("class=\"problem\"") && !broken.contains("Nobody is told"), "{broken}");
}

#[test]
fn a_test_is_sent_from_the_page_and_what_the_server_says_is_shown_there() {
    let console = Console::new();
    console.claim();
    let sink = Sink::start(Habits::default());
    set(&console, sink.port);
    let page = console.curl(&[PAGE]).body;
    for words in ["localhost", "agent@demo.example", "one@example.org", "two@example.org", "nothing was sent yet"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let try_it = || {
        let answer = console.form(PAGE, "/do/test-mail", &[]);
        assert_eq!((answer.status, location(&answer)), (303, PAGE.into()), "{}", answer.body);
        console.job()["result"].clone()
    };
    assert!(try_it()["steps"][0].as_str().unwrap().contains("took a test for one@example.org, two@example.org"));
    assert_eq!(sink.letters().len(), 1);
    assert!(console.curl(&[PAGE]).body.contains("took a test for"), "how it ended stands on the page");

    // A port where nobody listens.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    set(&console, gone);
    assert_eq!(try_it()["code"], "mail-not-sent");
    assert!(console.curl(&[PAGE]).body.contains("mail-not-sent"));

    let fields = [("name", "eva"), ("role", "viewer"), ("password", PASSWORD)];
    assert_eq!(console.form("/accounts", "/do/add-account", &fields).status, 200);
    console.sign_out();
    assert_eq!(console.sign_in("eva", PASSWORD).status, 303);
    let page = console.curl(&[PAGE]).body;
    assert!(page.contains("one@example.org") && !page.contains("/do/test-mail"), "{page}");
    assert_eq!(console.form(PAGE, "/do/test-mail", &[]).status, 403);
    assert!(sink.letters().is_empty(), "nothing was sent but the first test");
}
