//! The portal, asked as a browser asks it.

#[path = "support/depot.rs"]
mod depot;
#[path = "support/offline.rs"]
mod offline;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use builder::bundle_file::BundleFile;
use builder::depot::Hiding;
use builder::depot::ledger::{Ledger, Newcomers};
use builder::depot::portal::Portal;
use builder::depot::serve::Server;
use depot::{NOW, Shop};
use formats::Digest;
use formats::download_key::{DownloadKey, MAX_LICENCES};
use formats::journal::Floor;
use formats::manifest::Kind;
use formats::tuf::Freshness;
use offline::{identity, key_by, shop};

/// A depot behind a portal whose clock stands still.
struct Visit {
    shop: Shop,
    address: std::net::SocketAddr,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Visit {
    fn new(hiding: Hiding) -> Self {
        Self::at(shop(), hiding, || Ok(NOW))
    }

    fn at(shop: Shop, hiding: Hiding, clock: fn() -> builder::Result<i64>) -> Self {
        Self::limited(shop, hiding, clock, None)
    }

    fn limited(shop: Shop, hiding: Hiding, clock: fn() -> builder::Result<i64>, newcomers: Option<Newcomers>) -> Self {
        let ledger = Ledger::new(&shop.path("ledger"), 3).limited(newcomers);
        let portal = Portal::new(shop.depot.clone(), ledger, hiding, clock);
        let server = Server::bind(shop.depot.folder(), Some(portal), "127.0.0.1:0".parse().unwrap()).unwrap();
        let server = server.with_patience(Duration::from_secs(1));
        let address = server.address().unwrap();
        std::thread::spawn(move || server.run());
        Self { shop, address }
    }

    fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        write!(stream, "{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n").unwrap();
        // A server that has refused already may have closed.
        drop(stream.write_all(body));
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Answer { status, headers, body: bytes[end + 4..].to_vec() }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1"), b"")
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        self.ask(&format!("POST {path} HTTP/1.1"), fields.collect::<Vec<_>>().join("&").as_bytes())
    }
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// As a browser does it, only more of it.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"))
}

fn key(nonce: u8, change: impl FnOnce(&mut DownloadKey)) -> String {
    key_by(1, nonce, change).key().sign(&identity(1)).unwrap()
}

#[test]
fn a_key_with_as_many_licences_as_an_appliance_keeps_is_answered() {
    let visit = Visit::new(Hiding::Mark);
    let long = key(1, |key| {
        let line = |number: usize| Floor { kind: Kind::Licence, name: format!("{number:0>64}"), sequence: u64::MAX };
        key.inventory.floors.extend((0..MAX_LICENCES).map(line));
        key.inventory.licences = (0..MAX_LICENCES).map(|number| Digest::of(&number.to_le_bytes())).collect();
    });
    assert!(long.len() > 10_000, "{} characters", long.len());
    // As a browser sends what was pasted with line breaks.
    let lines: Vec<_> = long.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let listed = visit.ask("POST /portal HTTP/1.1", format!("key={}", lines.join("%0D%0A")).as_bytes());
    assert!(listed.status == 200 && listed.text().contains("1. install base/demo-base-2.0.0"), "{}", listed.text());
}

