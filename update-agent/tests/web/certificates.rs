//! Certificates through the console, with openssl on the other side.

use std::fs;
use std::process::Command;

use crate::web_console::{Answer, Console, PASSWORD, location};

/// What openssl says; it has to succeed.
fn openssl(console: &Console, arguments: &str) -> String {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(console.directory.path())
        .output()
        .expect("openssl is missing; run scripts/setup");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into()
}

/// A certificate for `demo.example`, in `own.pem`, with its key in `key.pem`, and both in `own.p12`.
fn certificate(console: &Console) {
    openssl(
        console,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -out own.pem -days 30 -subj /CN=demo \
         -addext subjectAltName=DNS:demo.example",
    );
    openssl(console, "pkcs12 -export -in own.pem -inkey key.pem -out own.p12 -passout pass:secret");
}

fn file(console: &Console, name: &str) -> String {
    format!("@{}", console.directory.path().join(name).display())
}

fn keep(console: &Console, name: &str, answer: &Answer) {
    fs::write(console.directory.path().join(name), &answer.bytes).unwrap();
}

/// The fingerprint of the one that was imported.
fn fingerprint(console: &Console) -> String {
    let told = openssl(console, "x509 -in own.pem -noout -fingerprint -sha256");
    told.trim().split_once('=').unwrap().1.replace(':', "").to_ascii_lowercase()
}

#[test]
fn a_certificate_is_checked_imported_bound_exported_and_deleted_from_its_page() {
    let console = Console::new();
    console.claim();
    certificate(&console);
    let id = fingerprint(&console);
    let (import, page) = ("/do/import-certificate", "/certificates");
    let here = |console: &Console| console.curl(&[page]).body.contains(&id);
    let p12 = file(&console, "own.p12");

    // Looked at, with the wrong passphrase, and taken in.
    let asked = ("names", "other.example");
    let checked = console.files(page, import, &[("file", &p12), ("passphrase", "secret"), asked, ("check", "yes")]);
    assert!(checked.status == 200 && checked.body.contains("nothing was changed"), "{}", checked.body);
    assert!(checked.body.contains("name-mismatch") && checked.body.contains("self-signed"), "{}", checked.body);
    assert!(!here(&console));
    let wrong = console.files(page, import, &[("file", &p12), ("passphrase", "Secret")]);
    assert!(wrong.status == 422 && wrong.body.contains("wrong-passphrase"), "{} {}", wrong.status, wrong.body);
    assert!(!here(&console));
    let (one, other) = (file(&console, "key.pem"), file(&console, "own.pem"));
    let imported = console.files(page, import, &[("file", &one), ("file", &other)]);
    assert!(imported.status == 200 && imported.body.contains("is imported"), "{}", imported.body);
    assert!(here(&console));
    let again = console.files(page, import, &[("file", &p12), ("passphrase", "secret")]);
    assert!(again.body.contains("certificate-known"), "{}", again.body);

    // Shown to those who ask for its name, and not to be deleted while it is.
    let bind = [("certificate", id.as_str()), ("place", "name"), ("at", "demo.example")];
    let bound = console.form(page, "/do/bind-certificate", &bind);
    assert_eq!((bound.status, location(&bound)), (303, page.into()), "{}", bound.body);
    let body = console.curl(&[page]).body;
    assert!(body.contains("cannot be deleted") && body.contains("not-exported"), "{body}");
    let delete = [("certificate", id.as_str()), ("sure", "on")];
    let refused = console.form(page, "/do/delete-certificate", &delete);
    assert!(
        refused.status == 409 && refused.body.contains("certificate-in-use"),
        "{} {}",
        refused.status,
        refused.body
    );

    // A copy leaves; its key only encrypted, or when the name was typed.
    let export = |more: &[(&str, &str)]| {
        let fields = [&[("certificate", id.as_str()), ("leaf", "on"), ("key", "on")], more].concat();
        console.form(page, "/do/export-certificate", &fields)
    };
    let clear = export(&[]);
    assert!(clear.status != 200 && clear.body.contains("not-confirmed"), "{} {}", clear.status, clear.body);
    keep(&console, "clear.pem", &export(&[("confirm", "demo.example")]));
    openssl(&console, "pkey -in clear.pem -check -noout");
    let pem = export(&[("passphrase", "a long phrase"), ("again", "a long phrase")]);
    assert!(pem.head.contains("content-type: application/x-pem-file"), "{}", pem.head);
    let named = format!("content-disposition: attachment; filename=\"certificate-{}.pem\"", &id[..8]);
    assert!(pem.head.contains(&named) && pem.body.contains("ENCRYPTED PRIVATE KEY"), "{}", pem.head);
    let p12 = export(&[("passphrase", "secret"), ("again", "secret"), ("format", "pkcs12")]);
    assert!(p12.status == 200 && p12.head.contains("content-type: application/x-pkcs12"), "{}", p12.head);
    keep(&console, "copy.p12", &p12);
    let opened = openssl(&console, "pkcs12 -in copy.p12 -passin pass:secret -noenc");
    assert!(opened.contains("PRIVATE KEY") && opened.contains("CN=demo") || opened.contains("CN = demo"), "{opened}");
    let body = console.curl(&[page]).body;
    assert!(here(&console) && !body.contains("not-exported"), "{body}");

    // Not shown any more, and gone.
    console.form(page, "/do/unbind-certificate", &[("place", "name"), ("at", "demo.example")]);
    assert_eq!(console.form(page, "/do/delete-certificate", &delete).status, 303);
    assert!(!here(&console));
    let log: Vec<String> = console.desk.people.log().unwrap().lines.into_iter().map(|line| line.action).collect();
    for wanted in
        ["import-certificate", "bind-certificate", "export-certificate", "unbind-certificate", "delete-certificate"]
    {
        assert!(log.iter().any(|action| action == wanted), "{wanted}: {log:?}");
    }
}

