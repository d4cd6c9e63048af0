//! What a base needs to boot, added to its tree: modules, initramfs, kernel images, signatures; and GRUB itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use formats::Digest;
use serde_json::json;

use super::inputs::Trees;
use crate::boot::grub::{self, GrubImages};
use crate::boot::initramfs::Archive;
use crate::boot::modules::{self, Selection};
use crate::boot::{authenticode, openpgp, uki};
use crate::keys::Keys;
use crate::plan::{Plan, SlotPlan};
use crate::recipe::Recipe;
use crate::tree::{Content, Kind, Node, Tree};
use crate::{Error, Result};

/// The finished trees and the digests of what went into them.
pub struct Contents {
    base: (Tree, Digest),
    site: Option<(Tree, Digest)>,
}

impl Contents {
    /// Each slot's plan, tree and build id.
    pub fn slots<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a SlotPlan, &'a Tree, Digest)> {
        let base = Some((&plan.base, &self.base.0, self.base.1));
        let site = plan.site.as_ref().zip(self.site.as_ref()).map(|(slot, (tree, id))| (slot, tree, *id));
        base.into_iter().chain(site)
    }
}

/// GRUB for both firmwares with our policy and our public key inside.
pub fn grub_images(recipe: &Recipe, keys: &Keys, scratch: &Path) -> Result<GrubImages> {
    let given = recipe.host.grub_modules.as_deref().map(|path| recipe.resolve(path));
    if let Some(folder) = &given
        && let Some(platform) =
            ["x86_64-efi", "i386-pc"].iter().find(|name| !folder.join(name).join("normal.mod").is_file())
    {
        let shown = folder.display();
        return Err(Error::input(format!(
            "host.grub-modules: \"{shown}\" has no \"{platform}/normal.mod\"; name the folder GRUB's packages install, or remove the key"
        )));
    }
    let modules = given.unwrap_or_else(|| PathBuf::from(GRUB_MODULES));
    let mut images = grub::images(&modules, &keys.openpgp, scratch)?;
    images.efi = authenticode::sign(&images.efi, &keys.boot, &keys.boot_certificate)?;
    Ok(images)
}

/// Adds programs, modules and boot files to the base; the site stays as its sources made it.
pub fn complete(recipe: &Recipe, plan: &Plan, keys: &Keys, trees: Trees) -> Result<Contents> {
    let Trees { mut base, site } = trees;
    let release = modules::release(&base)?;
    let kernel = take_kernel(&mut base, &release)?;
    let initramfs = modules::select(&base, &release, &recipe.kernel.initramfs_modules)?;
    keep_modules(recipe, &mut base, &release)?;
    let programs = Programs::read(recipe)?;
    base.insert("usr/bin/update-agent", Node::file(&programs.agent, 0o755, plan.created));
    super::depot::add(recipe, &mut base, plan.created)?;
    for directory in MOUNT_POINTS {
        ensure_directory(&mut base, directory, plan.created)?;
    }

    let trust = keys.trust_store(&plan.product)?.encode().map_err(Error::format("the trust store"))?;
    let mut config = json!({
        "format": 1, "product": plan.product, "version": plan.base.version,
        "disk-guid": plan.layout.gpt.disk_guid(), "watchdog-seconds": recipe.kernel.watchdog_seconds,
    });
    let os_release = os_release(plan);
    let build_id = Digest::of_parts([
        BUILD_ID,
        &release_digest(&plan.base).0,
        &base.digest()?.0,
        &Digest::of(&kernel).0,
        &Digest::of(&programs.init).0,
        &Digest::of(&programs.stub.1).0,
        &Digest::of(&trust).0,
        &Digest::of(config.to_string().as_bytes()).0,
        &Digest::of(os_release.as_bytes()).0,
        initramfs.list().as_bytes(),
        b"\0",
        plan.command_line.as_bytes(),
    ]);
    config["build-id"] = json!(build_id);
    let initrd = make_initramfs(plan, &programs.init, &trust, config.to_string().into_bytes(), &initramfs)?;
    let parts = uki::Parts {
        os_release: os_release.as_bytes(),
        command_line: &plan.command_line,
        kernel_release: &release,
        initrd: &initrd,
        kernel: &kernel,
    };
    add_boot_files(plan, keys, &mut base, &programs.stub, &parts)?;
    let site = match site.zip(plan.site.as_ref()) {
        Some((tree, slot)) => {
            let id = Digest::of_parts([BUILD_ID, &release_digest(slot).0, &tree.digest()?.0]);
            Some((tree, id))
        }
        None => None,
    };
    Ok(Contents { base: (base, build_id), site })
}