#[test]
fn from_the_form_to_a_bundle_that_verifies() {
    let visit = Visit::new(Hiding::Mark);
    let form = visit.get("/portal");
    assert!(form.status == 200 && form.text().contains("<textarea id=\"key\" name=\"key\""), "{}", form.text());
    // Pasted from a mail, with line breaks.
    let pasted: Vec<String> =
        key(1, |_| {}).as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into()).collect();
    let listed = visit.post("/portal", &[("key", &pasted.join("\r\n"))]);
    let text = listed.text();
    for wanted in [
        "base/demo-base-2.0.0 is available; its licence terms have to be accepted",
        "base 1.0.0 does not satisfy site 2.0.0, which needs base &gt;=2; install base/demo-base-2.0.0 first (available)",
        "<pre># base 2.0.0\n</pre>",
        "1. install base/demo-base-2.0.0",
        "2. install site/demo-site-2.0.0",
        "also: licence/demo-licence-1.0.0",
        "<option value=\"site/demo-site-2.0.0\">",
    ] {
        assert!(listed.status == 200 && text.contains(wanted), "{wanted}: {text}");
    }
    let state = visit.shop.depot.state(Freshness::Waived).unwrap();
    let digest = state.verified.target("base/demo-base-2.0.0.pkg").unwrap().digest;
    assert!(text.contains(&format!("SHA-256 {digest}")), "{text}");

    let key = key(1, |_| {});
    let sent = visit.post("/portal/bundle", &[("key", &key), ("to", "")]);
    assert_eq!(sent.status, 303, "{}", sent.text());
    let place = &sent.headers["location"];
    let whole = visit.get(place);
    assert_eq!((whole.status, whole.headers["content-type"].as_str()), (200, "application/x-tar"));
    assert!(whole.headers["content-disposition"].starts_with("attachment; filename=\"00112233"));
    let path = visit.shop.path("taken.path");
    fs::write(&path, &whole.body).unwrap();
    let file = BundleFile::detect(&path).unwrap().unwrap();
    assert_eq!(file.bundle.label.order.len(), 3);
    let report = builder::verify::verify_bundle(&file, &visit.shop.keys, NOW).unwrap();
    assert_eq!(report.failures(), 0, "{report}");

    // A download that was cut goes on, and is not counted again.
    let half = whole.body.len() / 2;
    let tag = &whole.headers["etag"];
    let rest = visit.ask(&format!("GET {place} HTTP/1.1\r\nrange: bytes={half}-\r\nif-range: {tag}"), b"");
    assert!(rest.status == 206 && rest.body == whole.body[half..]);
    let head = visit.ask(&format!("HEAD {place} HTTP/1.1"), b"");
    assert_eq!((head.headers["content-length"].parse(), head.body.len()), (Ok(whole.body.len()), 0));
    let again = visit.post("/portal", &[("key", &key)]).text();
    assert!(again.contains("; downloaded 2027-01-15 (1 of 4 times)"), "{again}");
    let one = visit.post("/portal/bundle", &[("key", &key), ("to", "base/demo-base-2.0.0")]);
    assert_eq!(one.status, 303);
}

#[test]
fn what_was_downloaded_too_often_or_by_another_key_is_refused_and_nothing_is_counted() {
    let visit = Visit::new(Hiding::Hide);
    for nonce in 0..4 {
        assert_eq!(visit.post("/portal/bundle", &[("key", &key(nonce, |_| {}))]).status, 303);
    }
    let before = fs::read(visit.shop.path("ledger")).unwrap();
    let often = visit.post("/portal/bundle", &[("key", &key(9, |_| {}))]);
    assert!(often.status == 409 && often.text().contains("was downloaded 4 time(s)"), "{}", often.text());
    let stranger = key_by(2, 1, |_| {}).key().sign(&identity(2)).unwrap();
    let other = visit.post("/portal/bundle", &[("key", &stranger)]);
    assert!(other.status == 409 && other.text().contains("--forget-key"), "{}", other.text());
    assert_eq!(fs::read(visit.shop.path("ledger")).unwrap(), before);
    let hidden = visit.post("/portal", &[("key", &key(9, |_| {}))]).text();
    assert!(!hidden.contains("SHA-256") && hidden.contains("1. install base/demo-base-2.0.0"), "{hidden}");
}

#[test]
fn every_page_forbids_scripts_and_shows_text_as_text() {
    let visit = Visit::new(Hiding::Mark);
    let hostile = key(1, |key| key.inventory.appliance = "<script>alert(1)</script>\"'&".into());
    let pages = [
        visit.get("/portal"),
        visit.get("/portal/nothing"),
        visit.post("/portal", &[("key", "<b>")]),
        visit.post("/portal", &[("key", &hostile)]),
        visit.post("/portal/bundle", &[("key", &hostile), ("to", "<i>")]),
        visit.post("/portal/bundle", &[("key", &hostile)]),
    ];
    for page in &pages {
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert_eq!(
            (page.headers["x-content-type-options"].as_str(), page.headers["cache-control"].as_str()),
            ("nosniff", "no-store")
        );
        for bad in ["<script", "<b>", "<i>", "alert(1)</script>"] {
            assert!(!page.text().contains(bad), "{bad}: {}", page.text());
        }
    }
    assert!(pages[3].text().contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
    let file = visit.get(&pages[5].headers["location"]);
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"_script_alert_1___script____.path\"");
}

