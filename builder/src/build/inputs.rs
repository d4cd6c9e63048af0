//! Layers of the recipe into merged trees.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Progress;
use crate::plan::Plan;
use crate::recipe::{Layer, Recipe};
use crate::source::deb::Control;
use crate::source::{Context, Mmdebstrap, Source, Spool};
use crate::tree::{self, Tree, path};
use crate::{Error, Result};

/// The merged trees of both slots, as their sources describe them.
pub struct Trees {
    /// The base.
    pub base: Tree,
    /// The site, if there is one.
    pub site: Option<Tree>,
}

/// Loads every layer, and says which Debian packages are in base and site; `scratch` holds the spool of compressed sources.
pub fn load(
    recipe: &Recipe,
    plan: &Plan,
    scratch: &Path,
    progress: &mut dyn Progress,
) -> Result<(Trees, [BTreeSet<Control>; 2])> {
    let mut context = Context {
        spool: Spool::new(scratch)?,
        cache: scratch.to_owned(),
        source_date_epoch: plan.created,
        packages: BTreeSet::new(),
    };
    let base = merged(recipe, "base", &recipe.base.layers, &mut context, progress)?;
    let base_packages = std::mem::take(&mut context.packages);
    let site = match &recipe.site {
        Some(site) => Some(merged(recipe, "site", &site.layers, &mut context, progress)?),
        None => None,
    };
    Ok((Trees { base, site }, [base_packages, context.packages]))
}

fn merged(
    recipe: &Recipe,
    slot: &str,
    layers: &[Layer],
    context: &mut Context,
    progress: &mut dyn Progress,
) -> Result<Tree> {
    let mut loaded = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let source = source(recipe, layer, &format!("[[{slot}.layer]] number {}", index + 1))?;
        progress.stage(&format!("reading {slot} layer {} of {}: {source}", index + 1, layers.len()));
        let mut loaded_layer = source.load_layer(context)?;
        let unmatched = loaded_layer.tree.exclude(&layer.exclude);
        if let Some(path) = unmatched.first() {
            return Err(Error::input(format!(
                "[[{slot}.layer]] number {} excludes \"{path}\", but {} has nothing there; remove it from exclude",
                index + 1,
                loaded_layer.name
            )));
        }
        if let Some(path) = &layer.directory {
            for keys in std::iter::once(&recipe.keys.directory).chain(&recipe.keys.co_signers) {
                refuse_own_keys(&recipe.resolve(path), &recipe.resolve(keys), &loaded_layer.tree)?;
            }
            refuse_own_output(&recipe.resolve(path), &context.cache, &loaded_layer.tree)?;
        }
        loaded.push(loaded_layer);
    }
    let tree = tree::merge(loaded)?;
    tree.validate()?;
    Ok(tree)
}

/// Refuses a layer that would ship the private keys of this very recipe: everybody can read an image.
fn refuse_own_keys(layer: &Path, keys: &Path, tree: &Tree) -> Result<()> {
    let Some(inside) = inside(layer, keys)? else { return Ok(()) };
    match tree.below(&inside).find(|(path, _)| Path::new(path).extension().is_some_and(|end| end == "key")) {
        Some((path, _)) => Err(Error::input(format!(
            "the layer \"{}\" has the private key \"/{path}\"; keep the keys outside of it, or exclude \"{inside}\"",
            layer.display()
        ))),
        None => Ok(()),
    }
}

/// Refuses a layer with the folder of this very build in it: its name is different each time, and results of one build would become
/// content of the next.
fn refuse_own_output(layer: &Path, scratch: &Path, tree: &Tree) -> Result<()> {
    match inside(layer, scratch)? {
        Some(inside) if tree.nodes.contains_key(&inside) => Err(Error::input(format!(
            "the layer \"{}\" has the output folder of this build in it, at \"/{}\"; choose another output folder, or exclude this one",
            layer.display(),
            path::parent(&inside)
        ))),
        _ => Ok(()),
    }
}

/// The path of `place` in the layer, if it is there.
fn inside(layer: &Path, place: &Path) -> Result<Option<String>> {
    let real = |path: &Path| path.canonicalize().map_err(Error::io("find", path));
    let (layer, place) = (real(layer)?, real(place)?);
    Ok(place.strip_prefix(&layer).ok().and_then(Path::to_str).map(str::to_owned))
}

fn source(recipe: &Recipe, layer: &Layer, which: &str) -> Result<Source> {
    if let Some(path) = &layer.directory {
        Ok(Source::Directory(existing(recipe, path, which)?))
    } else if let Some(path) = &layer.tar {
        Ok(Source::Tar(existing(recipe, path, which)?))
    } else if let (Some(names), Some(from)) = (&layer.packages, &layer.from) {
        Ok(Source::Packages { from: existing(recipe, from, which)?, names: names.clone(), merged_usr: true })
    } else if let Some(system) = &layer.mmdebstrap {
        Ok(Source::Mmdebstrap(Mmdebstrap {
            suite: system.suite.clone(),
            variant: system.variant.clone(),
            include: system.include.clone(),
            mirror: system.mirror.clone(),
        }))
    } else {
        Err(Error::Bug("a layer without a source passed the recipe's checks".into()))
    }
}

/// The path of a source, which has to be there: a missing one is a mistake in the recipe, not a failure of the host.
fn existing(recipe: &Recipe, path: &Path, which: &str) -> Result<PathBuf> {
    let path = recipe.resolve(path);
    match path.metadata() {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Err(Error::input(format!(
            "{which}: \"{}\" does not exist; make it or correct the path, which is relative to the recipe's folder",
            path.display()
        ))),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn refuses_a_layer_with_the_output_of_the_build_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("layer/out/.bulkhead-x");
        std::fs::create_dir_all(&scratch).unwrap();
        let layer = folder.path().join("layer");
        let tree = crate::source::directory::load(&layer, 0).unwrap();
        let text = refuse_own_output(&layer, &scratch, &tree).unwrap_err().to_string();
        assert!(text.contains("at \"/out\"; choose another output folder"), "{text}");
        let mut excluded = tree;
        assert!(excluded.exclude(&["out".to_owned()]).is_empty());
        refuse_own_output(&layer, &scratch, &excluded).unwrap();
        refuse_own_output(&scratch, folder.path(), &Tree::new(0)).unwrap();
    }

    #[test]
    fn refuses_to_ship_the_keys_of_the_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let (layer, keys) = (folder.path().join("layer"), folder.path().join("layer/etc/keys"));
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::create_dir(folder.path().join("other")).unwrap();
        let mut tree = Tree::new(0);
        for directory in ["etc", "etc/keys"] {
            tree.insert(directory, Node::directory(0));
        }
        tree.insert("etc/keys/base.pub", Node::file("public", 0o644, 0));
        refuse_own_keys(&layer, &keys, &tree).unwrap();
        tree.insert("etc/keys/base.key", Node::file("private", 0o600, 0));
        let text = refuse_own_keys(&layer, &keys, &tree).unwrap_err().to_string();
        assert!(text.contains("\"/etc/keys/base.key\"") && text.contains("exclude \"etc/keys\""), "{text}");
        refuse_own_keys(&folder.path().join("other"), &keys, &tree).unwrap();
        assert!(
            refuse_own_keys(&keys, &keys, &{
                let mut tree = Tree::new(0);
                tree.insert("base.key", Node::file("private", 0o600, 0));
                tree
            })
            .is_err()
        );
    }
}
