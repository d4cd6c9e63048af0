//! The modules of one kernel in a tree, by name and by alias; reads a module only when something asks for it.

use std::collections::BTreeSet;

use super::elf::{self, ModuleInfo};
use super::{ByName, Found, Module, normal, plain, stem};
use crate::tree::{Content, Tree, path};
use crate::{Error, Result};

/// Every module of one kernel release.
pub(super) struct Index<'a> {
    pub release: String,
    /// The real path of the modules directory.
    pub directory: String,
    tree: &'a Tree,
    paths: ByName<String>,
    built_in: BTreeSet<String>,
    infos: ByName<ModuleInfo>,
    contents: ByName<Content>,
    /// Exact aliases → module; filled when a name is first looked for among them.
    aliases: Option<ByName<String>>,
}

impl<'a> Index<'a> {
    pub fn new(tree: &'a Tree, release: &str) -> Result<Self> {
        let Some((directory, _)) =
            tree.lookup(&format!("lib/modules/{release}")).filter(|(_, node)| node.is_directory())
        else {
            let known = super::releases(tree).join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(Error::Input(format!("no modules of kernel {release} in \"/lib/modules\"; there: {known}")));
        };
        let mut paths = ByName::new();
        for (path, node) in tree.below(&directory).filter(|(_, node)| !node.is_directory()) {
            let Some(name) = stem(path::name(path)) else { continue };
            if matches!(node.kind, crate::tree::Kind::Symlink(_)) {
                continue;
            }
            if let Some(other) = paths.insert(normal(name), path.clone()) {
                return Err(Error::Input(format!(
                    "kernel {release} has one module twice: \"/{other}\" and \"/{path}\""
                )));
            }
        }
        let built_in = built_in(tree, &directory)?;
        let (infos, contents) = (ByName::new(), ByName::new());
        let release = release.to_owned();
        Ok(Self { release, directory, tree, paths, built_in, infos, contents, aliases: None })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.paths.keys().map(String::as_str)
    }

    /// What `name`, with underscores, stands for: a module, something built in, an alias of either.
    pub fn find(&mut self, name: &str) -> Result<Found> {
        if self.paths.contains_key(name) {
            return Ok(Found::Module(name.to_owned()));
        }
        if self.built_in.contains(name) {
            return Ok(Found::BuiltIn);
        }
        if self.aliases.is_none() {
            self.aliases = Some(self.read_aliases()?);
        }
        Ok(self
            .aliases
            .as_ref()
            .and_then(|aliases| aliases.get(name))
            .map_or(Found::Nothing, |name| Found::Module(name.clone())))
    }

    /// What the module `name` says about itself.
    pub fn info(&mut self, name: &str) -> Result<ModuleInfo> {
        if let Some(info) = self.infos.get(name) {
            return Ok(info.clone());
        }
        let (path, content) = self.stored(name)?;
        let content = plain(&path, &content)?;
        let info = elf::read(&content).map_err(|why| Error::Input(format!("kernel module \"/{path}\" {why}")))?;
        self.infos.insert(name.to_owned(), info.clone());
        self.contents.insert(name.to_owned(), content);
        Ok(info)
    }

    /// The chosen module `name`.
    pub fn module(&mut self, name: &str) -> Result<Module> {
        let info = self.info(name)?;
        let (path, stored) = self.stored(name)?;
        let content = match self.contents.get(name) {
            Some(content) => content.clone(),
            None => plain(&path, &stored)?,
        };
        let file_name = format!("{}.ko", stem(path::name(&path)).unwrap_or(name));
        let depends = info.depends.into_iter().filter(|name| self.paths.contains_key(name)).collect();
        Ok(Module { name: name.to_owned(), file_name, path, content, depends, aliases: info.aliases })
    }

    /// A module's path and its bytes as stored.
    fn stored(&self, name: &str) -> Result<(String, Content)> {
        let path = self.paths.get(name);
        let found = path.and_then(|path| Some((path.clone(), self.tree.file(path)?.clone())));
        found.ok_or_else(|| Error::Bug(format!("module \"{name}\" is indexed but not there")))
    }

    /// Aliases without wildcards of every module. Memory stays flat: contents are dropped again.
    fn read_aliases(&mut self) -> Result<ByName<String>> {
        let mut aliases = ByName::new();
        for (name, path) in &self.paths {
            let Some(content) = self.tree.file(path) else { continue };
            let info = elf::read(&plain(path, content)?)
                .map_err(|why| Error::Input(format!("kernel module \"/{path}\" {why}")))?;
            for alias in info.aliases.iter().filter(|alias| !alias.contains(['*', '?', '['])) {
                aliases.entry(normal(alias)).or_insert_with(|| name.clone());
            }
        }
        Ok(aliases)
    }
}

/// Names and aliases of what is built into the kernel, by `modules.builtin` and `modules.builtin.modinfo`.
fn built_in(tree: &Tree, directory: &str) -> Result<BTreeSet<String>> {
    let read = |name: &str| match tree.file(&path::join(directory, name)) {
        Some(content) => content.read_all(name, MAX_INDEX),
        None => Ok(Vec::new()),
    };
    let list = read("modules.builtin")?;
    let list = String::from_utf8_lossy(&list);
    let mut names: BTreeSet<String> =
        list.lines().filter_map(|line| stem(path::name(line.trim()))).map(normal).collect();
    for text in read("modules.builtin.modinfo")?.split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(text);
        let Some((key, value)) = text.split_once('=') else { continue };
        if key.strip_suffix(".alias").is_some() && !value.contains(['*', '?', '[']) {
            names.insert(normal(value));
        }
    }
    Ok(names)
}

/// Largest index file of a kernel that is read.
const MAX_INDEX: u64 = 16 << 20;