#[test]
fn requests_that_make_no_sense_are_refused_each_with_its_status() {
    let visit = Visit::new(Hiding::Mark);
    let status = |head: &str, body: &[u8]| visit.ask(head, body).status;
    assert_eq!(status("POST /portal HTTP/1.1", &vec![b'a'; 100_000]), 413);
    for body in ["", "key", "to=x", "key=%", "key=a&key=b"] {
        assert_eq!(status("POST /portal HTTP/1.1", body.as_bytes()), 400, "{body}");
    }
    assert_eq!(status("DELETE /portal HTTP/1.1", b""), 405);
    assert_eq!(status("GET /portal/bundle HTTP/1.1", b""), 405);
    assert_eq!(status("POST /portal/bundle/00 HTTP/1.1", b""), 404);
    assert_eq!(status(&format!("GET /portal/bundle/{} HTTP/1.1", "0".repeat(64)), b""), 404);
    assert_eq!(status("GET /portalx HTTP/1.1", b""), 404);
    assert_eq!(status("GET /metadata/timestamp.json HTTP/1.1", b""), 200, "the depot is served as before");
    let old = key(1, |key| (key.made, key.expires) = (NOW - 100_000, NOW - 1));
    let refused = visit.post("/portal", &[("key", &old)]);
    assert!(refused.status == 409 && refused.text().contains("update-agent download-key"), "{}", refused.text());
    let unknown = visit.post("/portal/bundle", &[("key", &key(1, |_| {})), ("to", "base/demo-base-9.0.0")]);
    assert_eq!(unknown.status, 409);
}

#[test]
fn a_depot_that_is_over_or_damaged_tells_visitors_nothing_about_the_machine() {
    let late = Visit::at(shop(), Hiding::Mark, || Ok(NOW + 400 * 86_400));
    let page = late.get("/portal");
    let folder = late.shop.depot.folder().display().to_string();
    assert!(page.status == 503 && !page.text().contains(&folder), "{}", page.text());
    let visit = Visit::new(Hiding::Mark);
    let place = visit.post("/portal/bundle", &[("key", &key(1, |_| {}))]).headers["location"].clone();
    let state = visit.shop.depot.state(Freshness::Waived).unwrap();
    let name = "base/demo-base-2.0.0.pkg";
    fs::remove_file(visit.shop.depot.target(&state.verified.target(name).unwrap().path(name))).unwrap();
    assert_eq!(visit.get(&place).status, 503);
    let before = fs::read(visit.shop.path("ledger")).unwrap();
    assert_eq!(visit.post("/portal/bundle", &[("key", &key(2, |_| {}))]).status, 503);
    assert_eq!(fs::read(visit.shop.path("ledger")).unwrap(), before, "what cannot be given is not counted");
}

fn of(appliance: &str) -> String {
    key(1, |key| key.inventory.appliance = appliance.into())
}

static TODAY: AtomicI64 = AtomicI64::new(NOW);

