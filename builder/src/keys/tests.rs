//! A set that loads, and one refusal for each way a file can be wrong.

use std::sync::OnceLock;

use super::*;

/// A fresh copy of a set. Sets are slow to make (three RSA keys): two are made, `which` of them is copied.
fn copy_of(which: &OnceLock<tempfile::TempDir>) -> (tempfile::TempDir, PathBuf) {
    let original = which.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        generate(&scratch.path().join("keys"), true, 1_700_000_000, "demo", None).unwrap();
        scratch
    });
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("keys");
    fs::create_dir(&directory).unwrap();
    for entry in fs::read_dir(original.path().join("keys")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.join(entry.file_name())).unwrap();
    }
    (scratch, directory)
}

fn set() -> (tempfile::TempDir, PathBuf) {
    static ONE: OnceLock<tempfile::TempDir> = OnceLock::new();
    copy_of(&ONE)
}

fn other_set() -> (tempfile::TempDir, PathBuf) {
    static OTHER: OnceLock<tempfile::TempDir> = OnceLock::new();
    copy_of(&OTHER)
}

fn refusal(directory: &Path) -> String {
    let error = Keys::load(directory).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    error.to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_generated_set_loads_and_its_private_files_are_private() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("keys");
    generate(&directory, true, 1_700_000_000, "demo", None).unwrap();
    let keys = Keys::load(&directory).unwrap();
    assert!(keys.development);
    assert_eq!(keys.created, 1_700_000_000);
    assert_eq!(mode(&directory), 0o700);
    for file in ["base.key", "site.key", "boot.key", "PK.key", "KEK.key"] {
        assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
    }
    let text = format!("{keys:?}");
    assert!(!text.contains(&format!("{:?}", keys.base.to_bytes())), "the private key shows in {text}");
}

#[test]
fn loading_needs_no_private_half_of_pk_and_kek() {
    let (_scratch, directory) = set();
    fs::remove_file(directory.join("PK.key")).unwrap();
    fs::remove_file(directory.join("KEK.key")).unwrap();
    Keys::load(&directory).unwrap();
}

#[test]
fn refuses_to_touch_an_existing_set() {
    let (_scratch, directory) = set();
    let before = fs::read(directory.join("base.key")).unwrap();
    let error = generate(&directory, false, 0, "demo", None).unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("never overwritten"), "{error}");
    assert_eq!(fs::read(directory.join("base.key")).unwrap(), before);
}

#[test]
fn fills_an_empty_directory_and_leaves_nothing_beside_it() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("keys");
    fs::create_dir(&directory).unwrap();
    generate(&directory, false, 0, "demo", None).unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    assert_eq!(mode(&directory), 0o700);
}

