//! Certificates made by openssl, read here; and made here, read by openssl.

mod authority;

use std::collections::BTreeSet;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;

use authority::Authority;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use update_agent::certificates::assemble::assemble;
use update_agent::certificates::export::{Format, Wanted, confirmation};
use update_agent::certificates::finding::{self, Chain, Kind, Severity};
use update_agent::certificates::folder::Directory;
use update_agent::certificates::read::{Found, MAX_INPUT, Unread, read};
use update_agent::certificates::request::{self, KeyKind, Subject};
use update_agent::certificates::{Entry, Light, Names, Place, Serving, Store, reader};
use update_agent::reader::Program;
use update_agent::secret::Secret;

const RSA: &str = "RSA -pkeyopt rsa_keygen_bits:2048";
const EC: &str = "EC -pkeyopt ec_paramgen_curve:P-256";
const DAY: i64 = 86_400;

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

fn whole(bytes: &[u8]) -> Entry {
    assemble(read(bytes, None).unwrap_or_else(|unread| panic!("{unread:?}"))).unwrap().entry
}

fn shape(found: &Found) -> (usize, usize) {
    (found.certificates.len(), found.keys.len())
}

#[test]
fn every_form_openssl_writes_is_recognised_by_its_content() {
    let ours = Authority::new();
    for (name, kind) in [
        ("rsa", RSA),
        ("ec", EC),
        ("ec384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("ec521", "EC -pkeyopt ec_paramgen_curve:P-521"),
        ("ed", "ED25519"),
    ] {
        ours.server(name, kind);
        let run = |arguments: &str| ours.run(&arguments.replace("NAME", name));
        run("x509 -in NAME.crt -outform DER -out cert.der");
        run("pkey -in NAME.key -outform DER -out key.der");
        run("pkcs8 -topk8 -in NAME.key -v2 aes-256-cbc -passout pass:secret -out aes.pem");
        run("pkcs8 -topk8 -in NAME.key -v2 aes-256-cbc -passout pass:secret -outform DER -out aes.der");
        run("pkcs8 -topk8 -in NAME.key -v2 des3 -v2prf hmacWithSHA1 -passout pass:secret -out des3.pem");
        run("pkcs8 -topk8 -in NAME.key -scrypt -passout pass:secret -out scrypt.pem");
        let mut locked = vec!["aes.pem", "aes.der", "des3.pem", "scrypt.pem"];
        let mut plain = vec!["key.der"];
        if name != "ed" {
            run("pkey -in NAME.key -traditional -out own.pem");
            run("pkey -in NAME.key -traditional -outform DER -out own.der");
            plain.extend(["own.pem", "own.der"]);
        }
        let public =
            whole(&ours.bundle(&[&format!("{name}.crt"), &format!("{name}.key")])).certificate.public().to_vec();
        for file in &plain {
            let found = read(&ours.read(file), None).unwrap_or_else(|unread| panic!("{name} {file}: {unread:?}"));
            assert_eq!((shape(&found), found.keys[0].public()), ((0, 1), public.as_slice()), "{name} {file}");
        }
        assert_eq!(shape(&read(&ours.read("cert.der"), None).unwrap()), (1, 0));
        for file in locked.drain(..) {
            let found = read(&ours.read(file), Some(&secret("secret")))
                .unwrap_or_else(|unread| panic!("{name} {file}: {unread:?}"));
            assert_eq!(found.keys[0].public(), public, "{name} {file}");
            for passphrase in [None, Some(secret("wrong")), Some(secret(""))] {
                let refused = read(&ours.read(file), passphrase.as_ref()).err().unwrap();
                assert!(matches!(refused, Unread::Locked(_)), "{name} {file}: {refused:?}");
            }
        }
        ours.write("chain.pem", ours.bundle(&["middle.crt", "root.crt"]));
        for (options, passphrase) in [
            ("", "secret"),
            ("-legacy", "secret"),
            ("-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg SHA1", "secret"),
            ("-nomac", "secret"),
            ("-certpbe NONE", "secret"),
            ("", "ein~schöner~Satz"),
            ("", ""),
        ]
        .into_iter()
        .take(if name == "rsa" { 7 } else { 2 })
        {
            run(&format!(
                "pkcs12 -export -inkey NAME.key -in NAME.crt -certfile chain.pem -passout pass:{passphrase} -out file.p12 {options}"
            ));
            let (bytes, passphrase) = (ours.read("file.p12"), passphrase.replace('~', " "));
            let found = read(&bytes, Some(&secret(&passphrase)))
                .unwrap_or_else(|unread| panic!("{name} {options}: {unread:?}"));
            assert_eq!(shape(&found), (3, 1), "{name} {options}");
            let entry = assemble(found).unwrap().entry;
            assert_eq!((entry.chain.len(), entry.certificate.public()), (2, public.as_slice()));
            let refused = read(&bytes, Some(&secret("wrong"))).err();
            assert!(matches!(refused, Some(Unread::Locked(_))), "{name} {options}: {refused:?}");
            assert_eq!(read(&bytes, None).is_ok(), passphrase.is_empty(), "{name} {options}");
        }
    }
}

#[test]
fn a_bundle_is_put_together_whatever_its_order() {
    let ours = Authority::new();
    ours.server("one", EC);
    let parts = ["one.key", "one.crt", "middle.crt", "root.crt"];
    let wanted = whole(&ours.bundle(&parts));
    assert_eq!(wanted.chain.len(), 2);
    for order in [[3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [0, 3, 2, 1]] {
        let names = order.map(|at| parts[at]);
        let text = [b"a remark\r\n".to_vec(), ours.bundle(&names), ours.bundle(&names)].concat();
        assert!(whole(&text) == wanted, "{names:?}");
    }
    let without_key = whole(&ours.bundle(&["root.crt", "middle.crt", "one.crt"]));
    assert!(without_key == Entry { key: None, ..wanted.clone() });
    ours.server("two", EC);
    let two = assemble(read(&ours.bundle(&["one.key", "two.crt", "one.crt", "middle.crt"]), None).unwrap()).unwrap();
    assert!(two.entry.certificate == wanted.certificate && two.others == 1);
}

#[test]
fn what_cannot_be_one_servers_certificate_is_refused_with_a_code_of_its_own() {
    let ours = Authority::new();
    ours.server("one", EC);
    ours.server("two", RSA);
    let (folder, store) = store();
    let now = whole(&ours.read("one.crt")).certificate.facts().not_before + DAY;
    ours.run("pkcs8 -topk8 -in two.key -v1 PBE-SHA1-3DES -passout pass:secret -out old.pem");
    ours.run("rsa -in two.key -aes256 -traditional -passout pass:secret -out older.pem");
    ours.run("crl2pkcs7 -nocrl -certfile one.crt -out bundle.p7b");
    ours.run("pkcs8 -topk8 -in one.key -v2 aes-256-cbc -iter 1000001 -passout pass:secret -out slow.pem");
    ours.key("small", "RSA -pkeyopt rsa_keygen_bits:1024");
    ours.key("curve", "EC -pkeyopt ec_paramgen_curve:secp256k1");
    let mut cut = ours.read("one.crt");
    cut.truncate(400);
    for (what, bytes, code, words) in [
        ("nothing", b"".to_vec(), "certificate-unreadable", "neither PEM nor DER"),
        ("text", b"hello".to_vec(), "certificate-unreadable", "neither PEM nor DER"),
        ("too long", vec![b'0'; MAX_INPUT + 1], "certificate-unreadable", "at most"),
        ("cut", cut, "certificate-unreadable", "has no end"),
        ("PBES1", ours.bundle(&["two.crt", "old.pem"]), "certificate-unreadable", "old way (PBES1)"),
        ("traditional", ours.bundle(&["two.crt", "older.pem"]), "certificate-unreadable", "openssl pkcs8 -topk8"),
        ("PKCS#7", ours.read("bundle.p7b"), "certificate-unreadable", "-print_certs"),
        ("slow", ours.bundle(&["one.crt", "slow.pem"]), "certificate-unreadable", "more time or memory"),
        ("request", ours.read("one.csr"), "certificate-unreadable", "neither a certificate nor"),
        ("two servers", ours.bundle(&["one.crt", "two.crt"]), "certificate-unreadable", "2 certificates none of which"),
        ("two keys", ours.bundle(&["one.crt", "one.key", "two.key"]), "certificate-unreadable", "2 private keys"),
        ("key alone", ours.read("one.key"), "certificate-unreadable", "belongs to none that is here"),
        ("small key", ours.read("small.key"), "key-unusable", "RSA from 2048"),
        ("other curve", ours.read("curve.key"), "key-unusable", "P-256"),
        ("mismatch", ours.bundle(&["one.crt", "two.key"]), "key-mismatch", "CN=one"),
    ] {
        let light = Light { now, ..Light::default() };
        let refused = match read(&bytes, None) {
            Ok(found) => store.import(found, &light).err().unwrap_or_else(|| panic!("{what} is imported")),
            Err(unread) => update_agent::certificates::Trouble::from(unread).into(),
        };
        assert_eq!(refused.code(), code, "{what}: {refused}");
        assert!(refused.to_string().contains(words), "{what}: {refused}");
        assert!(!folder.path().join("bulkhead/certificates").exists(), "{what}: something was written");
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::over(Arc::new(Directory::new(folder.path())));
    (folder, store)
}

/// A row for each kind of finding: how openssl makes what deserves it, when and for which name it is looked at.
#[test]
fn every_finding_has_its_row_its_words_and_its_cure() {
    let ours = Authority::new();
    ours.server("good", EC);
    ours.server("other", EC);
    ours.key("client", EC);
    ours.sign("client", "subjectAltName=DNS:one.example\nextendedKeyUsage=clientAuth\n", "-days 365");
    ours.key("nameless", EC);
    ours.sign("nameless", "keyUsage=digitalSignature\n", "-days 365");
    ours.key("sha1", EC);
    ours.sign("sha1", "subjectAltName=DNS:one.example\n", "-days 365 -sha1");
    ours.key("md5", EC);
    ours.sign("md5", "subjectAltName=DNS:one.example\n", "-days 365 -md5");
    ours.key("small", "RSA -pkeyopt rsa_keygen_bits:1024");
    ours.sign("small", "subjectAltName=DNS:one.example\n", "-days 365");
    ours.key("self", EC);
    ours.run("req -x509 -new -key self.key -subj /CN=self -days 365 -addext subjectAltName=DNS:one.example -addext basicConstraints=critical,CA:FALSE -out self.crt");
    let chain = ["middle.crt", "root.crt"];
    let rows = [
        ("nothing to say", vec!["good.crt", "good.key"], 1, "one.example", vec![]),
        ("a star covers", vec!["good.crt", "good.key"], 1, "a.two.example", vec![]),
        ("an address is covered", vec!["good.crt", "good.key"], 1, "192.0.2.10", vec![]),
        ("the last quiet day", vec!["good.crt", "good.key"], 334, "one.example", vec![]),
        ("it ends soon", vec!["good.crt", "good.key"], 336, "one.example", vec![Kind::ExpiresSoon]),
        ("it has ended", vec!["good.crt", "good.key"], 366, "one.example", vec![Kind::Expired]),
        ("it has not begun", vec!["good.crt", "good.key"], -1, "one.example", vec![Kind::NotYetValid]),
        ("another name", vec!["good.crt", "good.key"], 1, "two.example", vec![Kind::NameMismatch]),
        ("two labels for a star", vec!["good.crt", "good.key"], 1, "a.b.two.example", vec![Kind::NameMismatch]),
        ("another address", vec!["good.crt", "good.key"], 1, "192.0.2.11", vec![Kind::NameMismatch]),
        ("a name in the subject only", vec!["nameless.crt", "nameless.key"], 1, "nameless", vec![Kind::NameMismatch]),
        ("no key", vec!["good.crt"], 1, "one.example", vec![Kind::KeyMissing]),
        ("for clients", vec!["client.crt", "client.key"], 1, "one.example", vec![Kind::NotForServers]),
        ("SHA-1", vec!["sha1.crt", "sha1.key"], 1, "one.example", vec![Kind::WeakSignature]),
        ("MD5", vec!["md5.crt", "md5.key"], 1, "one.example", vec![Kind::WeakSignature]),
        ("1024 bits", vec!["small.crt"], 1, "one.example", vec![Kind::KeyMissing, Kind::WeakKey]),
        ("an authority", vec!["middle.key"], 1, "", vec![Kind::Authority]),
        ("self-signed", vec!["self.crt", "self.key"], 1, "one.example", vec![Kind::SelfSigned]),
    ];
    let mut seen = BTreeSet::new();
    for (what, files, day, name, wanted) in rows {
        let files = if files[0] == "self.crt" { files } else { [files, chain.to_vec()].concat() };
        let entry = whole(&ours.bundle(&files));
        let names: Vec<String> = [name.to_owned()].into_iter().filter(|name| !name.is_empty()).collect();
        let now = entry.certificate.facts().not_before + day * DAY + 60;
        let light = Light { now, clock: Some("the clock may be wrong".into()), wanted: &names };
        let findings = finding::findings(&entry, &light);
        let kinds: Vec<Kind> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(kinds, wanted, "{what}: {findings:?}");
        for finding in findings {
            assert!(finding.text.len() > 20 && finding.cure.len() > 10, "{what}: {finding:?}");
            let about_time = matches!(finding.code, Kind::Expired | Kind::NotYetValid);
            assert_eq!(finding.text.contains("the clock of this appliance says"), about_time, "{finding:?}");
            assert_eq!(finding.text.contains("the clock may be wrong"), about_time, "{finding:?}");
            seen.insert(finding.code);
        }
    }
    // The chain is cut at each place, and a certificate that has the issuer's name and another key is not it.
    let good = whole(&ours.bundle(&["good.crt", "good.key", "middle.crt", "root.crt"]));
    assert_eq!(finding::chain(&good), Chain::Complete);
    for (above, missing) in [(vec![], "CN=Middle"), (vec!["middle.crt"], "CN=Root"), (vec!["root.crt"], "CN=Middle")] {
        let cut =
            assemble(read(&ours.bundle(&[vec!["good.crt", "good.key"], above].concat()), None).unwrap()).unwrap().entry;
        assert_eq!(finding::chain(&cut), Chain::Incomplete { missing: missing.into() });
        let kinds = finding::findings(&cut, &Light { now: cut.certificate.facts().not_before, ..Light::default() });
        seen.extend(kinds.iter().map(|finding| finding.code));
    }
    let impostor = Authority::new();
    ours.write("impostor.crt", impostor.read("middle.crt"));
    let taken_in = assemble(read(&ours.bundle(&["good.crt", "good.key", "impostor.crt"]), None).unwrap()).unwrap();
    assert!(taken_in.entry.chain.is_empty() && taken_in.others == 1);
    // The rest is found beside what is here.
    let (_folder, store) = store();
    let light = Light { now: good.certificate.facts().not_before + DAY, ..Light::default() };
    let file = ours.bundle(&["good.crt", "good.key"]);
    store.import(read(&file, None).unwrap(), &light).unwrap();
    let again = store.examine(read(&file, None).unwrap(), &light).unwrap();
    seen.insert(again.findings[0].code);
    assert_eq!(store.import(read(&file, None).unwrap(), &light).err().unwrap().code(), "certificate-known");
    store.bind(Place::Default, Some(good.fingerprint())).unwrap();
    let coverage = store.coverage("one.example", &light).unwrap();
    seen.extend(coverage.iter().map(|finding| finding.code));
    let foreign = read(&ours.bundle(&["good.crt", "other.key"]), None).unwrap();
    let refused = store.examine(foreign, &light).err().unwrap();
    assert_eq!(refused.code(), Kind::KeyMismatch.code());
    seen.insert(Kind::KeyMismatch);
    assert_eq!(seen, BTreeSet::from(Kind::ALL), "a kind without its row");
}

#[test]
fn an_expired_certificate_is_not_imported_and_the_refusal_says_what_the_clock_says() {
    let ours = Authority::new();
    ours.server("one", EC);
    let (folder, store) = store();
    let found = || read(&ours.bundle(&["one.crt", "one.key"]), None).unwrap();
    let now = whole(&ours.read("one.crt")).certificate.facts().not_after + 1;
    let light = Light { now, clock: Some("it is off by 10 years".into()), wanted: &[] };
    let refused = store.import(found(), &light).err().unwrap();
    assert_eq!(refused.code(), "certificate-expired");
    assert!(refused.to_string().contains("off by 10 years"), "{refused}");
    assert!(!folder.path().join("bulkhead").exists());
    // One that is not good yet may be prepared.
    let light = Light { now: now - 400 * DAY, ..Light::default() };
    let early = store.import(found(), &light).unwrap();
    assert!(
        early.findings.iter().any(|finding| finding.code == Kind::NotYetValid && finding.severity == Severity::Warning)
    );
}

#[test]
fn key_and_chain_may_come_later_and_nothing_of_what_is_here_is_lost() {
    let ours = Authority::new();
    ours.server("one", RSA);
    let (_folder, store) = store();
    let whole = whole(&ours.bundle(&["one.crt", "one.key", "middle.crt"]));
    let light = Light { now: whole.certificate.facts().not_before + DAY, ..Light::default() };
    let import = |names: &[&str]| store.import(read(&ours.bundle(names), None).unwrap(), &light);
    import(&["one.crt"]).unwrap();
    assert_eq!(store.bind(Place::Default, Some(whole.fingerprint())).unwrap_err().code(), "key-missing");
    import(&["one.key"]).unwrap();
    import(&["one.crt", "middle.crt"]).unwrap();
    assert!(store.entry(whole.fingerprint()).unwrap() == whole);
    for again in [&["one.key"][..], &["one.crt"], &["one.crt", "middle.crt", "one.key"]] {
        assert_eq!(import(again).err().unwrap().code(), "certificate-known", "{again:?}");
    }
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn any_part_is_given_out_in_forms_openssl_opens_and_the_list_stays_as_it_is() {
    let ours = Authority::new();
    for (name, kind) in [("one", EC), ("two", RSA)] {
        ours.server(name, kind);
        let (folder, store) = store();
        let entry = whole(&ours.bundle(&[&format!("{name}.crt"), &format!("{name}.key"), "middle.crt", "root.crt"]));
        store.keep(&entry).unwrap();
        let file = folder.path().join(format!("bulkhead/certificates/{}.pem", entry.fingerprint()));
        let before = std::fs::read(&file).unwrap();
        let digest = |text: &str| ours.run(&format!("pkey -in {text} -pubout"));
        for bits in 1..8 {
            let (certificate, key, chain) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            // What openssl and we spend on each passphrase adds up.
            let both = if name == "one" { matches!(bits, 2 | 7) } else { bits == 5 };
            let formats = if both { &[Format::Pem, Format::Pkcs12][..] } else { &[Format::Pem] };
            for &format in formats {
                let wanted = Wanted {
                    of: String::new(),
                    certificate,
                    key,
                    chain,
                    format,
                    passphrase: Some(secret("a new passphrase")),
                    confirm_unencrypted: None,
                };
                assert!(!store.is_saved(&entry) || (certificate && key) || bits > 3);
                let bytes = store.export(&entry, &wanted, 1).unwrap();
                ours.write("out", &*bytes);
                let pem = match format {
                    Format::Pem => String::from_utf8(bytes.to_vec()).unwrap(),
                    Format::Pkcs12 => {
                        assert!(ours.try_run("pkcs12 -in out -noout -passin pass:wrong").is_err());
                        let text =
                            ours.run("pkcs12 -in out -passin pass:a~new~passphrase -passout pass:a~new~passphrase");
                        assert!(
                            ours.run("pkcs12 -in out -info -noout -passin pass:a~new~passphrase")
                                .contains("AES-256-CBC")
                        );
                        text
                    }
                };
                let count = |label: &str| pem.matches(&format!("-----BEGIN {label}-----")).count();
                assert_eq!(
                    count("CERTIFICATE"),
                    usize::from(certificate) + 2 * usize::from(chain),
                    "{name} {bits} {format:?}"
                );
                assert_eq!((count("ENCRYPTED PRIVATE KEY"), count("PRIVATE KEY")), (usize::from(key), 0));
                if key {
                    ours.write("out.pem", &pem);
                    assert!(ours.try_run("pkey -in out.pem -passin pass:wrong -noout").is_err());
                    let theirs = digest("out.pem -passin pass:a~new~passphrase");
                    assert_eq!(theirs, digest(&format!("{name}.key")), "{name} {bits} {format:?}");
                }
                // And what leaves comes in again.
                let found = read(&bytes, Some(&secret("a new passphrase"))).unwrap();
                assert_eq!(shape(&found), (usize::from(certificate) + 2 * usize::from(chain), usize::from(key)));
            }
        }
        assert!(store.is_saved(&entry));
        assert_eq!(std::fs::read(&file).unwrap(), before);
        let without_chain = Entry { chain: Vec::new(), ..entry.clone() };
        store.keep(&without_chain).unwrap();
        assert!(!store.is_saved(&without_chain), "it changed since");
    }
}

#[test]
fn a_key_leaves_unencrypted_only_when_somebody_typed_that_it_may() {
    let ours = Authority::new();
    ours.server("one", EC);
    let (_folder, store) = store();
    let entry = whole(&ours.bundle(&["one.crt", "one.key"]));
    store.keep(&entry).unwrap();
    assert_eq!(confirmation(&entry), "one.example");
    let wanted = |passphrase: Option<&str>, typed: Option<&str>, format| Wanted {
        of: String::new(),
        certificate: true,
        key: true,
        chain: false,
        format,
        passphrase: passphrase.map(secret),
        confirm_unencrypted: typed.map(str::to_owned),
    };
    for format in [Format::Pem, Format::Pkcs12] {
        for (passphrase, typed) in [(None, None), (Some(""), None), (None, Some("yes")), (None, Some(""))] {
            let refused = store.export(&entry, &wanted(passphrase, typed, format), 1).unwrap_err();
            assert_eq!(refused.code(), "not-confirmed");
            assert!(refused.to_string().contains("\"one.example\""), "{refused}");
        }
        assert!(store.exports().is_empty());
    }
    let bytes = store.export(&entry, &wanted(None, Some("one.example"), Format::Pem), 7).unwrap();
    ours.write("out.pem", &*bytes);
    ours.run("pkey -in out.pem -noout");
    assert_eq!(store.exports()[&entry.fingerprint()].time, 7);
    let keyless = Entry { key: None, ..entry };
    let refused =
        update_agent::certificates::export::export(&keyless, &wanted(Some("x"), None, Format::Pem)).unwrap_err();
    assert_eq!(refused.code(), "key-missing");
}

#[test]
fn openssl_verifies_a_signing_request_and_the_certificate_finds_its_key() {
    let ours = Authority::new();
    let (_folder, store) = store();
    let subject =
        Subject { organisation: Some("Größe & Co".into()), country: Some("CH".into()), ..Subject::default() };
    let names = Names::new(["box.example".into(), "*.box.example".into()], ["2001:db8::5".parse().unwrap()]);
    for (kind, words) in [(KeyKind::EcP256, "256 bit"), (KeyKind::EcP384, "384 bit"), (KeyKind::Rsa2048, "2048 bit")] {
        let made = request::make(&names, &subject, kind).unwrap();
        store.keep_request(&made).unwrap();
        ours.write("ours.csr", made.pem());
        let text = ours.run("req -in ours.csr -verify -noout -text -nameopt utf8,sep_comma_plus");
        for wanted in [
            "verify OK",
            "DNS:box.example, DNS:*.box.example, IP Address:2001:DB8:0:0:0:0:0:5",
            "C=CH",
            "Größe & Co",
            words,
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert_eq!(made.facts().names, ["box.example", "*.box.example"]);
        ours.write("ours.cnf", "subjectAltName=DNS:box.example\n");
        ours.run("x509 -req -in ours.csr -CA middle.crt -CAkey middle.key -CAcreateserial -days 90 -extfile ours.cnf -out ours.crt");
        let found = read(&ours.bundle(&["ours.crt", "middle.crt"]), None).unwrap();
        let now = found.certificates[0].facts().not_before + DAY;
        assert_eq!(store.requests().unwrap().0.len(), 1);
        let done = store.import(found, &Light { now, ..Light::default() }).unwrap();
        assert!(done.entry.key.is_some() && done.steps[0].contains("was made here"), "{:?}", done.steps);
        assert!(store.requests().unwrap().0.is_empty());
        store.bind(Place::Default, Some(done.entry.fingerprint())).unwrap();
        let serving = store.serving(&Names::default(), now).unwrap();
        serving.default.certified_key().unwrap().keys_match().unwrap();
        assert_eq!(serving.default.fingerprint, done.entry.fingerprint());
    }
    let bad = |subject: Subject| request::make(&names, &subject, KeyKind::EcP256).err().unwrap().code();
    assert_eq!(bad(Subject { country: Some("ch".into()), ..Subject::default() }), "usage");
    assert_eq!(bad(Subject { state: Some(String::new()), ..Subject::default() }), "usage");
    assert_eq!(request::make(&Names::default(), &subject, KeyKind::EcP256).err().unwrap().code(), "usage");
}

/// The process that reads is another one each time, and what it does is its own affair.
#[test]
fn a_reader_that_dies_or_talks_nonsense_refuses_its_file_and_nothing_else() {
    let ours = Authority::new();
    ours.server("one", EC);
    let file = ours.bundle(&["one.crt", "one.key", "middle.crt"]);
    let real = Program::at(env!("CARGO_BIN_EXE_update-agent"));
    let found = reader::read(&real, &file, None).unwrap();
    assert_eq!(shape(&found), (2, 1));
    assert!(assemble(found).unwrap().entry == whole(&file));
    let locked = reader::read(&real, &ours.read("one.csr"), None).err().unwrap();
    assert_eq!(locked.code(), "certificate-unreadable");
    let script = ours.path("reader");
    for does in ["exit 1", "printf '\\002\\000\\000\\000[]\\001\\000\\000\\000x'", "cat /dev/zero", "kill -KILL $$"] {
        ours.write("reader", format!("#!/bin/sh\n{does}\n"));
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let refused = reader::read(&Program::at(&script), &file, None).err().unwrap();
        assert_eq!(refused.code(), "certificate-unreadable", "{does}: {refused}");
        assert!(refused.to_string().contains("the process that reads it"), "{does}: {refused}");
    }
}

/// A server that asks the store before each connection, as the console does when something changed.
struct Server {
    port: u16,
    store: Store,
    now: i64,
}

#[derive(Debug)]
struct Resolver(Serving);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.pick(hello.server_name(), None).certified_key().ok().map(Arc::new)
    }
}

impl Server {
    fn start(store: &Store, now: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), store: store.clone(), now };
        let store = store.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = store.serving(&Names::new(["own.example".into()], []), now).unwrap();
                let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(Resolver(serving)));
                let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
                let mut stream = stream.unwrap();
                // A client that does not believe us hangs up.
                while connection.is_handshaking()
                    && connection.complete_io(&mut stream).is_ok_and(|done| done != (0, 0))
                {}
                // In order: hanging up with something unread would look like an error from the other side.
                connection.send_close_notify();
                while connection.wants_write() && connection.write_tls(&mut stream).is_ok() {}
                drop(stream.shutdown(Shutdown::Write));
                drop(std::io::copy(&mut stream, &mut std::io::sink()));
            }
        });
        server
    }

    /// What openssl says that knows the root and asks for this name.
    fn asked(&self, ours: &Authority, name: &str) -> Result<String, String> {
        let port = self.port;
        ours.try_run(&format!(
            "s_client -connect 127.0.0.1:{port} -servername {name} -verify_hostname {name} -CAfile root.crt -verify_return_error -showcerts"
        ))
    }
}

