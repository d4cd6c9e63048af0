//! Whether a release could be installed now, without doing it: the checks of [`Agent::install`] that need nothing but what is there.

use formats::manifest::Kind;
use formats::signature::VerifiedManifest;
use formats::{Bytes, Digest, SlotId};

use super::admission::{Model, admit, admit_licence};
use super::agent::Agent;
use super::facts::Facts;
use super::site::{SiteEvent, site_transition};
use super::site_state::{SiteState, derive_site};
use super::state::{State, derive};
use super::transition::{Event, Refusal, transition};
use crate::disk::Part;
use crate::error::{At, Doing, Result};
use crate::licence::Store;

impl Agent<'_> {
    /// Refused as an installation would be; of what an installation finds in the package itself nothing is known yet.
    pub fn may_install(&self, manifest: &VerifiedManifest, model: &Model, licences: &dyn Store) -> Result<()> {
        let release = manifest.manifest();
        self.no_reset_pending()?;
        let facts = self.facts()?;
        let now = self.today(&facts);
        manifest.check_current(now).at(|| format!("{} {}", release.name, release.version))?;
        if release.kind == Kind::Licence {
            let held = self.licences(licences)?.held;
            let held = held.iter().map(VerifiedManifest::manifest).find(|held| held.name == release.name);
            return Ok(admit_licence(&facts, held, release, model, now)?);
        }
        let room = Part::slot(release.kind, SlotId::B)
            .map_or(Ok(Bytes(0)), |part| self.disk.size(part).doing(|| format!("measure {part}")))?;
        admit(&facts, release, model, room)?;
        Ok(may_replace(&facts, release.kind, release.build_id)?)
    }
}

/// Refused while a release on trial has the slot, unless it is this build. What is cut off is put in order before an installation, so it
/// is no reason.
pub fn may_replace(facts: &Facts, kind: Kind, build: Digest) -> std::result::Result<(), Refusal> {
    let same = |kind, slot| facts.content(kind, slot).manifest().is_some_and(|there| there.build_id == build);
    let site = derive_site(facts);
    match (kind, &site) {
        (Kind::Base, SiteState::Trial { candidate, .. }) => Err(Refusal::SiteOnTrial { candidate: *candidate }),
        (Kind::Base, _) => match derive(facts) {
            state @ State::Trial { candidate, .. } => {
                transition(state, &Event::Install { same: same(kind, candidate) }).map(drop)
            }
            _ => Ok(()),
        },
        (Kind::Site, SiteState::Trial { candidate, .. }) => {
            let event = SiteEvent::Install { same: same(kind, *candidate), waits: false };
            site_transition(&site, &event).map(drop)
        }
        (Kind::Site | Kind::Licence, _) => Ok(()),
    }
}
