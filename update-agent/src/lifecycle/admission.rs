//! Does this release suit this appliance? Pure, and asked before anything is written.
//!
//! That the package is signed, by whom it must be, and for this product, is settled by then: there is no manifest otherwise.

use formats::Bytes;
use formats::manifest::{Date, Kind, Manifest, Validity, runs_on};
use formats::site::{Mismatch, check_pair};
use semver::{Version, VersionReq};

use super::facts::Facts;
use super::state::{State, derive};
use crate::code::Code;

/// A release that does not suit, and why. Each reason says the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{release} {misfit}")]
pub struct Unfit {
    /// Name and version.
    pub release: String,
    /// Why.
    pub misfit: Misfit,
}

/// Why a release does not suit; completes a sentence that begins with the release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Its sequence is below the floor.
    #[error(
        "is release number {sequence}, but number {floor} was committed on this appliance: going back is refused. \"update-agent \
         rollback\" goes back to the release in the other slot; any other has to be released again under a number of at least {floor}"
    )]
    Downgrade {
        /// Its sequence.
        sequence: u64,
        /// The highest committed one.
        floor: u64,
    },
    /// Another build has its number.
    #[error(
        "is another build of release number {sequence}, which was committed on this appliance; a new build needs a higher number \
         (sequence in the recipe)"
    )]
    OtherBuild {
        /// The number.
        sequence: u64,
    },
    /// It is not for this model.
    #[error("is for hardware {}, {}", list(.needed), match .ours.as_slice() {
        [] => "and nothing tells what this is; say it with --hardware MODEL".into(),
        [model] => format!("this is \"{model}\""),
        models => format!("and this may be {}; say which with --hardware MODEL", list(models)),
    })]
    Hardware {
        /// Models it runs on.
        needed: Vec<String>,
        /// What this may be.
        ours: Vec<String>,
    },
    /// It needs another base.
    #[error("needs base {needed}, and base {base} may start here; install such a base and commit it first")]
    NeedsBase {
        /// What it needs.
        needed: VersionReq,
        /// A base that may start.
        base: Version,
    },
    /// It needs another site.
    #[error("needs site {needed}, and {}; install such a site first", match .site {
        Some(site) => format!("site {site} runs here"),
        None => "this appliance has no site".into(),
    })]
    NeedsSite {
        /// What it needs.
        needed: VersionReq,
        /// The site that runs.
        site: Option<Version>,
    },
    /// The site that runs could not run on it.
    #[error("would leave site {site} behind, which needs base {needed}; install a site that runs on both bases first")]
    LeavesSiteBehind {
        /// The site that runs.
        site: Version,
        /// What that needs.
        needed: VersionReq,
    },
    /// The base accepts only other sites.
    #[error(
        "is no site for base {base}, which needs site {needed}; install a base that accepts it first, or another site"
    )]
    RefusedByBase {
        /// A base that may start.
        base: Version,
        /// The sites it accepts.
        needed: VersionReq,
    },
    /// It is bound to another host name.
    #[error("is for the site \"{theirs}\"; this appliance serves \"{ours}\"")]
    OtherSite {
        /// Its host name.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// A licence for one site, where there is none.
    #[error("is for the site \"{theirs}\"; this appliance has no site: install the site first")]
    NoSiteYet {
        /// Its host name.
        theirs: String,
    },
    /// A licence that counts nothing any more.
    #[error(
        "expired on {expired}, days of grace included, and today is {today} here: ask for one that goes on, or set the clock"
    )]
    Expired {
        /// The last day on which it counted.
        expired: Date,
        /// What the clock says.
        today: Date,
    },
    /// It has no image.
    #[error("is a {0} package, which has no slot to be installed into")]
    NoSlot(Kind),
    /// Its image is too long.
    #[error("does not fit: {0}")]
    TooBig(String),
}

