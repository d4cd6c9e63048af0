//! Appliances that want two signers, through the real program: image, packages, and the second person who signs on another machine.

#[path = "support/product.rs"]
mod product;
mod samples;

use std::fs;
use std::path::Path;
use std::process::Command;

use formats::trust::{Role, TrustStore};
use product::{Product, bulkhead};

const PACKAGE: &str = "out/sample-base-1.0.0.pkg";

/// The sample product, whose appliances want the signatures of its own keys and of Anna's.
fn for_two() -> Product {
    let product = Product::new();
    let anna = product.path("anna");
    builder::keys::generate(&anna, true, 1_767_225_600, "Anna", None).unwrap();
    product.edit("allow-development = true", "allow-development = true\nthreshold = 2\nco-signers = [\"anna\"]");
    product
}

/// What Anna's machine has and the build host has not.
fn without_annas_private_keys(product: &Product) {
    fs::create_dir(product.path("elsewhere")).unwrap();
    for name in product::names(&product.path("anna")) {
        fs::copy(product.path(&format!("anna/{name}")), product.path(&format!("elsewhere/{name}"))).unwrap();
        if Path::new(&name).extension().is_some_and(|end| end == "key") {
            fs::remove_file(product.path(&format!("anna/{name}"))).unwrap();
        }
    }
}

fn trust(product: &Product) -> TrustStore {
    let (keys, anna) = (product.shown("keys"), product.shown("anna"));
    let printed = bulkhead(["keys", "trust", &keys, "--product", "sample", "--co-signer", &anna, "--threshold", "2"]);
    printed.expect("trust", 0, &[]);
    TrustStore::parse(printed.stdout.as_bytes()).unwrap()
}

fn verified(product: &Product, package: &str) -> formats::Result<usize> {
    let file = fs::File::open(product.path(package)).unwrap();
    let opened =
        formats::package::Package::open(file, &trust(product), &[Role::Base]).map_err(|error| match error {
            formats::package::Error::Format(error) => error,
            formats::package::Error::Io(error) => panic!("{error}"),
        })?;
    Ok(opened.verified().signers().len())
}

fn member(product: &Product, package: &str, name: &str) -> Vec<u8> {
    let output = Command::new("tar").arg("xOf").arg(product.path(package)).arg(name).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn an_image_for_two_signers_carries_both_signatures_and_wants_both() {
    let product = for_two();
    product.build().expect("both keys are here", 0, &[]);
    let trust = trust(&product);
    assert_eq!([Role::Base, Role::Site, Role::Licence].map(|role| trust.threshold(role)), [Some(2); 3]);
    assert_eq!(trust.keys().len(), 6);
    assert!(trust.keys().values().any(|key| key.name == "base development key of Anna"), "{trust}");
    assert_eq!(verified(&product, PACKAGE).unwrap(), 2);
    let image = builder::opened::OpenedImage::open(&product.image()).unwrap();
    let slot = image.footer(&image.region("base-a").unwrap()).unwrap().unwrap();
    slot.verify(&trust, Role::Base).expect("the slot in the image starts");
    bulkhead(["verify", &product.image().display().to_string(), "--trust", &product.shown("keys")]).expect(
        "verify",
        0,
        &[],
    );
}

#[test]
fn without_the_second_private_key_there_is_no_image_and_a_package_counts_once_it_is_signed_elsewhere() {
    let mut product = for_two();
    without_annas_private_keys(&product);
    product.build().expect(
        "an image would not start",
        5,
        &["keys.threshold = 2", "anna\" has no base.key", "--packages-only", "bulkhead sign"],
    );
    assert_eq!(product.results(), [""; 0]);
    product.extra = vec!["--packages-only".into()];
    let built = product.build();
    built.expect("packages", 0, &[]);
    assert!(built.stdout.contains("needs 1 more signature"), "{}", built.stdout);
    assert_eq!(product.results(), ["sample-base-1.0.0.pkg"]);
    let refusal = verified(&product, PACKAGE).unwrap_err().to_string();
    assert!(refusal.contains("1 of 2 needed signature(s) for role base"), "{refusal}");

    let (package, signed) = (product.shown(PACKAGE), product.shown("signed.pkg"));
    let sign = |from: &str, keys: &str, to: &str| bulkhead(["sign", from, "--keys", &product.shown(keys), "-o", to]);
    let outcome = sign(&package, "elsewhere", &signed);
    outcome.expect("sign", 0, &[]);
    assert!(outcome.stdout.contains("base sample 1.0.0, 2 signature(s)"), "{}", outcome.stdout);
    assert_eq!(verified(&product, "signed.pkg").unwrap(), 2);
    bulkhead(["verify", &signed, "--trust", &product.shown("keys")]).expect("the whole of it", 0, &[]);
    // Nothing but the signatures has changed.
    for name in ["manifest.json", "notes.md", "sbom.cdx.json", "chunks.idx", "image.zst"] {
        let [before, after] = [PACKAGE, "signed.pkg"].map(|package| member(&product, package, name));
        assert!(before == after && !before.is_empty(), "{name}");
    }

    sign(&package, "elsewhere", &signed).expect("a file that is there", 5, &["signed.pkg\" exists"]);
    sign(&signed, "elsewhere", "/nowhere/x").expect("twice", 5, &["signed by the base key", "already"]);
    sign(&package, "anna", "/nowhere/x").expect("no private key", 3, &["has no base.key to sign a base package with"]);
    sign(&product.shown("recipe.toml"), "elsewhere", "/nowhere/x").expect("no package", 3, &["is not a package"]);
}

#[test]
fn a_package_that_is_damaged_is_not_signed() {
    let mut product = for_two();
    without_annas_private_keys(&product);
    product.extra = vec!["--packages-only".into()];
    product.build().expect("packages", 0, &[]);
    let mut package = fs::read(product.path(PACKAGE)).unwrap();
    let at = package.len() - 1024 - 2000;
    package[at] ^= 1;
    product.write("damaged.pkg", package);
    let (damaged, keys, to) = (product.shown("damaged.pkg"), product.shown("elsewhere"), product.shown("to.pkg"));
    bulkhead(["sign", &damaged, "--keys", &keys, "-o", &to]).expect(
        "damaged",
        3,
        &["\"image.zst\" is not the one its manifest lists"],
    );
    let left = product::names(product.path("to.pkg").parent().unwrap());
    assert!(left.iter().all(|name| name != "to.pkg" && !name.starts_with(".bulkhead-sign")), "{left:?}");
}

#[test]
fn signers_that_could_never_be_enough_are_refused_with_the_numbers() {
    for (line, words) in [
        ("threshold = 0", &["keys.threshold = 0 is not between 1 and 1"][..]),
        ("threshold = 2", &["keys.threshold = 2 is not between 1 and 1, the number of signers"]),
        ("co-signers = [\"nobody\"]", &["nobody/keys.json\" is missing"]),
        ("threshold = 2\nco-signers = [\"keys\"]", &["appears twice"]),
    ] {
        let product = Product::new();
        product.edit("allow-development = true", &format!("allow-development = true\n{line}"));
        product.build().expect(line, 3, words);
    }
    let product = Product::new();
    builder::keys::generate(&product.path("base/anna"), true, 1_767_225_600, "Anna", None).unwrap();
    product.edit("allow-development = true", "allow-development = true\nco-signers = [\"base/anna\"]");
    product.build().expect("keys in a layer", 3, &["has the private key", "keep the keys outside of it"]);
}