#[test]
fn openssl_believes_what_is_bound_by_name_and_sees_a_new_binding_without_a_restart() {
    let ours = Authority::new();
    ours.server("one", EC);
    ours.key("two", RSA);
    ours.sign("two", "subjectAltName=DNS:demo.example\n", "-days 365");
    let (_folder, store) = store();
    let entries = ["one", "two"]
        .map(|name| whole(&ours.bundle(&[&format!("{name}.crt"), &format!("{name}.key"), "middle.crt", "root.crt"])));
    let server = Server::start(&store, entries[0].certificate.facts().not_before + DAY);
    let own = server.asked(&ours, "own.example").unwrap_err();
    assert!(own.contains("self-signed certificate") || own.contains("self signed certificate"), "{own}");
    for entry in &entries {
        store.keep(entry).unwrap();
        assert!(server.asked(&ours, "one.example").is_err(), "kept and not bound");
    }
    store.bind(Place::Default, Some(entries[0].fingerprint())).unwrap();
    let shown = server.asked(&ours, "one.example").unwrap();
    assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");
    assert_eq!(shown.matches("-----BEGIN CERTIFICATE-----").count(), 2, "server and intermediate: {shown}");
    let wrong = server.asked(&ours, "demo.example").unwrap_err();
    assert!(wrong.to_lowercase().contains("hostname mismatch"), "{wrong}");
    store.bind(Place::Name("demo.example".into()), Some(entries[1].fingerprint())).unwrap();
    for name in ["demo.example", "one.example", "x.two.example"] {
        let shown = server.asked(&ours, name).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(shown.contains("Verify return code: 0 (ok)"), "{name}: {shown}");
    }
    let serving = store.serving(&Names::default(), server.now).unwrap();
    assert!(
        serving.problems.is_empty() && server.store.bindings().unwrap().places(entries[1].fingerprint()).len() == 1
    );
}
