//! Why there is no way, in one sentence that ends with what to do.

use std::fmt;

use semver::{Version, VersionReq};

use super::field::Field;
use super::{Candidate, Inventory, way_to};
use crate::catalogue::{Availability, Entry, PackageId};
use crate::manifest::{Kind, runs_on};

/// A package that cannot be installed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{missing}")]
pub struct Blocked {
    /// The package that was wanted.
    pub wanted: PackageId,
    /// What is in the way.
    pub missing: Box<Missing>,
}

/// What is in the way. Each is a sentence of its own, and ends with the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no such package.
    #[error(
        "{0} is not in the depot's channel; \"update-agent check\" asks the depot again, \"update-agent list\" shows what there is"
    )]
    Unknown(PackageId),
    /// It may not be had.
    #[error("{package} is {availability}")]
    NotAvailable {
        /// The package.
        package: PackageId,
        /// Why not.
        availability: Availability,
    },
    /// It is for other models.
    #[error("{package} is for hardware {}, this is {}; choose a release for this model", names(.needed), names(.ours))]
    Hardware {
        /// The package.
        package: PackageId,
        /// Models it runs on.
        needed: Vec<String>,
        /// What this may be.
        ours: Vec<String>,
    },
    /// A newer one was committed.
    #[error(
        "{package} is release number {sequence}, and number {floor} was committed here: going back is refused; choose a newer release"
    )]
    Older {
        /// The package.
        package: PackageId,
        /// Its number.
        sequence: u64,
        /// The highest committed one.
        floor: u64,
    },
    /// It belongs to another package line than what is installed.
    #[error("{package} is of another line than {installed}, which is installed; choose a release of that line")]
    OtherLine {
        /// The package.
        package: PackageId,
        /// The line.
        installed: String,
    },
    /// It is bound to another host name.
    #[error(
        "{package} is for the site \"{theirs}\"; this appliance {}; ask its publisher for one for this site", serves(.ours.as_deref())
    )]
    OtherSite {
        /// The package.
        package: PackageId,
        /// Its host name.
        theirs: String,
        /// Ours; none: there is no site.
        ours: Option<String>,
    },
    /// Something has to come first.
    #[error("{unmet}; install {first} first ({availability})")]
    First {
        /// What does not hold now.
        unmet: Unmet,
        /// What to install first.
        first: PackageId,
        /// Whether it may be had.
        availability: Availability,
    },
    /// Nothing in the depot helps.
    #[error("{unmet}; {edge}; ask the publisher of {wanted} for a release in between")]
    NoWay {
        /// What does not hold now.
        unmet: Unmet,
        /// What would have to be there.
        edge: String,
        /// The package that was wanted.
        wanted: PackageId,
    },
}

/// One requirement and what fails it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// What fails it: its kind and version, or none of that kind.
    pub present: (Kind, Option<Version>),
    /// Whose requirement it is.
    pub of: (Kind, Version),
    /// What that needs.
    pub needed: VersionReq,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, version) = &self.of;
        let needed = &self.needed;
        match &self.present {
            (ours, Some(present)) => {
                write!(f, "{ours} {present} does not satisfy {kind} {version}, which needs {ours} {needed}")
            }
            (ours, None) => write!(f, "there is no {ours} here, and {kind} {version} needs {ours} {needed}"),
        }
    }
}

/// Why this release never suits this appliance, whatever else is installed first; nothing when it may.
pub(super) fn misfit(inventory: &Inventory, entry: &Entry) -> Option<Missing> {
    let package = || entry.id();
    let ours = &inventory.hardware;
    if !runs_on(&entry.hardware, ours) {
        return Some(Missing::Hardware { package: package(), needed: entry.hardware.clone(), ours: ours.clone() });
    }
    let installed = match entry.kind {
        Kind::Base => Some(&inventory.base),
        Kind::Site => inventory.site.as_ref(),
        Kind::Licence => None,
    };
    let floor = inventory.floor(entry.kind, &entry.name).unwrap_or(0);
    // Another build of the number that is installed is none the appliance would take.
    let running = installed.filter(|one| one.name == entry.name).map_or(0, |one| one.sequence.saturating_add(1));
    if entry.sequence < floor.max(running) {
        let floor = floor.max(running.saturating_sub(1));
        return Some(Missing::Older { package: package(), sequence: entry.sequence, floor });
    }
    if let Some(installed) = installed.filter(|one| one.name != entry.name) {
        return Some(Missing::OtherLine { package: package(), installed: installed.name.clone() });
    }
    let ours = inventory.site.as_ref().and_then(|site| site.hostname.clone());
    let theirs = entry.hostname()?.to_owned();
    // A first site brings its name along; a licence has to find it here.
    let fits = if entry.kind == Kind::Licence {
        ours.as_ref() == Some(&theirs)
    } else {
        ours.as_ref().is_none_or(|ours| *ours == theirs)
    };
    (!fits).then(|| Missing::OtherSite { package: package(), theirs, ours })
}

