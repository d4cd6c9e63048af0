//! How the backups that are kept stand to what is set now.

use std::collections::BTreeSet;
use std::path::Path;

use formats::backup::Scope;
use serde::Serialize;

use super::collect::{Wanted, collect};
use super::setting;
use super::store::Store;
use crate::error::Result;

/// How the newest backup of the appliance's settings stands to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// In a word.
    pub state: State,
    /// In words.
    pub sentence: String,
    /// Its name, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// When it was made, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
}

/// The same in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There is none.
    None,
    /// It has the settings as they are.
    Current,
    /// Settings changed since.
    Stale,
}

impl Standing {
    /// That of the backups under `data`, the mounted data partition.
    pub fn of(data: &Path) -> Result<Self> {
        let store = Store::new(data);
        let newest = store.ids()?.into_iter().find_map(|id| {
            let contents = store.record(&id)?.contents;
            Some((id, contents.created, contents.settings?))
        });
        let Some((id, created, settings)) = newest else {
            let sentence = "there is no backup of this appliance's settings".into();
            return Ok(Self { state: State::None, sentence, newest: None, created: None });
        };
        let wanted = Wanted {
            scopes: BTreeSet::from([Scope::Appliance]),
            history: true,
            limits: setting::load(data)?.limits,
            changing: BTreeSet::new(),
        };
        let (state, sentence) = if collect(data, &wanted)?.settings() == settings {
            (State::Current, format!("the newest backup, {id}, has the settings as they are"))
        } else {
            (State::Stale, format!("the newest backup, {id}, is older than the last change of settings"))
        };
        Ok(Self { state, sentence, newest: Some(id), created: Some(created) })
    }
}