#[test]
fn made_up_appliances_are_limited_and_known_ones_are_always_answered() {
    let limits = Some(Newcomers { per_day: 2, all: 3 });
    let visit = Visit::limited(shop(), Hiding::Mark, || Ok(TODAY.load(Ordering::Relaxed)), limits);
    let take = |name: &str| visit.post("/portal/bundle", &[("key", &of(name)), ("to", "base/demo-base-2.0.0")]);
    assert_eq!([take("one").status, take("two").status], [303, 303]);
    let before = fs::read(visit.shop.path("ledger")).unwrap();
    let third = take("three");
    assert_eq!(third.status, 429);
    for wanted in ["2 appliance(s)", "(too-many-new)", "come back tomorrow", "--new-per-day"] {
        assert!(third.text().contains(wanted), "{wanted}: {}", third.text());
    }
    assert_eq!(fs::read(visit.shop.path("ledger")).unwrap(), before);
    assert_eq!(visit.post("/portal", &[("key", &of("three"))]).status, 200, "looking costs nothing");
    assert_eq!(take("one").status, 303);
    TODAY.store(NOW + 86_400, Ordering::Relaxed);
    assert_eq!(take("three").status, 303);
    let fourth = take("four");
    assert!(fourth.status == 429 && fourth.text().contains("--appliances"), "{}", fourth.text());
    assert_eq!(take("two").status, 303);
    let ledger = Ledger::new(&visit.shop.path("ledger"), 3).limited(limits);
    let signed = key_by(1, 1, |key| key.inventory.appliance = "five".into());
    let problem = ledger.issue(&signed, &[], NOW + 86_400).unwrap_err();
    assert!(problem.exit_code() == 5 && problem.to_string().contains("too-many-new"), "also under the lock: {problem}");
}

#[test]
fn a_client_that_never_reads_loses_its_connection_and_a_slow_one_gets_everything() {
    let visit = Visit::new(Hiding::Mark);
    let length = 64 << 20;
    fs::File::create(visit.shop.depot.target("large")).unwrap().set_len(length).unwrap();
    let ask = || {
        let mut stream = TcpStream::connect(visit.address).unwrap();
        write!(stream, "GET /targets/large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let all = |mut stream: TcpStream, pause: Duration| {
        let (mut buffer, mut count, mut next) = (vec![0; 1 << 20], 0, 8 << 20);
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            count += read as u64;
            if count > next {
                std::thread::sleep(pause);
                next += 8 << 20;
            }
        }
        count
    };
    let silent = ask();
    // Every few hundred milliseconds something, for longer than the patience in all.
    let started = Instant::now();
    assert!(all(ask(), Duration::from_millis(300)) > length);
    assert!(started.elapsed() > Duration::from_secs(2));
    std::thread::sleep(Duration::from_secs(1));
    let got = all(silent, Duration::ZERO);
    assert!(got < length, "{got}: what fitted into the buffers, and the end");
}

#[test]
fn a_bundle_that_changed_under_a_download_is_noticed_here() {
    let visit = Visit::new(Hiding::Mark);
    let place = visit.post("/portal/bundle", &[("key", &key(1, |_| {}))]).headers["location"].clone();
    let first = visit.get(&place);
    let tag = first.headers["etag"].clone();
    let before = fs::read(visit.shop.path("ledger")).unwrap();
    let range = |place: &str, more: &str| visit.ask(&format!("GET {place} HTTP/1.1\r\nrange: bytes=100-{more}"), b"");
    assert_eq!(range(&place, "").status, 206);
    assert_eq!(range(&place, "\r\nif-match: \"other\"").status, 412);
    assert_eq!(range(&place, &format!("\r\nif-match: {tag}")).status, 206);
    assert_eq!(range(&place, "\r\nif-range: \"other\"").status, 200, "a whole new answer");
    assert_eq!(range(&place, &format!("\r\nif-range: W/{tag}")).status, 200, "weak tags are none for parts");

    visit.shop.change(NOW, |edit, state| edit.refresh(state, &[])).unwrap();
    for more in [String::new(), format!("\r\nif-range: {tag}"), format!("\r\nif-match: {tag}")] {
        let rest = range(&place, &more);
        assert!(rest.status == 412 && rest.text().contains("from the beginning"), "{more}: {}", rest.text());
    }
    let sent = visit.get(&place);
    assert_eq!(sent.status, 303);
    let second = visit.get(&sent.headers["location"]);
    assert!(second.status == 200 && second.body != first.body && second.headers["etag"] != tag);
    assert_eq!(fs::read(visit.shop.path("ledger")).unwrap(), before, "not counted again");
}