/// The candidate with this id, when it suits the appliance and may be had.
pub(super) fn settled<'c, 'a>(
    inventory: &Inventory,
    candidates: &'c [Candidate<'a>],
    id: &PackageId,
) -> Result<&'c Candidate<'a>, Blocked> {
    let blocked = |missing| Blocked { wanted: id.clone(), missing: Box::new(missing) };
    let Some(candidate) = candidates.iter().find(|candidate| candidate.entry.id() == *id) else {
        return Err(blocked(Missing::Unknown(id.clone())));
    };
    // What runs already needs no step, and no reason why it could not be installed.
    let builds = [Some(&inventory.base), inventory.site.as_ref()].into_iter().flatten().map(|one| one.build_id);
    if builds.chain(inventory.licences.iter().copied()).any(|build| build == candidate.entry.build_id) {
        return Ok(candidate);
    }
    if let Some(missing) = misfit(inventory, candidate.entry) {
        return Err(blocked(missing));
    }
    if !candidate.availability.is_available() {
        let availability = candidate.availability.clone();
        return Err(blocked(Missing::NotAvailable { package: id.clone(), availability }));
    }
    Ok(candidate)
}

/// What to say of `wanted` when `first`, which may be had, is the first step towards it; nothing when it needs no other first.
pub(super) fn after(inventory: &Inventory, wanted: &Entry, first: PackageId) -> Option<Blocked> {
    let missing = Missing::First { unmet: unmet(inventory, wanted)?, first, availability: Availability::Available };
    Some(Blocked { wanted: wanted.id(), missing: Box::new(missing) })
}

/// Why no available packages lead to `wanted`, which suits and may be had itself.
pub(super) fn no_way(inventory: &Inventory, candidates: &[Candidate<'_>], wanted: &Entry) -> Blocked {
    let id = wanted.id();
    let blocked = |missing| Blocked { wanted: id.clone(), missing: Box::new(missing) };
    let Some(unmet) = unmet(inventory, wanted) else {
        return blocked(Missing::Unknown(id.clone()));
    };
    let all = Field::new(inventory, candidates, |_| true, wanted.kind == Kind::Site);
    let missing_step = way_to(&all, wanted).and_then(|steps| {
        let of = |entry: &Entry| candidates.iter().find(|candidate| candidate.entry.build_id == entry.build_id);
        steps.into_iter().filter_map(of).find(|candidate| !candidate.availability.is_available())
    });
    if let Some(step) = missing_step {
        let (first, availability) = (step.entry.id(), step.availability.clone());
        return blocked(Missing::First { unmet, first, availability });
    }
    let edge = edge(candidates, wanted, &unmet);
    blocked(Missing::NoWay { unmet, edge, wanted: id.clone() })
}

/// What is wrong with what would have to be installed beside `wanted`: nothing is there, or nothing leads to it.
fn edge(candidates: &[Candidate<'_>], wanted: &Entry, unmet: &Unmet) -> String {
    let own = unmet.of.0 == wanted.kind;
    let kind = if own { unmet.present.0 } else { unmet.of.0 };
    let would_do = candidates
        .iter()
        .map(|candidate| candidate.entry)
        .filter(|entry| entry.kind == kind && accept_each_other(entry, wanted))
        .max_by_key(|entry| entry.sequence);
    match would_do {
        Some(entry) => format!("{} would do, but nothing in the depot leads to it from here", entry.id()),
        None if own => format!("the depot has no such {kind}"),
        None => format!("the depot has no {kind} that accepts it"),
    }
}

fn accept_each_other(one: &Entry, other: &Entry) -> bool {
    let accepts = |one: &Entry, other: &Entry| {
        let range = match other.kind {
            Kind::Base => one.requires.base.as_ref(),
            Kind::Site => one.requires.site.as_ref(),
            Kind::Licence => None,
        };
        range.is_none_or(|range| range.matches(&other.version))
    };
    accepts(one, other) && accepts(other, one)
}

/// The first requirement that keeps `wanted` from being installed next to what runs.
fn unmet(inventory: &Inventory, wanted: &Entry) -> Option<Unmet> {
    let site = inventory.site.as_ref();
    let base = (Kind::Base, Some(&inventory.base.version));
    let present_site = (Kind::Site, site.map(|site| &site.version));
    let of = (wanted.kind, &wanted.version);
    let (first, second) = match wanted.kind {
        Kind::Base => (
            fails(present_site, of, wanted.requires.site.as_ref()),
            site.and_then(|site| {
                fails((Kind::Base, Some(&wanted.version)), (Kind::Site, &site.version), site.requires.base.as_ref())
            }),
        ),
        Kind::Site => (
            fails(base, of, wanted.requires.base.as_ref()),
            fails(
                (Kind::Site, Some(&wanted.version)),
                (Kind::Base, &inventory.base.version),
                inventory.base.requires.site.as_ref(),
            ),
        ),
        Kind::Licence => {
            (fails(base, of, wanted.requires.base.as_ref()), fails(present_site, of, wanted.requires.site.as_ref()))
        }
    };
    first.or(second)
}

fn fails(present: (Kind, Option<&Version>), of: (Kind, &Version), needed: Option<&VersionReq>) -> Option<Unmet> {
    let needed = needed?;
    let holds = present.1.is_some_and(|version| needed.matches(version));
    (!holds).then(|| Unmet {
        present: (present.0, present.1.cloned()),
        of: (of.0, of.1.clone()),
        needed: needed.clone(),
    })
}

/// What an appliance serves, for a sentence.
pub fn serves(hostname: Option<&str>) -> String {
    hostname.map_or_else(|| "has no site".into(), |hostname| format!("serves \"{hostname}\""))
}

fn names(models: &[String]) -> String {
    match models {
        [] => "nobody has named".into(),
        models => models.iter().map(|model| format!("\"{model}\"")).collect::<Vec<_>>().join(" or "),
    }
}
