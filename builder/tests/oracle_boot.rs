//! Other people's tools judge what signs and starts a Bulkhead machine: gpg, openssl, sbsign, sbverify, objcopy, grub-script-check,
//! grub-file. A missing tool fails the test in CI and skips it elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use builder::boot::pe::Pe;
use builder::boot::{authenticode, grub, openpgp, uki};
use builder::keys::{self, Keys};

/// Seconds; 14 November 2023.
const CREATED: i64 = 1_700_000_000;
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const GRUB: &str = "/usr/lib/grub";

fn key_directory() -> PathBuf {
    static SET: OnceLock<tempfile::TempDir> = OnceLock::new();
    let set = SET.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        keys::generate(&scratch.path().join("keys"), true, CREATED, "oracle", None).unwrap();
        scratch
    });
    set.path().join("keys")
}

fn keys() -> Keys {
    Keys::load(&key_directory()).unwrap()
}

/// True when the program or file is there; otherwise says so, and fails in CI.
fn have(what: &str) -> bool {
    let found = if what.starts_with('/') {
        Path::new(what).exists()
    } else {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join(what).is_file())
    };
    if !found {
        assert!(std::env::var_os("CI").is_none(), "needs {what}");
        println!("SKIPPED: needs {what}");
    }
    found
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap()
}

#[track_caller]
fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

#[track_caller]
fn fails(program: &str, arguments: &[&str]) {
    assert!(!run(program, arguments).status.success(), "{program} {arguments:?} accepted it");
}

fn path_in(directory: &Path, name: &str, content: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn real_uki() -> Vec<u8> {
    let kernel: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let parts = uki::Parts {
        os_release: b"ID=demo\nVERSION_ID=1\n",
        command_line: "console=ttyS0 panic=5 gpt oops=panic",
        kernel_release: "6.1.0-demo",
        initrd: &vec![0x5a; 123_457],
        kernel: &kernel,
    };
    uki::assemble(&fs::read(STUB).unwrap(), &parts).unwrap()
}

#[test]
fn openssl_reads_every_key_and_certificate() {
    if !have("openssl") {
        return;
    }
    let directory = key_directory();
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    for name in ["base", "site"] {
        let private = succeeds("openssl", &["pkey", "-in", &file(&format!("{name}.key")), "-pubout"]);
        assert_eq!(private, fs::read_to_string(file(&format!("{name}.pub"))).unwrap());
    }
    for name in ["boot", "PK", "KEK"] {
        succeeds("openssl", &["rsa", "-in", &file(&format!("{name}.key")), "-check", "-noout"]);
        let certificate = file(&format!("{name}.crt"));
        succeeds("openssl", &["verify", "-CAfile", &certificate, "-no_check_time", &certificate]);
        let text = succeeds("openssl", &["x509", "-in", &certificate, "-noout", "-text"]);
        assert!(text.contains("Not Before: Nov 14 22:13:20 2023 GMT"), "{text}");
        assert!(text.contains("Not After : Nov 14 22:13:20 2043 GMT"), "{text}");
        assert!(text.contains("CN = DEVELOPMENT oracle"), "{text}");
        let public = succeeds("openssl", &["x509", "-in", &certificate, "-noout", "-pubkey"]);
        assert_eq!(public, succeeds("openssl", &["pkey", "-in", &file(&format!("{name}.key")), "-pubout"]));
    }
}

#[test]
fn gpg_accepts_our_signatures_and_refuses_changed_files() {
    if !have("gpg") {
        return;
    }
    let keys = keys();
    let scratch = tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap(); // gpg's socket path must be short
    let home = scratch.path().to_str().unwrap();
    let gpg = |arguments: &[&str]| {
        let fixed = ["--homedir", home, "--batch", "--no-autostart", "--trust-model", "always", "--status-fd", "1"];
        run("gpg", &[&fixed, arguments].concat())
    };
    let key = key_directory().join("boot.pgp");
    let imported = gpg(&["--import", key.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let listed = String::from_utf8(gpg(&["--with-colons", "--check-sigs"]).stdout).unwrap();
    let key_id = hex::encode_upper(keys.openpgp_key.key_id());
    assert!(listed.contains(&hex::encode_upper(keys.openpgp_key.fingerprint())), "{listed}");
    assert!(listed.lines().any(|line| line.starts_with("sig:!:") && line.contains(&key_id)), "{listed}");
    let data: Vec<u8> = vec![0x77; 100_000];
    let signature = openpgp::sign(&keys.boot, &keys.openpgp_key, &data, CREATED + 5).unwrap();
    let (data_file, signature_file) =
        (path_in(scratch.path(), "file", &data), path_in(scratch.path(), "file.sig", &signature));
    let good = gpg(&["--verify", &signature_file, &data_file]);
    let status = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success() && status.contains("VALIDSIG"), "{status}");
    let mut changed = data;
    changed[50_000] ^= 1;
    let changed_file = path_in(scratch.path(), "changed", &changed);
    let bad = gpg(&["--verify", &signature_file, &changed_file]);
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stdout).contains("BADSIG"));
}