#[test]
fn a_signing_request_is_made_and_downloaded_and_its_certificate_finds_the_key_by_pasting_it() {
    let console = Console::new();
    console.claim();
    let page = "/certificates";
    let fields = [("names", "demo.example 192.0.2.10"), ("organisation", "Demo & Co"), ("country", "CH")];
    assert_eq!(console.form(page, "/do/signing-request", &fields).status, 303);
    let body = console.curl(&[page]).body;
    let link = body.split("href=\"/download/signing-request/").nth(1).unwrap().split('"').next().unwrap();
    let file = console.curl(&[&format!("/download/signing-request/{link}")]);
    assert!(file.head.contains("filename=\"request-") && file.head.contains("attachment"), "{}", file.head);
    keep(&console, "made.csr", &file);
    let told = openssl(&console, "req -in made.csr -noout -verify -text");
    assert!(told.contains("DNS:demo.example") && told.contains("IP Address:192.0.2.10"), "{told}");
    certificate(&console);
    openssl(
        &console,
        "x509 -req -in made.csr -CA own.pem -CAkey key.pem -days 30 -copy_extensions copy -out signed.pem",
    );
    let pem = fs::read_to_string(console.directory.path().join("signed.pem")).unwrap();
    let imported = console.form(page, "/do/import-certificate", &[("pem", &pem)]);
    assert!(imported.body.contains("its private key was made here"), "{}", imported.body);
    assert!(!console.curl(&[page]).body.contains("/download/signing-request/"));
    assert_eq!(console.curl(&["/download/signing-request/00"]).status, 404);
}

#[test]
fn who_may_not_change_certificates_sees_them_without_forms_and_gets_no_room_for_a_file() {
    let console = Console::new();
    console.claim();
    certificate(&console);
    let fields = [("name", "viewer"), ("role", "viewer"), ("password", PASSWORD)];
    assert_eq!(console.form("/accounts", "/do/add-account", &fields).status, 200);
    console.sign_out();
    fs::write(console.directory.path().join("large"), vec![b'x'; 1 << 19]).unwrap();
    let large = file(&console, "large");
    let form = ["/do/import-certificate", "--header", "Expect:", "--form", &format!("file={large}")];
    // The connection ends with most of it unread, so the answer need not arrive.
    let no_room = || console.try_curl(&form).is_none_or(|answer| answer.status == 413);
    assert!(no_room(), "nobody signed in");
    assert_eq!(console.sign_in("viewer", PASSWORD).status, 303);
    assert!(no_room(), "a viewer");
    let body = console.curl(&["/certificates"]).body;
    assert!(body.contains("<table>") && !body.contains("/do/import") && !body.contains("/do/export"), "{body}");
    let one = file(&console, "own.pem");
    for (action, field, value) in [
        ("import-certificate", "file", one.as_str()),
        ("bind-certificate", "certificate", "00"),
        ("unbind-certificate", "place", "default"),
        ("delete-certificate", "certificate", "00"),
        ("export-certificate", "certificate", "00"),
        ("signing-request", "names", "demo.example"),
        ("delete-signing-request", "request", "00"),
    ] {
        let answer = console.files("/certificates", &format!("/do/{action}"), &[(field, value), ("sure", "on")]);
        assert!(answer.status == 403 && answer.body.contains("not-allowed"), "{action}: {}", answer.body);
    }
    console.sign_out();
    assert_eq!(console.sign_in("anna", PASSWORD).status, 303);
    let tried = console.files("/certificates", "/do/import-certificate", &[("file", &large)]);
    assert!(tried.status != 413 && tried.body.contains("certificate-unreadable"), "{} {}", tried.status, tried.body);
    let without = console.curl(&["/do/import-certificate", "--form", &format!("file={one}")]);
    assert!(without.status == 403, "{}", without.body);
}
