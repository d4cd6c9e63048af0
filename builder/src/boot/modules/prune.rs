//! A tree reduced to the chosen modules, with the indexes `modprobe` reads (modules.dep(5)) written for exactly these.

use std::collections::{BTreeMap, BTreeSet};

use super::{Module, Selection, stem};
use crate::Result;
use crate::tree::{Node, Tree, path};

impl Selection {
    /// Removes every other module of this kernel and the directories that become empty, and writes `modules.dep` and
    /// `modules.alias` anew. Binary indexes are removed: both kmod and busybox read the texts when those are missing.
    pub fn prune(&self, tree: &mut Tree) -> Result<()> {
        let keep: BTreeSet<&str> = self.modules.iter().map(|module| module.path.as_str()).collect();
        let stale =
            |name: &str| name.starts_with("modules.") && (name.strip_suffix(".bin").is_some() || STALE.contains(&name));
        let gone: BTreeSet<String> = tree
            .below(&self.directory)
            .map(|(path, _)| path)
            .filter(|path| {
                let name = path::name(path);
                (stem(name).is_some() && !keep.contains(path.as_str())) || stale(name)
            })
            .cloned()
            .collect();
        tree.remove_all(&gone);
        self.remove_empty_directories(tree);
        let mtime = tree.nodes.get(&self.directory).map_or(0, |node| node.mtime);
        for (name, text) in [("modules.dep", self.modules_dep()), ("modules.alias", self.modules_alias())] {
            tree.insert(path::join(&self.directory, name), Node::file(text, 0o644, mtime));
        }
        Ok(())
    }

    /// `modules.dep`: each module with everything it needs, the last to be loaded first.
    pub fn modules_dep(&self) -> String {
        let by_name: BTreeMap<&str, &Module> =
            self.modules.iter().map(|module| (module.name.as_str(), module)).collect();
        let mut lines = Vec::new();
        for module in &self.modules {
            let mut needed = BTreeSet::new();
            let mut open = vec![module];
            while let Some(next) = open.pop() {
                for name in &next.depends {
                    if let Some(module) = by_name.get(name.as_str())
                        && needed.insert(name.as_str())
                    {
                        open.push(module);
                    }
                }
            }
            let mut line = format!("{}:", self.relative(module));
            for other in self.modules.iter().rev().filter(|other| needed.contains(other.name.as_str())) {
                line.push(' ');
                line.push_str(self.relative(other));
            }
            lines.push(line + "\n");
        }
        lines.sort();
        lines.concat()
    }

    /// `modules.alias`: by which names the kernel asks for each module.
    fn modules_alias(&self) -> String {
        let lines = self
            .modules
            .iter()
            .flat_map(|module| module.aliases.iter().map(|alias| format!("alias {alias} {}\n", module.name)));
        lines.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The path of a module below the modules directory.
    fn relative<'a>(&self, module: &'a Module) -> &'a str {
        module.path.strip_prefix(&self.directory).unwrap_or(&module.path).trim_start_matches('/')
    }

    fn remove_empty_directories(&self, tree: &mut Tree) {
        let full: BTreeSet<&str> = tree
            .below(&self.directory)
            .filter(|(_, node)| !node.is_directory())
            .flat_map(|(path, _)| path::ancestors(path))
            .collect();
        let empty: BTreeSet<String> = tree
            .below(&self.directory)
            .filter(|(path, node)| node.is_directory() && !full.contains(path.as_str()))
            .map(|(path, _)| path.clone())
            .collect();
        tree.remove_all(&empty);
    }
}

/// Indexes made by depmod that name modules which are no longer there.
const STALE: [&str; 5] = ["modules.dep", "modules.alias", "modules.symbols", "modules.softdep", "modules.devname"];
