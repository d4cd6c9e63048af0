//! Packages through the real program: what a build makes, what other people's tools say about it, and what verify says about damage.

#[path = "support/product.rs"]
mod product;
mod samples;

use std::fs;
use std::path::Path;
use std::process::Command;

use builder::opened::OpenedImage;
use formats::trust::{Role, TrustStore};
use product::{Product, bulkhead};

const SITE: &str = r#"[site]
name = "shop"
version = "2.0.0"
sequence = 1
hostname = "shop.example"
notes = "notes.md"
eula = "eula.txt"

[[site.layer]]
directory = "site"

[host]"#;

/// A built product with a base and a site package.
fn built() -> Product {
    let product = Product::new();
    product.edit("[host]", SITE);
    product.edit("site-slot = \"8MiB\"", "site-slot = \"24MiB\"");
    product.write("notes.md", "# Shop 2\n\n- better\n");
    product.write("eula.txt", "You agree.\n");
    product.write("site/index.html", "<h1>Shop</h1>\n".repeat(90_000));
    product.build().expect("sound", 0, &[]);
    product
}

const BASE: &str = "out/sample-base-1.0.0.pkg";
const SHOP: &str = "out/shop-site-2.0.0.pkg";

fn member(package: &Path, name: &str) -> Vec<u8> {
    let output = Command::new("tar").arg("xOf").arg(package).arg(name).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn the_trust_store_printed_is_the_one_the_image_starts_with() {
    let product = built();
    let printed = bulkhead(["keys", "trust", &product.shown("keys"), "--product", "sample"]);
    printed.expect("trust", 0, &[]);
    let trust = TrustStore::parse(printed.stdout.as_bytes()).unwrap();
    assert!(trust.development_allowed(), "these are development keys");
    for (package, role) in [(BASE, Role::Base), (SHOP, Role::Site)] {
        let package = product.path(package);
        let (manifest, signatures) = (member(&package, "manifest.json"), member(&package, "manifest.sig"));
        formats::signature::verify(&manifest, &signatures, &trust, role).unwrap();
    }
    let other = bulkhead(["keys", "trust", &product.shown("keys"), "--product", "Not A Name"]);
    other.expect("a product that is no name", 3, &["product"]);
}

#[test]
fn footer_and_package_carry_the_same_bytes() {
    let product = built();
    assert_eq!(product.results(), ["sample-1.0.0.img", "sample-base-1.0.0.pkg", "shop-site-2.0.0.pkg"]);
    let image = OpenedImage::open(&product.image()).unwrap();
    for (label, package) in [("base-a", BASE), ("site-a", SHOP)] {
        let region = image.region(label).unwrap();
        let footer = image.footer(&region).unwrap().unwrap();
        let package = product.path(package);
        assert!(footer.manifest == member(&package, "manifest.json"), "{label}");
        assert!(footer.signatures == member(&package, "manifest.sig"), "{label}");
        let compressed = product.path("image.zst");
        fs::write(&compressed, member(&package, "image.zst")).unwrap();
        let unpacked = Command::new("zstd").arg("-dqc").arg(&compressed).output().unwrap().stdout;
        assert!(image.read(region.start, unpacked.len() as u64).unwrap() == unpacked, "{label}");
    }
    assert_eq!(member(&product.path(SHOP), "notes.md"), b"# Shop 2\n\n- better\n");
    assert_eq!(member(&product.path(SHOP), "eula.txt"), b"You agree.\n");
    assert_eq!(member(&product.path(BASE), "notes.md"), b"sample 1.0.0\n");
}

#[test]
fn without_packages_the_image_is_the_same() {
    let mut product = built();
    let image = fs::read(product.image()).unwrap();
    fs::remove_dir_all(product.path("out")).unwrap();
    product.extra = vec!["--no-packages".into()];
    product.build().expect("no packages", 0, &[]);
    assert_eq!(product.results(), ["sample-1.0.0.img"]);
    assert!(fs::read(product.image()).unwrap() == image);
}

#[test]
fn the_commands_of_the_manual_confirm_a_package() {
    let product = built();
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/package-format.md")).unwrap();
    let blocks: Vec<&str> = manual.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    for (package, public) in [(BASE, "keys/base.pub"), (SHOP, "keys/site.pub")] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new("sh")
            .arg("-exc")
            .arg(blocks.concat())
            .current_dir(folder.path())
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()))
            .env("PKG", product.path(package))
            .env("PUB", product.path(public))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{package}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("Signature Verified Successfully"), "{text}");
        assert!(text.starts_with("manifest.json\nmanifest.sig\nnotes.md\n"), "{text}");
    }
}

