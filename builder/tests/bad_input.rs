//! Everything a person can get wrong, given to the real program: each mistake has its exit code, a message that says what, which and
//! the way out, and leaves nothing in the output folder.

#[path = "support/product.rs"]
mod product;
mod samples;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use product::{Outcome, Product, bulkhead, names};
use samples::{Tar, deb, module};

/// A mistake: its name, how it is made, the exit code, and what the message must say.
type Mistake<'a> = (&'a str, fn(&mut Product), i32, &'a [&'a str]);

/// Makes each mistake in a product of its own and builds it.
fn refused(mistakes: &[Mistake<'_>]) {
    for (what, make, code, words) in mistakes {
        let mut product = Product::new();
        make(&mut product);
        product.build().expect(what, *code, words);
        assert_eq!(product.results(), [""; 0], "{what}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive whose content is larger than what compression blocks hold back.
fn large_tar() -> Vec<u8> {
    Tar::default().directory("usr/").file("usr/noise", &hex::encode(noise(40_000))).bytes()
}

/// Bytes that do not compress and are the same every time.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn a_sound_product_builds_so_that_the_refusals_below_mean_something() {
    let product = Product::new();
    product.tar_on_top(large_tar());
    product.build().expect("sound", 0, &[]);
    assert_eq!(product.results(), ["sample-1.0.0.img", "sample-base-1.0.0.pkg"]);
}

#[test]
fn refuses_a_recipe_that_cannot_be_one() {
    refused(&[
        ("not TOML", |p| p.edit("[product]", "[product"), 3, &["recipe.toml:3:9: "]),
        (
            "not UTF-8",
            |p| p.write("recipe.toml", b"recipe = 1 # caf\xe9\n"),
            3,
            &["recipe.toml", "not UTF-8", "byte 16"],
        ),
        (
            "a directory",
            |p| {
                fs::remove_file(p.path("recipe.toml")).unwrap();
                p.write("recipe.toml/x", "");
            },
            3,
            &["recipe.toml\" is a directory", "name the recipe"],
        ),
        (
            "missing",
            |p| fs::remove_file(p.path("recipe.toml")).unwrap(),
            6,
            &["cannot read", "recipe.toml", "No such file"],
        ),
        (
            "unknown key",
            |p| p.edit("base-slot", "base-slto"),
            3,
            &["recipe.toml:16:1: unknown key \"base-slto\"; did you mean \"base-slot\"?"],
        ),
        ("wrong type", |p| p.edit("sequence = 1", "sequence = \"one\""), 3, &["recipe.toml:6:12: ", "invalid type"]),
        ("missing key", |p| p.edit("version = \"1.0.0\"\n", ""), 3, &["recipe.toml:3:1: missing field `version`"]),
        ("size too small", |p| p.edit("34MiB", "33MiB"), 3, &["disk.esp = \"33 MiB\" is too small; at least 34 MiB"]),
        ("size that is none", |p| p.edit("34MiB", "34 parsecs"), 3, &["recipe.toml:15:7: ", "34 parsecs"]),
        (
            "no layer",
            |p| p.edit("[[base.layer]]\ndirectory = \"base\"", "[base]\nlayer = []"),
            3,
            &["no [[base.layer]]"],
        ),
        ("two sources in one layer", |p| p.layer("directory = \"base\"\ntar = \"x\""), 3, &["give exactly one"]),
        (
            "a word of the boot chain",
            |p| p.edit("[kernel]", "[kernel]\ncommand-line = \"slot=b\""),
            3,
            &["slot", "remove it"],
        ),
    ]);
}

#[test]
fn refuses_sources_that_are_missing_or_unreadable() {
    refused(&[
        (
            "missing directory",
            |p| p.layer("directory = \"bsae\""),
            3,
            &["[[base.layer]] number 1", "/bsae\" does not exist", "relative to the recipe"],
        ),
        (
            "missing tar",
            |p| p.on_top("tar = \"gone.tar\""),
            3,
            &["[[base.layer]] number 2", "/gone.tar\" does not exist"],
        ),
        (
            "missing package folder",
            |p| p.on_top("packages = [\"x\"]\nfrom = \"debs\""),
            3,
            &["[[base.layer]] number 2", "/debs\" does not exist"],
        ),
        (
            "missing package",
            |p| {
                p.write("debs/a.deb", deb("busybox", "1", "amd64", &Tar::default().bytes()));
                p.on_top("packages = [\"bussybox\"]\nfrom = \"debs\"");
            },
            3,
            &["bussybox", "nearest: \"busybox\"", "apt-get download"],
        ),
        ("a file as directory", |p| p.layer("directory = \"recipe.toml\""), 3, &["recipe.toml\" is not a directory"]),
        ("a directory as tar", |p| p.on_top("tar = \"base\""), 3, &["/base\" is not a regular file"]),
        (
            "unreadable file",
            |p| {
                p.write("base/etc/secret", "x");
                p.without_root();
                fs::set_permissions(p.path("base/etc/secret"), fs::Permissions::from_mode(0o000)).unwrap();
            },
            6,
            &["cannot read", "base/etc/secret", "Permission denied"],
        ),
        (
            "unreadable folder",
            |p| {
                p.write("base/etc/x", "x");
                p.without_root();
                fs::set_permissions(p.path("base/etc"), fs::Permissions::from_mode(0o000)).unwrap();
            },
            6,
            &["cannot read", "base/etc", "Permission denied"],
        ),
        (
            "exclude that matches nothing",
            |p| p.on_top("directory = \"base\"\nexclude = [\"usr/sahre\"]"),
            3,
            &["usr/sahre"],
        ),
    ]);
}

#[test]
fn refuses_archives_that_leave_their_root_or_run_in_circles() {
    refused(&[
        (
            "..",
            |p| p.tar_on_top(Tar::default().file("../evil", "").bytes()),
            3,
            &["more.tar", "../evil", "leave the root"],
        ),
        (
            ".. in the middle",
            |p| p.tar_on_top(Tar::default().file("a/../../evil", "").bytes()),
            3,
            &["more.tar", "a/../../evil", "leave the root"],
        ),
        ("absolute", |p| p.tar_on_top(Tar::default().file("/etc/passwd", "").bytes()), 3, &["/etc/passwd", "absolute"]),
        (
            "through a link",
            |p| p.tar_on_top(Tar::default().symlink("way", "/etc").file("way/passwd", "").bytes()),
            3,
            &["way/passwd", "passes through the symbolic link \"way\" to \"/etc\""],
        ),
        (
            "hard link out",
            |p| p.tar_on_top(Tar::default().hard_link("shadow", "../../etc/shadow").bytes()),
            3,
            &["shadow", "leave the root"],
        ),
        (
            "absolute hard link",
            |p| p.tar_on_top(Tar::default().hard_link("x", "/etc/shadow").bytes()),
            3,
            &["absolute"],
        ),
        (
            "looping symbolic links",
            |p| p.tar_on_top(Tar::default().symlink("a", "b").symlink("b", "a").bytes()),
            3,
            &["more.tar", "\"a\"", "leads back to itself"],
        ),
        (
            "looping hard links",
            |p| p.tar_on_top(Tar::default().hard_link("a", "b").hard_link("b", "a").bytes()),
            3,
            &["more.tar", "hard links loop", "\"a\"", "\"b\""],
        ),
        (
            "looping links in a directory",
            |p| std::os::unix::fs::symlink("me", p.path("base/me")).unwrap(),
            3,
            &["\"/me\"", "leads back to itself"],
        ),
        (
            "a device in a directory",
            |p| nix::unistd::mkfifo(&p.path("base/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap(),
            3,
            &["base/pipe", "a tar archive can"],
        ),
    ]);
}

#[test]
fn refuses_archives_and_packages_that_end_too_early() {
    refused(&[
        ("plain tar", |p| p.tar_on_top(&large_tar()[..50_000]), 3, &["more.tar", "truncated"]),
        (
            "tar without an end",
            |p| p.tar_on_top(Tar::default().file("x", "y").without_end()),
            3,
            &["truncated", "fetch it again"],
        ),
        ("gzip", |p| p.tar_on_top(&gzip(&large_tar())[..30_000]), 3, &["more.tar", "truncated", "fetch it again"]),
        (
            "zstd",
            |p| p.tar_on_top(&zstd::encode_all(&large_tar()[..], 1).unwrap()[..30_000]),
            3,
            &["more.tar", "truncated", "fetch it again"],
        ),
        ("empty tar", |p| p.tar_on_top(""), 3, &["more.tar", "only 0 bytes"]),
        ("text as tar", |p| p.tar_on_top("hello".repeat(500)), 3, &["more.tar", "is not a tar archive"]),
        (
            "package",
            |p| {
                let whole = deb("tool", "1", "amd64", &large_tar());
                p.write("debs/tool.deb", &whole[..whole.len() / 2]);
                p.on_top("packages = [\"tool\"]\nfrom = \"debs\"");
            },
            3,
            &["tool.deb", "truncated", "fetch it again"],
        ),
    ]);
}

#[test]
fn an_oversized_slot_is_refused_with_the_excess_and_the_largest_directories() {
    refused(&[
        (
            "base",
            |p| {
                p.edit("base-slot = \"32MiB\"", "base-slot = \"8MiB\"");
                p.write("base/usr/share/big/file", noise(9 << 20));
                p.write("base/opt/small/file", noise(3 << 20));
            },
            3,
            &[
                "slot image \"base\" needs",
                "room for 8.0 MiB: ",
                " MiB too much",
                "\"/usr/share/big\" 9.0 MiB, \"/opt/small\" 3.0 MiB",
            ],
        ),
        (
            "site",
            |p| {
                p.write("page/www/file", noise(9 << 20));
                let site =
                    "[site]\nname = \"s\"\nversion = \"1.0.0\"\nsequence = 1\nhostname = \"h\"\n[[site.layer]]\n";
                p.edit("[host]", &format!("{site}directory = \"page\"\n[host]"));
            },
            3,
            &["slot image \"site\" needs", "too much", "\"/www\" 9.0 MiB"],
        ),
    ]);
}

#[test]
fn refuses_a_base_without_exactly_one_kernel_or_with_unknown_modules() {
    refused(&[
        (
            "unknown module",
            |p| p.edit("[\"dm-verity\"]", "[\"dm-veritas\"]"),
            3,
            &["no module \"dm-veritas\"", "nearest: \"dm_verity\""],
        ),
        (
            "unknown module to keep",
            |p| p.edit("[kernel]", "[kernel]\nmodules = [\"dm_veriti\"]"),
            3,
            &["no module \"dm_veriti\"", "nearest: \"dm_verity\""],
        ),
        (
            "a module that needs what is not there",
            |p| {
                p.write("base/usr/lib/modules/6.1-test/kernel/x.ko", module(&["depends=gone"]));
                p.edit("[\"dm-verity\"]", "[\"x\"]");
            },
            3,
            &["\"x\" needs \"gone\""],
        ),
        (
            "no kernel",
            |p| {
                p.write("empty/etc/x", "");
                p.layer("directory = \"empty\"");
            },
            3,
            &["has no kernel", "linux-image"],
        ),
        (
            "modules without a kernel image",
            |p| fs::remove_file(p.path("base/boot/vmlinuz-6.1-test")).unwrap(),
            3,
            &["no kernel image for 6.1-test", "/boot/vmlinuz-6.1-test"],
        ),
        (
            "two kernels",
            |p| p.write("base/usr/lib/modules/6.2-test/modules.builtin", ""),
            3,
            &["several kernels (6.1-test, 6.2-test)", "exclude"],
        ),
    ]);
}

#[test]
fn refuses_key_files_of_the_wrong_kind_or_open_to_others() {
    fn copy(product: &Product, from: &str, to: &str) {
        fs::copy(product.path(&format!("keys/{from}")), product.path(&format!("keys/{to}"))).unwrap();
    }
    refused(&[
        (
            "no key folder",
            |p| p.edit("\"keys\"", "\"kyes\""),
            3,
            &["/kyes/keys.json\" is missing", "bulkhead keys generate"],
        ),
        (
            "missing key",
            |p| fs::remove_file(p.path("keys/site.key")).unwrap(),
            3,
            &["keys/site.key\" is missing", "bulkhead keys generate"],
        ),
        (
            "RSA for ed25519",
            |p| copy(p, "boot.key", "base.key"),
            3,
            &["base.key\" holds an RSA key where an ed25519 key belongs"],
        ),
        (
            "ed25519 for RSA",
            |p| copy(p, "base.key", "boot.key"),
            3,
            &["boot.key\" holds an ed25519 key where an RSA key belongs"],
        ),
        (
            "public for private",
            |p| p.write("keys/base.key", fs::read(p.path("keys/base.pub")).unwrap()),
            3,
            &["base.key\" holds a \"PUBLIC KEY\" where a \"PRIVATE KEY\" belongs"],
        ),
        ("text for a key", |p| p.write("keys/base.key", "my secret"), 3, &["base.key\""]),
        ("another pair", |p| copy(p, "site.pub", "base.pub"), 3, &["base.pub\" does not belong to", "base.key"]),
        ("another certificate", |p| copy(p, "PK.crt", "boot.crt"), 3, &["boot.crt\" does not belong to", "boot.key"]),
        (
            "open to others",
            |p| fs::set_permissions(p.path("keys/base.key"), fs::Permissions::from_mode(0o644)).unwrap(),
            3,
            &["base.key\" is open to group or others (mode 0644); run: chmod 600 "],
        ),
        ("damaged description", |p| p.write("keys/keys.json", "{"), 3, &["keys.json\" is damaged"]),
        (
            "development keys in a release",
            |p| p.edit("allow-development = true", "allow-development = false"),
            5,
            &["/keys\" holds development keys", "keys.allow-development = true", "bulkhead keys generate"],
        ),
    ]);
}

#[test]
fn refuses_wrong_files_of_the_build_host() {
    refused(&[
        (
            "stub missing",
            |p| p.edit("[host]", "[host]\nefi-stub = \"gone.stub\""),
            3,
            &["host.efi-stub: ", "/gone.stub\" does not exist"],
        ),
        (
            "stub that is no PE file",
            |p| {
                p.write("text.stub", "hello".repeat(1000));
                p.edit("[host]", "[host]\nefi-stub = \"text.stub\"");
            },
            3,
            &["/text.stub\"", "PE"],
        ),
        (
            "stub without room",
            |p| {
                p.write("full.stub", stub_without_room());
                p.edit("[host]", "[host]\nefi-stub = \"full.stub\"");
            },
            3,
            &["/full.stub\"", "has room for 0 more sections, 5 needed", "systemd-boot-efi"],
        ),
        (
            "no GRUB modules there",
            |p| p.edit("[host]", "[host]\ngrub-modules = \"base\""),
            3,
            &["host.grub-modules: ", "/base\" has no", "x86_64-efi"],
        ),
        (
            "init missing",
            |p| p.edit("init = \"/bin/true\"", "init = \"gone\""),
            3,
            &["host.init: ", "/gone\" does not exist"],
        ),
        (
            "agent that is a text",
            |p| p.edit("update-agent = \"/bin/true\"", "update-agent = \"recipe.toml\""),
            3,
            &["host.update-agent", "is not an ELF program"],
        ),
    ]);
}

/// systemd's stub with its header block filled up.
fn stub_without_room() -> Vec<u8> {
    let mut stub =
        fs::read("/usr/lib/systemd/boot/efi/linuxx64.efi.stub").expect("needs systemd-boot-efi; run scripts/setup");
    let number =
        |at: usize, length: usize| (0..length).rev().fold(0, |all, byte| all << 8 | usize::from(stub[at + byte]));
    let header = number(0x3c, 4);
    let table = header + 24 + number(header + 20, 2);
    let used = table + 40 * number(header + 6, 2);
    let end = number(header + 24 + 60, 4);
    stub[used..end].fill(0xff);
    stub
}

#[test]
fn an_existing_result_is_kept_unless_forced_and_even_then_until_the_new_one_is_whole() {
    let mut product = Product::new();
    product.write("out/sample-1.0.0.img", "the old image");
    let old = || fs::read(product.image()).unwrap() == b"the old image";
    let shown = product.shown("out/sample-1.0.0.img");
    product.build().expect("exists", 5, &[&format!("\"{shown}\" exists"), "--force"]);
    assert!(old());
    product.extra = vec!["--force".into()];
    product.edit("[\"dm-verity\"]", "[\"nothing\"]");
    product.build().expect("forced but wrong", 3, &["no module"]);
    assert!(fs::read(product.image()).unwrap() == b"the old image");
    assert_eq!(product.results(), ["sample-1.0.0.img"]);
    product.edit("[\"nothing\"]", "[\"dm-verity\"]");
    product.build().expect("forced", 0, &[]);
    assert!(fs::read(product.image()).unwrap().len() > 1 << 20);
    assert_eq!(product.results(), ["sample-1.0.0.img", "sample-base-1.0.0.pkg"]);
}

#[test]
fn an_output_folder_that_cannot_be_written_is_an_io_error() {
    let mut product = Product::new();
    fs::create_dir(product.path("out")).unwrap();
    product.without_root();
    fs::set_permissions(product.path("out"), fs::Permissions::from_mode(0o555)).unwrap();
    product.build().expect("read-only folder", 6, &["cannot create", "/out", "Permission denied"]);
    assert_eq!(product.results(), [""; 0]);

    let product = Product::new();
    product.write("out", "a file");
    product.build().expect("a file as folder", 6, &["cannot create", "/out\""]);
    assert_eq!(fs::read(product.path("out")).unwrap(), b"a file");
}

#[test]
fn a_file_size_limit_is_an_io_error_that_leaves_nothing() {
    let mut product = Product::new();
    // The signal would end the program before it can report; it is ignored the way a careful shell does it.
    let script = "trap '' XFSZ; ulimit -f 2000; exec \"$@\"";
    product.through = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    product.build().expect("limit", 6, &["cannot ", "/out/", "File too large"]);
    assert_eq!(product.results(), [""; 0]);
}

#[test]
fn a_full_disk_is_an_io_error_that_leaves_nothing() {
    let mut product = Product::new();
    fs::create_dir(product.path("out")).unwrap();
    product.write("base/usr/share/big", noise(12 << 20));
    // A private mount: seen by the build and by what lists the folder afterwards, gone with both.
    let script = format!(
        "mount -t tmpfs -o size=8m none '{0}' || exit 99; \"$@\"; code=$?; ls -A '{0}' >&2; exit $code",
        product.shown("out")
    );
    let unshare = if nix::unistd::Uid::effective().is_root() { "-m" } else { "-rm" };
    product.through = ["unshare", unshare, "sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    let outcome = product.build();
    if outcome.code == Some(99) || outcome.stderr.contains("unshare") {
        println!("SKIPPED: needs permission to mount: {}", outcome.stderr);
        return;
    }
    outcome.expect("full", 6, &["cannot ", "/out/", "No space left on device"]);
    let listed: Vec<&str> = outcome.stderr.lines().skip_while(|line| !line.contains("No space left")).skip(1).collect();
    assert_eq!(listed, [""; 0], "{}", outcome.stderr);
}

#[test]
fn a_build_killed_at_any_moment_leaves_nothing_under_the_final_name() {
    let mut product = Product::new();
    product.write("base/usr/share/big", noise(24 << 20));
    product.build().expect("undisturbed", 0, &[]);
    let undisturbed = fs::read(product.image()).unwrap();
    let out = product.path("out");
    let reached = |moment: &str| {
        let found = names(&out);
        match moment {
            "scratch" => !found.is_empty(),
            "disk" => found.iter().any(|name| out.join(name).join("disk.img").exists()),
            _ => found.iter().any(|name| name.ends_with(".partial")),
        }
    };
    let mut caught = 0;
    for (moment, format) in [("scratch", "raw"), ("disk", "raw"), ("partial", "vmdk")] {
        fs::remove_dir_all(&out).unwrap();
        product.extra = ["--format", format, "--force"].map(str::to_owned).to_vec();
        let mut child = product.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while !reached(moment) && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_mins(2), "{moment}");
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            continue; // Too late: the image is whole and rightly there.
        }
        caught += 1;
        let finished = names(&out).into_iter().filter(|name| !name.starts_with('.') && !name.ends_with(".partial"));
        assert_eq!(finished.collect::<Vec<_>>(), [""; 0], "{moment}");
    }
    assert!(caught >= 1, "every build was faster than the signal");
    product.extra = ["--format", "raw,vmdk", "--force"].map(str::to_owned).to_vec();
    product.build().expect("after the last kill", 0, &[]);
    assert!(fs::read(product.image()).unwrap() == undisturbed);
    // The next build tidies up after the dead ones.
    assert_eq!(product.results(), ["sample-1.0.0.img", "sample-1.0.0.vmdk", "sample-base-1.0.0.pkg"]);
}

#[test]
fn inspect_and_verify_refuse_what_is_no_disk_image() {
    let product = Product::new();
    product.build().expect("sound", 0, &[]);
    let whole = fs::read(product.image()).unwrap();
    product.write("empty", "");
    product.write("text", "It was a dark and stormy night.\n".repeat(4000));
    product.write("zeros", vec![0; 1 << 20]);
    product.write("cut", &whole[..whole.len() / 2]);
    product.write("short", &whole[..100_000]);
    let (keys, text) = (product.shown("keys"), |name: &str| product.shown(name));
    for (name, word) in [
        ("empty", "has 0 bytes"),
        ("text", "is not a raw disk image"),
        ("zeros", "is not a raw disk image"),
        ("cut", "is not a raw disk image"),
        ("short", "is not a raw disk image"),
        ("base", "is not a regular file"),
    ] {
        for arguments in [vec!["inspect", &text(name)], vec!["verify", &text(name), "--trust", &keys]] {
            bulkhead(&arguments).expect(&arguments.join(" "), 3, &[&text(name), word]);
        }
    }
    for arguments in [vec!["inspect", &text("gone")], vec!["verify", &text("gone"), "--trust", &keys]] {
        bulkhead(&arguments).expect("missing file", 6, &[&text("gone"), "No such file"]);
    }
    let image = product.image().display().to_string();
    bulkhead(["verify", &image, "--trust", &text("base")]).expect("no keys there", 3, &["base.pub"]);
    assert_eq!(bulkhead(["verify", &image, "--trust", &keys]).code, Some(0));
}

#[test]
fn a_name_taken_by_a_dangling_link_is_refused_too() {
    let product = Product::new();
    fs::create_dir(product.path("out")).unwrap();
    std::os::unix::fs::symlink("nowhere", product.image()).unwrap();
    product.build().expect("dangling link", 5, &["/out/sample-1.0.0.img\" exists", "--force"]);
    assert_eq!(fs::read_link(product.image()).unwrap(), Path::new("nowhere"));
    assert_eq!(product.results(), ["sample-1.0.0.img"]);
}

#[test]
fn a_reader_who_leaves_early_is_no_error_and_a_full_output_is() {
    let product = Product::new();
    let plan = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command.arg("plan").arg(product.path("recipe.toml")).stderr(Stdio::piped());
        command
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let outcome = Outcome::from(plan().stdout(writer).output().unwrap());
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let outcome = Outcome::from(plan().stdout(full).output().unwrap());
    outcome.expect("full output", 6, &["cannot write \"standard output\"", "No space left on device"]);
    // Progress nobody reads must not end a build.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(product.command().stdout(Stdio::null()).stderr(writer).status().unwrap().success());
}

#[test]
fn wrong_usage_ends_with_code_2() {
    for arguments in
        [&["build"][..], &["bild", "x"], &["build", "r.toml", "-o", "x", "--format", "floppy"], &["verify", "x"], &[]]
    {
        assert_eq!(bulkhead(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn every_key_of_the_recipe_is_in_its_manual() {
    // The keys of a health check are those of every form a check has, so they stand with the format.
    let sources = [
        include_str!("../src/recipe/mod.rs"),
        include_str!("../../formats/src/health/form.rs"),
        include_str!("../../formats/src/health/mod.rs").split_once("pub struct Trial").unwrap().1,
    ];
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipe.md")).unwrap();
    let (mut checked, mut renamed, mut skipped) = (0, None, false);
    let until_code = |source: &'static str| source.lines().map(str::trim).take_while(|line| !line.starts_with("impl "));
    for line in sources.into_iter().flat_map(until_code) {
        if let Some(name) = line.strip_prefix("#[serde(rename = \"").and_then(|rest| rest.split('"').next()) {
            renamed = Some(name.to_owned());
        }
        skipped |= line == "#[serde(skip)]";
        let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) else { continue };
        let key = renamed.take().unwrap_or_else(|| field.replace('_', "-"));
        if std::mem::take(&mut skipped) {
            continue;
        }
        let forms = [format!("`{key}`"), format!("`[{key}]`"), format!("`[[base.{key}]]`"), format!("[{key}.")];
        assert!(forms.iter().any(|form| manual.contains(form)), "docs/recipe.md does not explain {key}");
        checked += 1;
    }
    assert!(checked > 55, "only {checked} keys found");
}

#[test]
fn help_of_every_verb_says_how_and_fits_the_terminal() {
    let verbs = [
        &["--help"][..],
        &["init", "--help"],
        &["keys", "generate", "--help"],
        &["plan", "--help"],
        &["build", "--help"],
    ];
    let more = [
        &["inspect", "--help"][..],
        &["verify", "--help"],
        &["diff", "--help"],
        &["sign", "--help"],
        &["export", "--help"],
    ];
    for arguments in verbs.iter().chain(&more) {
        let output =
            Command::new(env!("CARGO_BIN_EXE_bulkhead")).args(*arguments).env("COLUMNS", "200").output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage: bulkhead"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
}
