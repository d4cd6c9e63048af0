//! Every package a depot offers an appliance, and where it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::Field;
use super::{Candidate, Inventory, sentence, to_package};
use crate::catalogue::{Availability, Entry, PackageId};
use crate::manifest::Kind;

/// One line of the list of updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// The package.
    pub package: PackageId,
    /// Where it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// Where a package stands on an appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "standing")]
pub enum Standing {
    /// It runs.
    Installed,
    /// Something at least as new runs.
    Superseded,
    /// It can be installed now.
    Available,
    /// It cannot be installed now.
    Blocked {
        /// Why, and what to do first.
        sentence: String,
        /// The package to install first, when there is one that can be had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first: Option<PackageId>,
    },
    /// It cannot be had.
    NotAvailable(Availability),
}

/// Every candidate, in the order of kind, name and version. The state of one does not depend on that of another: after an installation the
/// list is made again from the same catalogue.
pub fn list(inventory: &Inventory, candidates: &[Candidate<'_>]) -> Vec<Row> {
    let [others, sites] = [false, true].map(|first_site| Field::available(inventory, candidates, first_site));
    let field = |kind| if kind == Kind::Site { &sites } else { &others };
    let stands =
        |one: &Candidate<'_>| standing(inventory, candidates, field(one.entry.kind), one.entry, &one.availability);
    let mut rows: Vec<Row> =
        candidates.iter().map(|one| Row { package: one.entry.id(), standing: stands(one) }).collect();
    rows.sort_by(|one, other| one.package.cmp(&other.package));
    rows
}

/// The line of one package; nothing when it is no candidate.
pub fn row(inventory: &Inventory, candidates: &[Candidate<'_>], package: &PackageId) -> Option<Row> {
    let candidate = candidates.iter().find(|candidate| candidate.entry.id() == *package)?;
    let field = Field::available(inventory, candidates, package.kind() == Kind::Site);
    let standing = standing(inventory, candidates, &field, candidate.entry, &candidate.availability);
    Some(Row { package: package.clone(), standing })
}

/// The licences that can be installed now, whatever else is: the newest of each line, in the order of names.
pub fn licences(inventory: &Inventory, candidates: &[Candidate<'_>]) -> Vec<PackageId> {
    // One that can be installed now needs no other package first: the list of licences alone says the same of each.
    let alone: Vec<_> = candidates.iter().filter(|one| one.entry.kind == Kind::Licence).cloned().collect();
    let open = list(inventory, &alone).into_iter().filter(|row| row.standing == Standing::Available);
    let mut newest: BTreeMap<String, (u64, PackageId)> = BTreeMap::new();
    for id in open.map(|row| row.package) {
        let sequence = alone.iter().find(|one| one.entry.id() == id).map_or(0, |one| one.entry.sequence);
        let known = newest.entry(id.name().to_owned()).or_insert_with(|| (sequence, id.clone()));
        if known.0 < sequence {
            *known = (sequence, id);
        }
    }
    newest.into_values().map(|(_, id)| id).collect()
}

fn standing<'a>(
    inventory: &'a Inventory,
    candidates: &[Candidate<'a>],
    available: &Field<'a>,
    entry: &Entry,
    availability: &Availability,
) -> Standing {
    let installed = match entry.kind {
        Kind::Base => Some(&inventory.base),
        Kind::Site => inventory.site.as_ref(),
        Kind::Licence => None,
    };
    if installed.is_some_and(|one| one.build_id == entry.build_id) || inventory.licences.contains(&entry.build_id) {
        return Standing::Installed;
    }
    let newer = match entry.kind {
        // Of a licence that was installed, the number outlives a factory reset; the same one may be installed again.
        Kind::Licence => inventory.floor(entry.kind, &entry.name).is_some_and(|floor| entry.sequence < floor),
        Kind::Base | Kind::Site => {
            installed.is_some_and(|one| one.name == entry.name && entry.sequence <= one.sequence)
        }
    };
    if newer {
        return Standing::Superseded;
    }
    if !availability.is_available() {
        return Standing::NotAvailable(availability.clone());
    }
    match to_package(inventory, candidates, available, &entry.id()) {
        Ok(steps) => {
            let first = steps.first().map(|step| step.id()).filter(|first| *first != entry.id());
            match first.and_then(|first| Some((sentence::after(inventory, entry, first.clone())?, first))) {
                Some((blocked, first)) => Standing::Blocked { sentence: blocked.to_string(), first: Some(first) },
                None => Standing::Available,
            }
        }
        Err(blocked) => Standing::Blocked { sentence: blocked.to_string(), first: None },
    }
}