#[test]
fn refuses_times_and_products_that_cannot_be_written() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("keys");
    for (created, product) in [(-1, "demo"), (1 << 33, "demo"), (0, ""), (0, "a\nb"), (0, "x <y>"), (0, "häuser")] {
        let error = generate(&directory, false, created, product, None).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn refuses_missing_files() {
    for file in ["keys.json", "base.key", "site.pub", "boot.key", "boot.crt", "boot.pgp", "PK.crt", "KEK.crt"] {
        let (_scratch, directory) = set();
        fs::remove_file(directory.join(file)).unwrap();
        let text = refusal(&directory);
        assert!(text.contains(file) && text.contains("is missing; make a key set with"), "{text}");
    }
}

#[test]
fn refuses_private_files_that_others_can_read() {
    let (_scratch, directory) = set();
    fs::set_permissions(directory.join("site.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let text = refusal(&directory);
    assert!(text.contains("site.key") && text.contains("mode 0640") && text.contains("chmod 600"), "{text}");
}

#[test]
fn refuses_files_of_the_wrong_kind() {
    for (from, to, problem) in [
        ("boot.key", "base.key", "holds an RSA key"),
        ("base.key", "boot.key", "ed25519 key where an RSA key belongs"),
        ("base.pub", "base.key", "holds a \"PUBLIC KEY\" where a \"PRIVATE KEY\" belongs"),
        ("boot.crt", "base.pub", "holds a \"CERTIFICATE\""),
        ("keys.json", "boot.crt", "is not a PEM file"),
        ("keys.json", "boot.pgp", "boot.pgp"),
        ("boot.pgp", "keys.json", "is damaged"),
    ] {
        let (_scratch, directory) = set();
        let content = fs::read(directory.join(from)).unwrap();
        fs::write(directory.join(to), content).unwrap(); // keeps the mode of the file it replaces
        let text = refusal(&directory);
        assert!(text.contains(problem), "{from} as {to}: {text}");
    }
}

#[test]
fn refuses_public_halves_of_another_set() {
    let (_other_scratch, other) = other_set();
    for file in ["base.pub", "site.key", "boot.crt", "boot.pgp", "boot.key"] {
        let (_scratch, directory) = set();
        fs::copy(other.join(file), directory.join(file)).unwrap();
        let text = refusal(&directory);
        assert!(text.contains("does not belong to"), "{file}: {text}");
    }
}

#[test]
fn refuses_a_description_of_another_format_and_ignores_unknown_fields() {
    let (_scratch, directory) = set();
    let file = directory.join("keys.json");
    fs::write(&file, r#"{"format":1,"development":false,"created":5,"colour":"red"}"#).unwrap();
    assert!(!Keys::load(&directory).unwrap().development);
    fs::write(&file, r#"{"format":2,"development":false,"created":5}"#).unwrap();
    assert!(refusal(&directory).contains("has format 2"));
}

#[test]
fn the_trust_store_believes_the_package_keys_of_the_set() {
    let (_scratch, directory) = set();
    let keys = Keys::load(&directory).unwrap();
    let store = keys.trust_store("demo").unwrap();
    assert!(store.development_allowed());
    for (role, key) in [(Role::Base, &keys.base), (Role::Site, &keys.site)] {
        let trusted = store.key(&formats::trust::key_id(&key.verifying_key())).unwrap();
        assert_eq!((trusted.role, trusted.development), (role, true));
        assert_eq!(store.threshold(role), Some(1));
    }
    let licence = keys.licence.unwrap();
    assert_eq!(store.key(&formats::trust::key_id(&licence)).unwrap().role, Role::Licence);
    assert_eq!(store.threshold(Role::Licence), Some(1));

    // Licences need as many signers as everything else, or there are none.
    let alone = CoSigner::load(&directory).unwrap();
    assert_eq!(alone.public(Role::Licence), Some(&licence));
    let (_other_scratch, other) = other_set();
    let second = CoSigner::load(&other).unwrap();
    let store = Keys::load(&directory).unwrap().with(2, vec![second]).trust_store("demo").unwrap();
    assert_eq!(store.threshold(Role::Licence), Some(2));
    for file in ["licence.key", "licence.pub"] {
        fs::remove_file(other.join(file)).unwrap();
    }
    let second = CoSigner::load(&other).unwrap();
    let store = Keys::load(&directory).unwrap().with(2, vec![second]).trust_store("demo").unwrap();
    assert_eq!((store.threshold(Role::Base), store.threshold(Role::Licence)), (Some(2), None));
}

#[test]
fn the_last_day_of_a_set_reaches_the_trust_store_and_whoever_has_only_its_public_half() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("keys");
    let day = "2031-12-31".parse().unwrap();
    generate(&directory, false, 1_700_000_000, "demo", Some(day)).unwrap();
    let store = Keys::load(&directory).unwrap().trust_store("demo").unwrap();
    assert!(store.keys().values().all(|key| key.expires == Some(day)));
    assert_eq!(super::expiry(&directory).unwrap(), Some(day));
    fs::remove_file(directory.join("keys.json")).unwrap();
    assert_eq!(super::expiry(&directory).unwrap(), None);
}

#[test]
fn refuses_to_make_keys_that_have_expired_already() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("keys");
    let error = generate(&directory, false, 1_700_000_000, "demo", Some("2023-11-13".parse().unwrap())).unwrap_err();
    assert!(error.to_string().contains("expired on 2023-11-13"), "{error}");
    assert!(!directory.exists());
}