#[test]
fn verify_accepts_what_was_built_and_names_what_was_damaged() {
    let product = built();
    let verify = |name: &str| bulkhead(["verify", &product.shown(name), "--trust", &product.shown("keys")]);
    for name in [BASE, SHOP] {
        let outcome = verify(name);
        outcome.expect(name, 0, &[]);
        assert!(outcome.stdout.contains("good    hash tree"), "{}", outcome.stdout);
    }
    let good = fs::read(product.path(SHOP)).unwrap();
    let at = |text: &str| good.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let image = at("image.zst\0");
    let cases = [
        ("manifest", at("\"kind\""), "FAILED  signature"),
        ("notes", at("# Shop 2"), "FAILED  documents"),
        ("terms", at("You agree."), "FAILED  documents"),
        ("index", at("bulkhead-chunks"), "FAILED  documents"),
        ("image header", image + 130, "FAILED  image header"),
        ("first frame", image + 600, "FAILED  chunks"),
        ("end", good.len() - 1, "FAILED  chunks"),
    ];
    for (what, offset, expected) in cases {
        let mut bytes = good.clone();
        bytes[offset] ^= 0x02;
        product.write("damaged", &bytes);
        let outcome = verify("damaged");
        assert_eq!(outcome.code, Some(4), "{what}: {outcome:?}");
        assert!(outcome.stderr.contains("1 check failed"), "{what}: {}", outcome.stderr);
        assert!(outcome.stdout.contains(expected), "{what}: {}", outcome.stdout);
    }
    product.write("damaged", &good[..good.len() - 512]);
    assert!(verify("damaged").stdout.contains("FAILED  length"), "{}", verify("damaged").stdout);
    fs::copy(product.path("keys/base.pub"), product.path("site.pub")).unwrap();
    let strangers = bulkhead(["verify", &product.shown(SHOP), "--trust", &product.shown("")]);
    assert_eq!(strangers.code, Some(4), "{strangers:?}");
    assert!(strangers.stdout.contains("is unknown here"), "{}", strangers.stdout);
    let in_use = bulkhead(["verify", &product.shown(SHOP), "--trust", &product.shown("keys"), "--in-use"]);
    in_use.expect("in use", 3, &["a package never changes"]);
}

#[test]
fn inspect_shows_a_package_whatever_its_name_is() {
    let product = built();
    fs::rename(product.path(SHOP), product.path("renamed.img")).unwrap();
    let outcome = bulkhead(["inspect", &product.shown("renamed.img")]);
    outcome.expect("inspect", 0, &[]);
    for expected in ["site package shop 2.0.0", "# Shop 2", "You agree.", "by key ", "chunks"] {
        assert!(outcome.stdout.contains(expected), "{expected}: {}", outcome.stdout);
    }
    let facts = bulkhead(["inspect", "--json", &product.shown(BASE)]).stdout;
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["package"]["kind"], "base");
    assert_eq!(facts["components"]["update-agent"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn diff_says_what_changes_and_how_much_is_fetched() {
    let product = built();
    fs::copy(product.path(SHOP), product.path("old.pkg")).unwrap();
    product.edit("version = \"2.0.0\"", "version = \"2.1.0\"\nrequires-base = \">=1\"");
    product.write("site/news.html", "news");
    product.build().expect("the old base and image are in the way", 5, &["exists"]);
    fs::remove_dir_all(product.path("out")).unwrap();
    product.build().expect("next", 0, &[]);
    let (old, new) = (product.shown("old.pkg"), product.shown("out/shop-site-2.1.0.pkg"));
    let outcome = bulkhead(["diff", &old, &new]);
    outcome.expect("diff", 0, &[]);
    for expected in ["version: 2.0.0 -> 2.1.0\n", "requires base: any -> >=1\n", " chunks are in the old image: "] {
        assert!(outcome.stdout.contains(expected), "{expected}: {}", outcome.stdout);
    }
    let facts = |old: &str, new: &str| -> serde_json::Value {
        serde_json::from_str(&bulkhead(["diff", "--json", old, new]).stdout).unwrap()
    };
    let same = facts(&new, &new);
    assert_eq!(same["reuse"]["known"], same["reuse"]["chunks"]);
    assert!(same["facts"].as_array().unwrap().is_empty());
    let update = facts(&old, &new);
    assert!(update["reuse"]["fetch-bytes"].as_u64() <= update["reuse"]["package-bytes"].as_u64());
    bulkhead(["diff", &old, &product.shown("notes.md")]).expect("no package", 3, &["is not a package"]);
}

#[test]
fn texts_an_appliance_would_not_show_are_refused_before_the_build() {
    let long = "x".repeat(262_145);
    let texts =
        [(b"\x1b[2J".as_slice(), "control character"), (b"\xff", "not UTF-8"), (long.as_bytes(), "at most 262144")];
    for (text, word) in texts {
        let product = Product::new();
        product.edit("[keys]", "notes = \"notes.md\"\n\n[keys]");
        product.write("notes.md", text);
        product.build().expect(word, 3, &["product.notes: ", word]);
        assert_eq!(product.results(), [""; 0]);
    }
    let product = Product::new();
    product.edit("[keys]", "eula = \"eula.txt\"\n\n[keys]");
    product.build().expect("missing", 3, &["product.eula", "eula.txt"]);
}
