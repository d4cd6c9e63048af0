//! Other keys for a role.
//!
//! Keys of root, targets, snapshot and timestamp stand in a new root, signed by the old root keys and by the new ones; keys of the
//! delegated roles in new targets. The role itself is signed anew in the same change.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::document::{described, role_keys};
use super::edit::Edit;
use super::state::TOP;
use crate::keys::depot::public;
use crate::{Error, Result};

/// What a role gets.
#[derive(Debug, Default)]
pub struct Rotation {
    /// Folders with the public halves of the keys to add.
    pub new: Vec<PathBuf>,
    /// Beginnings of the ids of keys to take away.
    pub remove: Vec<String>,
    /// Leave the keys there are, but for those to remove; else the new ones take their place.
    pub keep: bool,
    /// How many must sign; none: as many as until now.
    pub threshold: Option<u32>,
    /// The old keys of targets, snapshot or timestamp can sign no more. Clients that come between two files of this change see a depot that
    /// does not verify, and come back.
    pub lost: bool,
}

impl Edit<'_> {
    /// Gives `role` other keys.
    pub fn rotate(&mut self, role: &str, rotation: &Rotation) -> Result<()> {
        let old = self.draft.keys(role)?;
        let top = TOP.contains(&role);
        let holder = if top { self.draft.document("root")?.get("keys") } else { self.delegated("keys")? }.clone();
        let mut described_keys = kept(&old.keys.keys().cloned().collect::<Vec<_>>(), &holder, rotation)?;
        let mut new = Vec::new();
        for folder in &rotation.new {
            let key = public(folder, role, true)?;
            new.push(key.ok_or_else(|| Error::input(format!("\"{}\" has no {role}.pub", folder.display())))?);
        }
        described_keys.extend(described(&new)?.1);
        let ids: Vec<String> = described_keys.keys().cloned().collect();
        let threshold = rotation.threshold.map_or(old.threshold, |n| usize::try_from(n).unwrap_or(usize::MAX));
        if threshold == 0 || threshold > ids.len() {
            let count = ids.len();
            return Err(Error::input(format!("role {role} would have {count} key(s), {threshold} of which must sign")));
        }
        let role_value = json!({"keyids": ids, "threshold": threshold});
        let wanted = role_keys(&role_value, &Value::Object(described_keys.clone()));
        if wanted == old {
            return Err(Error::Refused(format!("role {role} has exactly these keys already")));
        }
        if top {
            self.set_top(role, role_value, described_keys)?;
            if role == "root" || !rotation.lost {
                self.also_by(role, old);
            }
        } else {
            self.set_delegated(role, &ids, threshold, described_keys)?;
        }
        self.touch(role);
        Ok(())
    }

    fn delegated(&self, field: &str) -> Result<&Value> {
        Ok(self.draft.document("targets")?.get("delegations").get(field).unwrap_or(&Value::Null))
    }

    fn set_top(&mut self, role: &str, value: Value, keys: Map<String, Value>) -> Result<()> {
        let root = self.draft.document_mut("root")?;
        root.object("roles").insert(role.to_owned(), value);
        root.object("keys").extend(keys);
        let roles: Vec<Value> = root.object("roles").values().cloned().collect();
        root.object("keys").retain(|id, _| is_named(&roles, id));
        self.touch("root");
        Ok(())
    }

    fn set_delegated(&mut self, role: &str, ids: &[String], threshold: usize, keys: Map<String, Value>) -> Result<()> {
        let delegations = self.draft.document_mut("targets")?.object("delegations");
        let mut roles = delegations.get("roles").and_then(Value::as_array).cloned().unwrap_or_default();
        for one in roles.iter_mut().filter(|one| one.get("name").and_then(Value::as_str) == Some(role)) {
            one["keyids"] = json!(ids);
            one["threshold"] = threshold.into();
        }
        if let Some(all) = delegations.get_mut("keys").and_then(Value::as_object_mut) {
            all.extend(keys);
            all.retain(|id, _| is_named(&roles, id));
        }
        delegations.insert("roles".into(), roles.into());
        self.touch("targets");
        Ok(())
    }
}

/// The descriptions of the keys that stay.
fn kept(ids: &[String], described: &Value, rotation: &Rotation) -> Result<Map<String, Value>> {
    for start in &rotation.remove {
        let found = ids.iter().filter(|id| id.starts_with(start.as_str())).count();
        if found != 1 || start.len() < 8 {
            return Err(Error::input(format!(
                "\"{start}\" begins the ids of {found} keys of this role; give 8 or more digits of one"
            )));
        }
    }
    let stays = |id: &&String| {
        let replaced = !rotation.keep && rotation.remove.is_empty();
        !replaced && !rotation.remove.iter().any(|start| id.starts_with(start.as_str()))
    };
    Ok(ids.iter().filter(stays).map(|id| (id.clone(), described.get(id).cloned().unwrap_or(Value::Null))).collect())
}

fn is_named(roles: &[Value], id: &str) -> bool {
    let ids = roles.iter().filter_map(|role| role.get("keyids")?.as_array()).flatten();
    ids.into_iter().any(|one| one.as_str() == Some(id))
}