impl Misfit {
    /// The code of this refusal.
    pub const fn code(&self) -> Code {
        match self {
            Self::Downgrade { .. } => Code::BelowFloor,
            Self::OtherBuild { .. } => Code::OtherBuild,
            Self::Hardware { .. } => Code::OtherHardware,
            Self::NeedsBase { .. } => Code::NeedsBase,
            Self::NeedsSite { .. } => Code::NeedsSite,
            Self::LeavesSiteBehind { .. } => Code::LeavesSiteBehind,
            Self::RefusedByBase { .. } => Code::RefusedByBase,
            Self::OtherSite { .. } | Self::NoSiteYet { .. } => Code::OtherHostname,
            Self::Expired { .. } => Code::LicenceExpired,
            Self::NoSlot(_) => Code::NoSlot,
            Self::TooBig(_) => Code::TooBig,
        }
    }
}

/// What tells which hardware model this is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// Someone says so; then nothing else counts.
    pub said: Option<String>,
    /// What the firmware calls the machine.
    pub firmware: Option<String>,
}

/// Checks a release against the appliance. `room` is the size of the slot partition.
pub fn admit(facts: &Facts, release: &Manifest, model: &Model, room: Bytes) -> Result<(), Unfit> {
    match misfit(facts, release, model, room) {
        None => Ok(()),
        Some(misfit) => Err(Unfit { release: format!("{} {}", release.name, release.version), misfit }),
    }
}

fn misfit(facts: &Facts, release: &Manifest, model: &Model, room: Bytes) -> Option<Misfit> {
    let Some(image) = &release.image else { return Some(Misfit::NoSlot(release.kind)) };
    let sequence = release.sequence;
    if let Some(floor) = facts.floor(release.kind, &release.name).filter(|floor| sequence < *floor) {
        return Some(Misfit::Downgrade { sequence, floor });
    }
    // The floor could not tell the two apart, and history would name one for the other.
    if facts.has_other_build(release) {
        return Some(Misfit::OtherBuild { sequence });
    }
    if let Some(misfit) = hardware_misfit(facts, &release.hardware, model) {
        return Some(misfit);
    }
    let pair = match release.kind {
        Kind::Base => base_misfit(facts, release),
        Kind::Site | Kind::Licence => site_misfit(facts, release),
    };
    pair.or_else(|| image.check_fits(room).err().map(|problem| Misfit::TooBig(problem.to_string())))
}

/// Checks a licence against the appliance. `held` is the licence of the same line that is installed, `now` seconds since 1970.
pub fn admit_licence(
    facts: &Facts,
    held: Option<&Manifest>,
    release: &Manifest,
    model: &Model,
    now: i64,
) -> Result<(), Unfit> {
    match licence_misfit(facts, held, release, model, now) {
        None => Ok(()),
        Some(misfit) => Err(Unfit { release: format!("licence {} {}", release.name, release.version), misfit }),
    }
}

fn licence_misfit(
    facts: &Facts,
    held: Option<&Manifest>,
    release: &Manifest,
    model: &Model,
    now: i64,
) -> Option<Misfit> {
    let sequence = release.sequence;
    let floor = facts.floor(Kind::Licence, &release.name).max(held.map(|held| held.sequence));
    if let Some(floor) = floor.filter(|floor| sequence < *floor) {
        return Some(Misfit::Downgrade { sequence, floor });
    }
    let other = held.is_some_and(|held| held.sequence == sequence && held.build_id != release.build_id);
    if other || facts.history.committed_other(release) {
        return Some(Misfit::OtherBuild { sequence });
    }
    if let Some(misfit) = hardware_misfit(facts, &release.hardware, model) {
        return Some(misfit);
    }
    if let Some(misfit) = needs(facts, release) {
        return Some(misfit);
    }
    let claims = release.licence.as_ref()?;
    if let Some(theirs) = claims.hostname.clone() {
        match facts.site_info().map(|site| site.hostname.clone()) {
            None => return Some(Misfit::NoSiteYet { theirs }),
            Some(ours) if ours != theirs => return Some(Misfit::OtherSite { theirs, ours }),
            Some(_) => {}
        }
    }
    let today = Date::of_unix(now)?;
    match claims.validity(today) {
        Validity::Ended(expired) => Some(Misfit::Expired { expired, today }),
        Validity::Valid | Validity::Grace(_) => None,
    }
}

