//! Hash trees beside `veritysetup`, signatures beside `openssl`: tools we did not write agree byte for byte.

mod tool;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePublicKey as _, KeypairBytes};
use ed25519_dalek::{Signature, SigningKey};
use formats::manifest::{Effects, FORMAT, Kind, LicenceInfo, Manifest, Requires};
use formats::signature::{SignatureSet, message, sign};
use formats::trust::{Role, TrustStore, TrustedKey, key_id};
use formats::verity::{
    BLOCK_SIZE, BlockHasher, Checker, Fault, Layout, Parameters, Superblock, Tree, TreeBuilder, zero_leaf,
};
use formats::{Digest, Guid};
use tool::have;

fn run(tool: &str, arguments: &[&str]) -> Output {
    Command::new(tool).args(arguments).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn params(data_blocks: u64) -> Parameters {
    Parameters { data_blocks, salt: Digest::of(b"salt").0, uuid: Guid::derive("oracle", "verity") }
}

/// Data in which most blocks differ and every fifth is zero, with its tree, leaves set from the last to the first.
fn image(data_blocks: u64) -> (Vec<u8>, Tree) {
    let params = params(data_blocks);
    let (hasher, zero) = (BlockHasher::new(&params.salt), zero_leaf(&params.salt));
    let mut builder = TreeBuilder::new(params).unwrap();
    let mut data = vec![0; usize::try_from(data_blocks).unwrap() * BLOCK_SIZE];
    for (block, index) in data.as_chunks_mut::<BLOCK_SIZE>().0.iter_mut().rev().zip((0..data_blocks).rev()) {
        if index % 5 == 4 {
            builder.set_leaf(index, zero).unwrap();
            continue;
        }
        block[..8].copy_from_slice(&index.to_le_bytes());
        block[BLOCK_SIZE - 1] = 0xff;
        builder.set_leaf(index, hasher.hash(block)).unwrap();
    }
    (data, builder.finish().unwrap())
}

const SIZES: [u64; 8] = [1, 2, 127, 128, 129, 1000, 128 * 128, 128 * 128 + 1];

#[test]
fn trees_are_byte_identical_with_veritysetup_format() {
    if !have("veritysetup") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data_file, hash_file) = (folder.path().join("data"), folder.path().join("hash"));
    for data_blocks in SIZES {
        let (data, tree) = image(data_blocks);
        fs::write(&data_file, &data).unwrap();
        fs::write(&hash_file, b"").unwrap();
        let Parameters { salt, uuid, .. } = params(data_blocks);
        let (salt, uuid) = (format!("--salt={}", hex::encode(salt)), format!("--uuid={uuid}"));
        let said = succeeded(&run("veritysetup", &["format", &salt, &uuid, text(&data_file), text(&hash_file)]));
        assert!(said.contains(&format!("Root hash:      \t{}", tree.root)), "{data_blocks} blocks: {said}");
        let theirs = fs::read(&hash_file).unwrap();
        assert!(theirs == tree.bytes, "{data_blocks} blocks: {} and {} bytes differ", theirs.len(), tree.bytes.len());
        assert_eq!(Superblock::parse(&theirs).unwrap().0, params(data_blocks));
    }
}

/// In one file as in a slot: data, superblock, tree.
#[test]
fn veritysetup_verifies_our_image_and_finds_what_we_find() {
    if !have("veritysetup") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slot");
    for data_blocks in SIZES {
        let (data, tree) = image(data_blocks);
        let mut slot = [data, tree.bytes].concat();
        let offset = format!("--hash-offset={}", data_blocks * 4096);
        let verify = |slot: &[u8]| {
            fs::write(&file, slot).unwrap();
            run("veritysetup", &["verify", &offset, text(&file), text(&file), &tree.root.to_string()])
        };
        succeeded(&verify(&slot));
        assert_eq!(check(&slot, data_blocks, tree.root), None);
        let layout = Layout::new(data_blocks).unwrap();
        let tree_blocks = [layout.hash_start(), layout.total_blocks() - 1];
        let in_tree = tree_blocks.into_iter().filter(|_| layout.tree_blocks() > 0);
        for block in [0, data_blocks - 1].into_iter().chain(in_tree) {
            let place = usize::try_from(block).unwrap() * BLOCK_SIZE + 17;
            slot[place] ^= 1;
            assert!(!verify(&slot).status.success(), "{data_blocks} blocks, block {block}");
            let found = check(&slot, data_blocks, tree.root);
            assert!(
                matches!(found, Some(Fault::Data { block: b } | Fault::Tree { block: b, .. }) if b == block),
                "{found:?}"
            );
            slot[place] ^= 1;
        }
    }
}