/// What tells two releases apart that hold the same files: appliances know builds by their ids.
fn release_digest(slot: &SlotPlan) -> Digest {
    let claims = json!({ "kind": slot.kind, "name": slot.name, "version": slot.version, "sequence": slot.sequence });
    Digest::of(claims.to_string().as_bytes())
}

/// Reads the kernel image and empties `/boot` as the packages left it: what boots is only what we sign.
fn take_kernel(base: &mut Tree, release: &str) -> Result<Vec<u8>> {
    let (path, content) = modules::kernel_image(base, release)?;
    let kernel = content.read_all(&path, KERNEL_LIMIT)?;
    let boot: BTreeSet<String> = base.below("boot").map(|(path, _)| path.clone()).collect();
    base.remove_all(&boot);
    Ok(kernel)
}

/// Keeps the modules the recipe asks for (those of the initramfs always), unless it asks for all.
fn keep_modules(recipe: &Recipe, base: &mut Tree, release: &str) -> Result<()> {
    if recipe.kernel.modules.iter().any(|name| name == "*") {
        return Ok(());
    }
    let mut names = recipe.kernel.initramfs_modules.clone();
    names.extend(recipe.kernel.modules.iter().cloned());
    modules::select(base, release, &names)?.prune(base)
}

/// The programs of the build host that go onto the device.
struct Programs {
    init: Vec<u8>,
    agent: Vec<u8>,
    /// What a unified kernel image starts with, and where it was.
    stub: (PathBuf, Vec<u8>),
}

impl Programs {
    fn read(recipe: &Recipe) -> Result<Self> {
        Ok(Self {
            init: program(recipe, recipe.host.init.as_deref(), "bulkhead-init", "init")?,
            agent: program(recipe, recipe.host.update_agent.as_deref(), "update-agent", "update-agent")?,
            stub: host_file(
                recipe,
                recipe.host.efi_stub.as_deref(),
                Path::new(EFI_STUB),
                "efi-stub",
                "run: apt-get install systemd-boot-efi",
            )?,
        })
    }
}

fn program(recipe: &Recipe, given: Option<&Path>, name: &str, key: &str) -> Result<Vec<u8>> {
    let usual = std::env::current_exe().map_err(Error::io("find", "this program"))?.with_file_name(name);
    let (path, bytes) = host_file(recipe, given, &usual, key, "build it (README, \"Your own appliance\")")?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Error::input(format!("host.{key}: \"{}\" is not an ELF program", path.display())));
    }
    Ok(bytes)
}

/// Reads a file of the build host: the one the recipe names, else the usual one.
fn host_file(recipe: &Recipe, given: Option<&Path>, usual: &Path, key: &str, cure: &str) -> Result<(PathBuf, Vec<u8>)> {
    let path = given.map_or_else(|| usual.to_owned(), |path| recipe.resolve(path));
    let bytes = std::fs::read(&path).map_err(|cause| match (cause.kind(), given) {
        (std::io::ErrorKind::NotFound, None) => {
            Error::Environment(format!("\"{}\" does not exist; {cure}, or set host.{key}", path.display()))
        }
        (std::io::ErrorKind::NotFound, Some(_)) => Error::input(format!(
            "host.{key}: \"{}\" does not exist; correct the path or remove the key",
            path.display()
        )),
        _ => Error::Io { action: "read", path: path.clone(), source: cause },
    })?;
    Ok((path, bytes))
}

fn make_initramfs(plan: &Plan, init: &[u8], trust: &[u8], config: Vec<u8>, modules: &Selection) -> Result<Vec<u8>> {
    // The recipe's checks keep the time within 32 bits.
    let mut archive = Archive::new(u32::try_from(plan.created).unwrap_or(0));
    for directory in ["dev", "proc", "sys", "run", "new"] {
        archive.directory(directory, 0o755)?;
    }
    archive.file("init", 0o755, Content::Bytes(init.into()))?;
    archive.file("etc/bulkhead/trust.json", 0o644, Content::Bytes(trust.into()))?;
    archive.file("etc/bulkhead/build.json", 0o644, Content::Bytes(config.into()))?;
    modules.add_to(&mut archive)?;
    archive.compressed()
}

