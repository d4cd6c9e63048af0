//! Kernel modules chosen by name, with everything they need, decided when the image is built.
//!
//! The initramfs program loads a list in order and resolves nothing, so [`select`] follows `depends` and soft dependencies (including
//! aliases such as `crc32c`) to a closed list. Modules are never changed: Debian signs them and a kernel in lockdown checks. `-` and `_`
//! are the same in names. [`Selection::prune`] reduces a tree to what was chosen and writes the indexes `modprobe` reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::initramfs::Archive;
use crate::nearest;
use crate::source::spool::{Compression, unpacker};
use crate::tree::{Content, Tree, path};
use crate::{Error, Result};

mod elf;
mod index;
mod prune;

use index::Index;

/// One chosen module.
#[derive(Debug, Clone)]
pub struct Module {
    /// Name as the kernel knows it: `dm_verity`.
    pub name: String,
    /// Name of the uncompressed file: `dm-verity.ko`.
    pub file_name: String,
    /// Where it is in the tree it was selected from.
    pub path: String,
    /// Its bytes, uncompressed.
    pub content: Content,
    /// What must be loaded before, directly, by name.
    pub depends: Vec<String>,
    aliases: Vec<String>,
}

/// Chosen modules in an order in which they can be loaded.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Kernel release, for example `6.1.0-40-cloud-amd64`.
    pub release: String,
    /// The modules; each comes after what it depends on.
    pub modules: Vec<Module>,
    /// The modules directory in the tree.
    directory: String,
}

/// Chooses `names` and everything they need from the modules of kernel `release` in `tree`. Names that are built into the kernel
/// need no module and are accepted.
pub fn select(tree: &Tree, release: &str, names: &[String]) -> Result<Selection> {
    let mut index = Index::new(tree, release)?;
    let mut order = Order::default();
    for name in names {
        let wanted = normal(name);
        match index.find(&wanted)? {
            Found::Module(name) => order.visit(&mut index, &name, &mut Vec::new())?,
            Found::BuiltIn => {}
            Found::Nothing => {
                let hint = nearest::hint(&wanted, index.names());
                return Err(Error::Input(format!("kernel {release} has no module \"{name}\"{hint}")));
            }
        }
    }
    let directory = index.directory.clone();
    let modules = order.names.iter().map(|name| index.module(name)).collect::<Result<_>>()?;
    Ok(Selection { release: release.to_owned(), modules, directory })
}

/// The kernel releases that have modules in `tree`.
pub fn releases(tree: &Tree) -> Vec<String> {
    let Some((directory, _)) = tree.lookup("lib/modules") else { return Vec::new() };
    let below = tree.below(&directory).filter(|(path, node)| node.is_directory() && path::parent(path) == directory);
    below.map(|(path, _)| path::name(path).to_owned()).collect()
}

/// The one kernel release of `tree`.
pub fn release(tree: &Tree) -> Result<String> {
    match releases(tree).as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            Err(Error::input("the base has no kernel: no directory below \"/lib/modules\"; add a linux-image package"))
        }
        several => {
            let list = several.join(", ");
            Err(Error::Input(format!(
                "the base has several kernels ({list}); keep one: exclude the others' \"usr/lib/modules/RELEASE\" in their layer"
            )))
        }
    }
}

/// The kernel image of `release`: its path in the tree and its bytes.
pub fn kernel_image(tree: &Tree, release: &str) -> Result<(String, Content)> {
    for path in [format!("boot/vmlinuz-{release}"), format!("lib/modules/{release}/vmlinuz")] {
        if let (Some((real, _)), Some(content)) = (tree.lookup(&path), tree.file(&path)) {
            return Ok((real, content.clone()));
        }
    }
    Err(Error::Input(format!("the base has modules but no kernel image for {release}: no \"/boot/vmlinuz-{release}\"")))
}

impl Selection {
    /// File names in load order, one per line: `/lib/modules/list` of the initramfs.
    pub fn list(&self) -> String {
        self.modules.iter().fold(String::new(), |list, module| list + &module.file_name + "\n")
    }