#[test]
fn sbverify_accepts_our_signatures_and_refuses_other_certificates_and_changes() {
    if !have("sbverify") || !have(STUB) {
        return;
    }
    let keys = keys();
    let scratch = tempfile::tempdir().unwrap();
    let directory = key_directory();
    let certificate = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let signed = authenticode::sign(&real_uki(), &keys.boot, &keys.boot_certificate).unwrap();
    let file = path_in(scratch.path(), "uki.efi", &signed);
    let text = succeeds("sbverify", &["--cert", &certificate("boot.crt"), &file]);
    assert!(text.contains("Signature verification OK") && !text.contains("warning"), "{text}");
    fails("sbverify", &["--cert", &certificate("PK.crt"), &file]);
    for name in [".cmdline", ".initrd", ".linux"] {
        let mut changed = signed.clone();
        let pe = Pe::parse(&signed).unwrap();
        let section = pe.sections.iter().find(|section| section.name == name).unwrap();
        changed[usize::try_from(section.raw_offset).unwrap()] ^= 1;
        assert!(authenticode::verify(&changed, &keys.boot_certificate).is_err());
        let file = path_in(scratch.path(), "changed.efi", &changed);
        fails("sbverify", &["--cert", &certificate("boot.crt"), &file]);
    }
}

#[test]
fn we_accept_what_sbsign_signs() {
    if !have("sbsign") || !have(STUB) {
        return;
    }
    let keys = keys();
    let scratch = tempfile::tempdir().unwrap();
    let directory = key_directory();
    let unsigned = path_in(scratch.path(), "uki.efi", &real_uki());
    let signed = scratch.path().join("signed.efi").to_str().unwrap().to_owned();
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (file("boot.key"), file("boot.crt"));
    succeeds("sbsign", &["--key", &key, "--cert", &certificate, "--output", &signed, &unsigned]);
    let bytes = fs::read(&signed).unwrap();
    authenticode::verify(&bytes, &keys.boot_certificate).unwrap();
    assert_eq!(authenticode::verify(&bytes, &keys.platform_certificate).unwrap_err().exit_code(), 4);
    // Same image, same digest, same content of the signature: replacing theirs gives the bytes of signing the original.
    let ours = authenticode::sign(&bytes, &keys.boot, &keys.boot_certificate).unwrap();
    assert_eq!(ours, authenticode::sign(&real_uki(), &keys.boot, &keys.boot_certificate).unwrap());
}

#[test]
fn objcopy_finds_our_sections_with_their_exact_content() {
    if !have("objcopy") || !have(STUB) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let bytes = real_uki();
    let file = path_in(scratch.path(), "uki.efi", &bytes);
    let out = scratch.path().join("section").to_str().unwrap().to_owned();
    let pe = Pe::parse(&bytes).unwrap();
    for name in [".osrel", ".cmdline", ".uname", ".initrd", ".linux"] {
        succeeds("objcopy", &["-O", "binary", "--only-section", name, &file, &out]);
        let found = fs::read(&out).unwrap();
        let content = pe.content(name).unwrap();
        assert!(found.starts_with(content) && found[content.len()..].iter().all(|byte| *byte == 0), "{name}");
    }
}

#[test]
fn grub_accepts_the_policy_script() {
    if !have("grub-script-check") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    succeeds("grub-script-check", &[&path_in(scratch.path(), "policy.cfg", grub::POLICY.as_bytes())]);
}

#[test]
fn grub_images_are_the_same_from_different_directories_and_can_be_signed() {
    if !have("grub-mkimage")
        || !have("/usr/lib/grub/x86_64-efi/normal.mod")
        || !have("/usr/lib/grub/i386-pc/normal.mod")
    {
        return;
    }
    let keys = keys();
    let (one, two) =
        (tempfile::tempdir().unwrap(), tempfile::Builder::new().prefix("another-longer-name").tempdir().unwrap());
    let images = grub::images(Path::new(GRUB), &keys.openpgp, one.path()).unwrap();
    assert!(images == grub::images(Path::new(GRUB), &keys.openpgp, two.path()).unwrap(), "two runs differ");
    assert_eq!(images.boot_img[510..], [0x55, 0xaa]);
    let signed = authenticode::sign(&images.efi, &keys.boot, &keys.boot_certificate).unwrap();
    authenticode::verify(&signed, &keys.boot_certificate).unwrap();
    if have("sbverify") {
        let file = path_in(one.path(), "BOOTX64.EFI", &signed);
        let certificate = key_directory().join("boot.crt");
        succeeds("sbverify", &["--cert", certificate.to_str().unwrap(), &file]);
    }
}

#[test]
fn grub_reads_and_lists_our_command_line_block() {
    if !have("grub-editenv") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let line = "console=ttyS0,115200 panic=5 gpt oops=panic rd.x=a,b";
    let places = uki::Places {
        kernel: uki::BlockList { first: 2915, count: 27_708 },
        initrd: uki::BlockList { first: 163, count: 2752 },
    };
    let file = path_in(scratch.path(), "slot.env", &grub::slot_env(line, &places).unwrap());
    let listed = format!("cmdline={line}\nkernel=2915+27708\ninitrd=163+2752\n");
    assert_eq!(succeeds("grub-editenv", &[&file, "list"]), listed);
}

#[test]
fn missing_grub_modules_name_the_package() {
    let scratch = tempfile::tempdir().unwrap();
    let error = grub::images(scratch.path(), b"", scratch.path()).unwrap_err();
    assert_eq!(error.exit_code(), 6);
    assert!(error.to_string().contains("apt-get install grub-efi-amd64-bin"), "{error}");
}