/// `/boot`: the unified kernel image, and for BIOS the command line and the places of kernel and initramfs in that image; each with the
/// detached signature GRUB demands.
fn add_boot_files(
    plan: &Plan,
    keys: &Keys,
    base: &mut Tree,
    (stub_path, stub): &(PathBuf, Vec<u8>),
    parts: &uki::Parts<'_>,
) -> Result<()> {
    let image = uki::assemble(stub, parts).map_err(|error| match error {
        Error::Input(text) => Error::input(format!("EFI stub \"{}\": {text}", stub_path.display())),
        Error::Format { source, .. } => Error::format(format!("EFI stub \"{}\"", stub_path.display()))(source),
        other => other,
    })?;
    let image = authenticode::sign(&image, &keys.boot, &keys.boot_certificate)?;
    ensure_directory(base, "boot", plan.created)?;
    let environment = grub::slot_env(parts.command_line, &uki::places(&image)?)?;
    for (name, bytes) in [("uki.efi", image), ("slot.env", environment)] {
        let signature = openpgp::sign(&keys.boot, &keys.openpgp_key, &bytes, plan.created)?;
        base.insert(format!("boot/{name}"), Node::file(bytes, 0o644, plan.created));
        base.insert(format!("boot/{name}.sig"), Node::file(signature, 0o644, plan.created));
    }
    Ok(())
}

/// The `.osrel` section: os-release(5), values quoted for the shell as it demands.
fn os_release(plan: &Plan) -> String {
    let mut title = String::with_capacity(plan.title.len());
    for character in plan.title.chars() {
        if matches!(character, '"' | '$' | '`' | '\\') {
            title.push('\\');
        }
        title.push(character);
    }
    let (product, version) = (&plan.product, &plan.base.version);
    format!("ID={product}\nNAME=\"{title}\"\nVERSION_ID=\"{version}\"\nPRETTY_NAME=\"{title} {version}\"\n")
}

/// Makes sure a directory exists.
fn ensure_directory(tree: &mut Tree, path: &str, mtime: i64) -> Result<()> {
    match tree.lookup(path).map(|(_, node)| matches!(node.kind, Kind::Directory)) {
        Some(true) => Ok(()),
        Some(false) => {
            Err(Error::input(format!("\"/{path}\" in the base is not a directory, but the appliance needs one")))
        }
        None => {
            tree.insert(path, Node::directory(mtime));
            Ok(())
        }
    }
}

/// Where the initramfs program mounts something, or programs of ours live.
const MOUNT_POINTS: [&str; 9] = ["data", "dev", "proc", "run", "site", "sys", "tmp", "usr", "usr/bin"];
/// Debian's place of GRUB's modules.
const GRUB_MODULES: &str = "/usr/lib/grub";
/// Debian's place of systemd's stub.
const EFI_STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// Domain of build ids.
const BUILD_ID: &[u8] = b"bulkhead-build-id-v2\0";
/// Far above any compressed kernel; bounds memory.
const KERNEL_LIMIT: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_break_out_of_its_quotes() {
        let text = include_str!("../../tests/data/plan.toml").replace("Demo Appliance", "A \\\"b\\\" $(c) `d` \\\\e");
        let plan = Plan::new(&Recipe::from_text(&text, "plan.toml", Path::new(".")).unwrap()).unwrap();
        assert!(os_release(&plan).contains("\nNAME=\"A \\\"b\\\" \\$(c) \\`d\\` \\\\e\"\n"), "{}", os_release(&plan));
    }

    #[test]
    fn releases_with_the_same_files_are_told_apart() {
        let text = include_str!("../../tests/data/plan.toml");
        let plan = Plan::new(&Recipe::from_text(text, "plan.toml", Path::new(".")).unwrap()).unwrap();
        let site = plan.site.unwrap();
        let of = |change: fn(&mut SlotPlan)| {
            let mut other = site.clone();
            change(&mut other);
            release_digest(&other)
        };
        let different = [
            of(|_| ()),
            of(|slot| slot.version.patch += 1),
            of(|slot| slot.sequence += 1),
            of(|slot| slot.name.push('x')),
            release_digest(&plan.base),
        ];
        assert_eq!(different.iter().collect::<BTreeSet<_>>().len(), different.len());
        assert_eq!(release_digest(&site), release_digest(&site.clone()));
    }
}