    /// Puts the modules and their list into an initramfs.
    pub fn add_to(&self, archive: &mut Archive) -> Result<()> {
        for module in &self.modules {
            archive.file(&format!("lib/modules/{}", module.file_name), 0o644, module.content.clone())?;
        }
        archive.file("lib/modules/list", 0o644, Content::Bytes(self.list().into_bytes().into()))
    }
}

/// What a name stands for.
enum Found {
    /// The module with this name.
    Module(String),
    /// Part of the kernel image.
    BuiltIn,
    /// Neither.
    Nothing,
}

/// A depth-first walk that lists each module after everything it needs.
#[derive(Default)]
struct Order {
    names: Vec<String>,
    seen: BTreeSet<String>,
}

impl Order {
    fn visit(&mut self, index: &mut Index<'_>, name: &str, above: &mut Vec<String>) -> Result<()> {
        if above.iter().any(|other| other == name) {
            return Err(Error::Input(format!("kernel modules depend on each other: {} to {name}", above.join(" to "))));
        }
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let info = index.info(name)?;
        above.push(name.to_owned());
        for needed in &info.depends {
            match index.find(needed)? {
                Found::Module(needed) => self.visit(index, &needed, above)?,
                Found::BuiltIn => {}
                Found::Nothing => {
                    let release = &index.release;
                    let text = format!("module \"{name}\" needs \"{needed}\", which kernel {release} does not have");
                    return Err(Error::Input(text));
                }
            }
        }
        self.visit_soft(index, &info.before, above)?;
        self.names.push(name.to_owned());
        above.pop();
        self.visit_soft(index, &info.after, above)
    }

    /// Soft dependencies count when they exist and do not lead back here.
    fn visit_soft(&mut self, index: &mut Index<'_>, names: &[String], above: &mut Vec<String>) -> Result<()> {
        for name in names {
            if let Found::Module(found) = index.find(name)?
                && !leads_back(index, &found, above)?
            {
                self.visit(index, &found, above)?;
            }
        }
        Ok(())
    }
}

/// True when `name` is or needs one of the modules in `above`, which are about to be loaded.
fn leads_back(index: &mut Index<'_>, name: &str, above: &[String]) -> Result<bool> {
    let mut open = vec![name.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if above.contains(&name) {
            return Ok(true);
        }
        if !seen.insert(name.clone()) {
            continue;
        }
        for needed in index.info(&name)?.depends {
            if let Found::Module(found) = index.find(&needed)? {
                open.push(found);
            }
        }
    }
    Ok(false)
}

/// The name of a module as the kernel writes it.
fn normal(name: &str) -> String {
    name.trim().replace('-', "_")
}

/// The file name without `.ko` and compression, if it is a module's.
fn stem(file_name: &str) -> Option<&str> {
    let name = [".xz", ".zst", ".gz"].iter().find_map(|end| file_name.strip_suffix(end)).unwrap_or(file_name);
    name.strip_suffix(".ko")
}

/// The bytes of a module, uncompressed: as they are in the tree when that is how they are stored.
fn plain(path: &str, content: &Content) -> Result<Content> {
    let head = content.read_range(0, 6)?;
    let wrong = |why: String| Error::Input(format!("kernel module \"/{path}\" {why}"));
    let compression = Compression::detect(&head).map_err(wrong)?;
    if compression == Compression::Plain {
        return Ok(content.clone());
    }
    let mut bytes = Vec::new();
    unpacker(content.reader()?, compression)
        .and_then(|unpacked| unpacked.take(MAX_MODULE + 1).read_to_end(&mut bytes))
        .map_err(|cause| wrong(format!("cannot be unpacked: {cause}")))?;
    if bytes.len() as u64 > MAX_MODULE {
        return Err(wrong(format!("unpacks to more than {} MiB", MAX_MODULE >> 20)));
    }
    Ok(Content::Bytes(bytes.into()))
}

/// Largest module that is unpacked into memory; amdgpu, the largest of Debian, has about 20 MiB.
const MAX_MODULE: u64 = 64 << 20;

/// Modules by name.
type ByName<T> = BTreeMap<String, T>;