fn check(slot: &[u8], data_blocks: u64, root: Digest) -> Option<Fault> {
    let read = |block: u64, buffer: &mut [u8; BLOCK_SIZE]| {
        let blocks = slot.as_chunks::<BLOCK_SIZE>().0;
        *buffer = *blocks.get(usize::try_from(block).unwrap()).ok_or("beyond the end")?;
        Ok::<(), &str>(())
    };
    Checker::new(&params(data_blocks), root).unwrap().run(read).unwrap()
}

fn manifest() -> Vec<u8> {
    let manifest = Manifest {
        format: FORMAT,
        required: vec![],
        kind: Kind::Licence,
        product: "demo".into(),
        hardware: vec![],
        name: "demo-licence".into(),
        version: "1.0.0".parse().unwrap(),
        build_id: Digest::of(b"build"),
        sequence: 1,
        requires: Requires::default(),
        effects: Effects::default(),
        image: None,
        members: BTreeMap::new(),
        created: 0,
        support_end: None,
        site: None,
        licence: Some(LicenceInfo { count: Some(1), ..LicenceInfo::default() }),
        health: Vec::new(),
        trial: None,
        development: false,
    };
    manifest.encode().unwrap()
}

/// The recipe of the module documentation, run by a shell.
#[test]
fn openssl_verifies_our_signature_by_the_documented_message() {
    if !have("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::from_bytes(&[5; 32]);
    let bytes = manifest();
    let set = SignatureSet::parse(&sign(&bytes, std::slice::from_ref(&key)).unwrap()).unwrap();
    fs::write(folder.path().join("manifest.json"), &bytes).unwrap();
    fs::write(folder.path().join("signature"), set.signatures()[0].signature.to_bytes()).unwrap();
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    fs::write(folder.path().join("base.pub"), public).unwrap();
    let script = "(printf 'bulkhead-manifest-v1\\0'; openssl dgst -sha256 -binary manifest.json) >message
        openssl pkeyutl -verify -pubin -inkey base.pub -rawin -in message -sigfile signature";
    let verify = || Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().unwrap();
    assert!(succeeded(&verify()).contains("Signature Verified Successfully"));
    assert_eq!(fs::read(folder.path().join("message")).unwrap(), message(&bytes));
    fs::write(folder.path().join("manifest.json"), [bytes.as_slice(), b" "].concat()).unwrap();
    assert!(!verify().status.success());
}

#[test]
fn we_verify_a_signature_made_by_openssl_with_our_key_file() {
    if !have("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [key_file, message_file, signature_file] =
        ["base.key", "message", "signature"].map(|name| folder.path().join(name));
    let key = SigningKey::from_bytes(&[6; 32]);
    // PKCS#8 version 1, without the public half: OpenSSL 3.0 cannot read version 2.
    let pair = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    fs::write(&key_file, ed25519_dalek::pkcs8::EncodePrivateKey::to_pkcs8_pem(&pair, LineEnding::LF).unwrap()).unwrap();
    let bytes = manifest();
    fs::write(&message_file, message(&bytes)).unwrap();
    let arguments = ["pkeyutl", "-sign", "-inkey", text(&key_file), "-rawin", "-in", text(&message_file), "-out"];
    succeeded(&run("openssl", &[&arguments[..], &[text(&signature_file)]].concat()));
    let signature = Signature::from_slice(&fs::read(&signature_file).unwrap()).unwrap();

    let public = key.verifying_key();
    let one = formats::signature::OneSignature { key_id: key_id(&public), signature };
    let set = SignatureSet::new(vec![one]).unwrap().encode().unwrap();
    assert_eq!(set, sign(&bytes, &[key]).unwrap(), "ed25519 is deterministic");
    let trusted = TrustedKey { role: Role::Licence, public, development: false, expires: None, name: "openssl".into() };
    let store = TrustStore::new("demo", vec![trusted], [(Role::Licence, 1)].into(), false).unwrap();
    let verified = formats::signature::verify(&bytes, &set, &store, Role::Licence).unwrap();
    assert_eq!(verified.signers()[0].name, "openssl");
}
