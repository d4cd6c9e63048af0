//! The depot of a recipe, as files of the base: where appliances look for packages, and whom they believe about it.

use formats::depot::Setting;
use formats::tuf;

use crate::recipe::Recipe;
use crate::tree::{Node, Tree};
use crate::{Error, Result};

/// Adds `/usr/lib/bulkhead/depot.json` and `root.json` to the base of a recipe that has a `[depot]`.
///
/// # Errors
/// [`Error::Input`] when the root is not there or is no TUF root signed by its own keys, or when a layer brings one of the two files too.
pub fn add(recipe: &Recipe, base: &mut Tree, created: i64) -> Result<()> {
    let Some(depot) = &recipe.depot else { return Ok(()) };
    let path = recipe.resolve(&depot.root);
    let shown = path.display();
    let root = std::fs::read(&path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Error::input(format!(
            "depot.root: \"{shown}\" does not exist; it is metadata/1.root.json of the depot that \"bulkhead depot init\" makes"
        )),
        _ => Error::io("read", &path)(cause),
    })?;
    tuf::Root::trusted(&root).map_err(|refusal| {
        Error::input(format!(
            "depot.root: \"{shown}\" is no root of a depot: {}; take its metadata/N.root.json",
            refusal.problem
        ))
    })?;
    let setting = Setting { url: Some(depot.url.clone()), channel: Some(depot.channel.clone()), ..Setting::default() };
    let setting = setting.encode().map_err(Error::format("the depot of the recipe"))?;
    for (name, bytes) in [("depot.json", setting), ("root.json", root)] {
        let file = format!("usr/lib/bulkhead/{name}");
        if base.nodes.contains_key(&file) {
            return Err(Error::input(format!(
                "a layer of the base has \"/{file}\", and so has [depot]; remove one of them"
            )));
        }
        base.insert(&file, Node::file(&bytes, 0o644, created));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use ed25519_dalek::{Signer as _, SigningKey};
    use serde_json::json;

    use super::*;

    fn recipe(folder: &Path) -> Recipe {
        let depot = "\n[depot]\nurl = \"http://depot.example/demo\"\nroot = \"1.root.json\"\n";
        let text = format!("{}{depot}", include_str!("../../tests/data/plan.toml"));
        Recipe::from_text(&text, "plan.toml", folder).unwrap()
    }

    /// A root that its own key signs, or that nobody does.
    fn root(signed_by_itself: bool) -> Vec<u8> {
        let key = SigningKey::from_bytes(&[1; 32]);
        let value = tuf::key_value(&key.verifying_key(), None);
        let id = tuf::key_id(&value).unwrap();
        let role = json!({"keyids": [id], "threshold": 1});
        let signed = json!({
            "_type": "root", "spec_version": "1.0.31", "version": 1, "expires": "2031-12-31T00:00:00Z",
            "consistent_snapshot": true, "keys": {id.clone(): value},
            "roles": {"root": role, "timestamp": role, "snapshot": role, "targets": role},
        });
        let signature = hex::encode(key.sign(&tuf::canonical(&signed).unwrap()).to_bytes());
        let signatures = if signed_by_itself { json!([{"keyid": id, "sig": signature}]) } else { json!([]) };
        serde_json::to_vec(&json!({"signed": signed, "signatures": signatures})).unwrap()
    }

    #[test]
    fn the_base_says_where_to_look_and_whom_to_believe() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.root.json"), root(true)).unwrap();
        let mut base = Tree::new(0);
        add(&recipe(folder.path()), &mut base, 7).unwrap();
        let file = |path: &str| base.file(path).unwrap().read_all(path, 1 << 20).unwrap();
        let setting = Setting::parse(&file("usr/lib/bulkhead/depot.json")).unwrap();
        assert_eq!(
            (setting.url.as_deref(), setting.channel.as_deref()),
            (Some("http://depot.example/demo"), Some("stable"))
        );
        assert_eq!(file("usr/lib/bulkhead/root.json"), root(true));
        let twice = add(&recipe(folder.path()), &mut base, 7).unwrap_err().to_string();
        assert!(twice.contains("a layer of the base has \"/usr/lib/bulkhead/depot.json\""), "{twice}");
    }

    #[test]
    fn a_root_that_is_missing_or_signed_by_nobody_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut base = Tree::new(0);
        let problem = |base: &mut Tree| add(&recipe(folder.path()), base, 7).unwrap_err().to_string();
        assert!(problem(&mut base).contains("does not exist; it is metadata/1.root.json"), "{}", problem(&mut base));
        fs::write(folder.path().join("1.root.json"), root(false)).unwrap();
        assert!(problem(&mut base).contains("0 of 1 needed signatures"), "{}", problem(&mut base));
        assert!(base.below("usr").next().is_none(), "nothing is half added");
    }
}
