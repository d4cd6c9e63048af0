//! Asking for a factory reset, and taking the order back. It is carried out by the initramfs program at the next start
//! (`rootfs/reset`); here is decided whether it may be asked for, and what must survive it.
//!
//! The order is one sector of the state partition: there or not. What is pending is read from it each time, never remembered.
//!
//! While it is there, nothing is installed, committed or rolled back: its sequence floors are those of the moment it was asked for,
//! and a floor raised afterwards would be lost with the data partition.

use formats::manifest::Kind;
use formats::reset_record::{self, ResetRecord, Then};
use formats::state_volume::RESET_OFFSET;
use formats::{Guid, SlotId};

use super::agent::{Agent, Done};
use super::facts::Facts;
use super::site_state::{SiteState, derive_site};
use super::state::State;
use super::transition::Refusal;
use crate::certain::{Reading, answers, certain};
use crate::disk::{Disk, Part, StatePartition};
use crate::error::{At, Doing, Error, Result};
use crate::slot::{self, Content};
use crate::state::Sectors;

/// What the sector of the reset record says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PendingReset {
    /// No reset was asked for.
    #[default]
    None,
    /// The next start carries it out.
    Asked(Box<ResetRecord>),
    /// The sector holds something that is no order, and why.
    Unusable(String),
}

/// Who asks for what.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What was typed to confirm, see [`Facts::reset_confirmation`].
    pub confirm: &'a str,
    /// What happens after the reset.
    pub then: Then,
    /// Who asks, in the characters of [`ResetRecord::by`].
    pub by: &'a str,
    /// Drawn for this request.
    pub id: Guid,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// Reads the sector. An error when the disk does not answer: what is not seen may be an order all the same.
pub fn pending(disk: &dyn Disk) -> Result<PendingReset> {
    let partition = StatePartition(disk);
    let read = || {
        let mut sector = [0; reset_record::SIZE];
        partition.read(RESET_OFFSET, &mut sector).map(|()| sector)
    };
    let sector = match certain(read, || answers(&partition)).doing(|| "read the reset record".into())? {
        Reading::Done(sector) => sector,
        Reading::Lost(problem) => {
            return Ok(PendingReset::Unusable(format!("the reset record cannot be read: {problem}")));
        }
    };
    Ok(match ResetRecord::parse(&sector) {
        Ok(None) => PendingReset::None,
        Ok(Some(record)) => PendingReset::Asked(Box::new(record)),
        Err(problem) => PendingReset::Unusable(problem.to_string()),
    })
}

impl Facts {
    /// What has to be typed to confirm a factory reset: the site's host name, or the product's name when there is no site.
    pub fn reset_confirmation(&self) -> Option<&str> {
        let site = self.active_site().and_then(|slot| self.site.get(slot).manifest());
        let hostname = site.and_then(|manifest| manifest.site.as_ref()).map(|site| site.hostname.as_str());
        hostname.or_else(|| self.home().map(|base| base.product.as_str()))
    }
}

impl Agent<'_> {
    /// Orders a factory reset for the next start. First reads every slot whole: what runs must be what was signed, or nothing would be
    /// left to start; of the others damage is only said.
    pub fn factory_reset(&self, request: &Request<'_>) -> Result<Done> {
        match self.facts()?.reset_confirmation() {
            Some(wanted) if wanted != request.confirm => {
                return Err(Error::NotConfirmed { wanted: wanted.to_owned() });
            }
            _ => {}
        }
        let mut done = self.settle()?;
        match done.state {
            State::Trial { candidate, .. } | State::Armed { candidate, .. } => {
                return Err(Refusal::OnTrial { candidate }.into());
            }
            State::Leaving { home, running } => return Err(Refusal::RestartFirst { running, home }.into()),
            _ => {}
        }
        let facts = self.facts()?;
        match derive_site(&facts) {
            SiteState::Steady(_)
            | SiteState::Waiting { .. }
            | SiteState::PassedOver(_)
            | SiteState::NotSwitched { .. } => {}
            SiteState::Trial { candidate, .. }
            | SiteState::Switching { candidate, .. }
            | SiteState::Restarted { candidate, .. }
            | SiteState::Leaving { candidate, .. } => return Err(Refusal::SiteOnTrial { candidate }.into()),
        }
        for kind in [Kind::Base, Kind::Site] {
            for slot in SlotId::BOTH {
                done.steps.extend(self.prove_for_reset(&facts, kind, slot)?);
            }
        }
        let mut record = ResetRecord {
            id: request.id,
            then: request.then,
            by: request.by.to_owned(),
            asked: request.now,
            floors: facts.floors(),
        };
        // Those of licences, which come last, as far as there is room: no reset is refused because of them.
        while record.floors.last().is_some_and(|floor| floor.kind == Kind::Licence) && record.encode().is_err() {
            record.floors.pop();
        }
        self.write_order(&record.encode().at(|| "factory reset".into())?)?;
        done.steps.push("a factory reset is carried out at the next start".into());
        self.done(done.steps)
    }

    /// Takes the order back. What is not an order, but damage in its place, is cleared too.
    pub fn cancel_reset(&self) -> Result<Done> {
        if pending(self.disk)? == PendingReset::None {
            return Err(Error::NoResetPending);
        }
        self.write_order(&[0; reset_record::SIZE])?;
        self.done(vec!["no factory reset is pending any more".into()])
    }

    /// Refuses what must wait until a pending reset is carried out or taken back.
    pub(super) fn no_reset_pending(&self) -> Result<()> {
        match pending(self.disk)? {
            PendingReset::Asked(_) => Err(Refusal::ResetPending.into()),
            PendingReset::None | PendingReset::Unusable(_) => Ok(()),
        }
    }

    /// A sentence about a slot that is not whole; an error when it runs.
    fn prove_for_reset(&self, facts: &Facts, kind: Kind, slot: SlotId) -> Result<Option<String>> {
        let Some(part) = Part::slot(kind, slot) else { return Ok(None) };
        let runs = match kind {
            Kind::Site => facts.active_site(),
            Kind::Base | Kind::Licence => facts.running_base().or_else(|| facts.boot.map(|boot| boot.order)),
        } == Some(slot);
        let problem = match facts.content(kind, slot) {
            Content::Whole(verified) => match slot::prove(self.disk, part, verified.manifest(), self.progress) {
                Err(problem) if runs => return Err(problem),
                proved => proved.err().map(|problem| problem.to_string()),
            },
            // Most appliances have an empty site slot or two.
            Content::Empty if kind == Kind::Site && !runs => None,
            other => Some(format!("{part} is {other}")),
        };
        match problem {
            Some(problem) if runs => Err(Error::Rotten(format!("{problem}; install a release before the reset"))),
            other => Ok(other),
        }
    }

    /// One sector, read back.
    fn write_order(&self, sector: &[u8; reset_record::SIZE]) -> Result<()> {
        let partition = StatePartition(self.disk);
        partition.write(RESET_OFFSET, sector).doing(|| "write the reset record".into())?;
        let mut back = [0; reset_record::SIZE];
        partition.read(RESET_OFFSET, &mut back).doing(|| "read back the reset record".into())?;
        if back == *sector {
            Ok(())
        } else {
            Err(Error::NotKept("the disk does not keep the reset record; replace the disk".into()))
        }
    }
}