/// What must run beside a licence.
fn needs(facts: &Facts, release: &Manifest) -> Option<Misfit> {
    if let (Some(needed), Some(base)) = (&release.requires.base, facts.home())
        && !needed.matches(&base.version)
    {
        return Some(Misfit::NeedsBase { needed: needed.clone(), base: base.version.clone() });
    }
    let needed = release.requires.site.as_ref()?;
    let site = facts.active_site().and_then(|slot| facts.site.get(slot).manifest());
    let site = site.map(|site| site.version.clone());
    let suits = site.as_ref().is_some_and(|site| needed.matches(site));
    (!suits).then(|| Misfit::NeedsSite { needed: needed.clone(), site })
}

/// Without a word about the model, this is one of those the present base is for; so a release has to be for all of these.
fn hardware_misfit(facts: &Facts, needed: &[String], model: &Model) -> Option<Misfit> {
    let firmware = model.firmware.as_ref().filter(|model| needed.contains(model));
    let ours = match (&model.said, firmware) {
        (Some(said), _) => vec![said.clone()],
        (None, Some(firmware)) => vec![firmware.clone()],
        (None, None) => facts.home().map(|base| base.hardware.clone()).unwrap_or_default(),
    };
    (!runs_on(needed, &ours)).then(|| Misfit::Hardware { needed: needed.to_vec(), ours })
}

/// The pair of this base and the present site must be possible in both directions.
fn base_misfit(facts: &Facts, base: &Manifest) -> Option<Misfit> {
    let site = facts.active_site().and_then(|slot| facts.site.get(slot).manifest());
    if let Some(needed) = &base.requires.site {
        let present = site.map(|site| site.version.clone());
        if !present.as_ref().is_some_and(|site| needed.matches(site)) {
            return Some(Misfit::NeedsSite { needed: needed.clone(), site: present });
        }
    }
    let (site, needed) = site.and_then(|site| Some((site, site.requires.base.as_ref()?)))?;
    let left_behind = !needed.matches(&base.version);
    left_behind.then(|| Misfit::LeavesSiteBehind { site: site.version.clone(), needed: needed.clone() })
}

/// A site must run on every base that may start: the one that runs, and the one that waits for its trial. One that suits only the
/// latter is welcome too: it waits in its slot, see [`waits`].
fn site_misfit(facts: &Facts, site: &Manifest) -> Option<Misfit> {
    let unsuitable = facts.bases_that_may_start().into_iter().find_map(|base| check_pair(base, site).err());
    if let Some(mismatch) = unsuitable.filter(|_| !waits(facts, site)) {
        return Some(match mismatch {
            Mismatch::NeedsBase { needed, base } => Misfit::NeedsBase { needed, base },
            Mismatch::NeedsSite { needed, base, .. } => Misfit::RefusedByBase { base, needed },
            Mismatch::Product { site, base } => Misfit::OtherSite { theirs: site, ours: base },
        });
    }
    let ours = facts.active_site().and_then(|slot| facts.site.get(slot).manifest()?.site.as_ref())?;
    let theirs = site.site.as_ref()?;
    let other = ours.hostname != theirs.hostname;
    other.then(|| Misfit::OtherSite { theirs: theirs.hostname.clone(), ours: ours.hostname.clone() })
}

/// True for a site that cannot run on the base that runs and can on the one that starts next.
pub fn waits(facts: &Facts, site: &Manifest) -> bool {
    let State::Armed { candidate, .. } = derive(facts) else { return false };
    let suits = |base: Option<&Manifest>| base.is_some_and(|base| check_pair(base, site).is_ok());
    !suits(facts.home()) && suits(facts.base.get(candidate).manifest())
}

fn list(models: &[String]) -> String {
    models.iter().map(|model| format!("\"{model}\"")).collect::<Vec<_>>().join(" or ")
}
