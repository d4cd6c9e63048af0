//! Changing the site while the base keeps running.
//!
//! A switch has four steps: the base's hook ends what runs from the old site, the old site is unmounted and its device removed, the
//! new slot is verified, opened with dm-verity and mounted, and the hook starts what runs from it. All of it is in memory only: power
//! may fail at any point, and the initramfs program mounts what the boot state names. So the order needs no argument about disks, only
//! two rules: nothing is opened that is not verified, and a switch that cannot be completed brings the old site back.
//!
//! The steps are behind [`Site`], with a real implementation ([`Mounted`]) and a simulated one ([`crate::disk::simulated`]).
//! When to switch, and what is remembered of it, is decided in [`crate::lifecycle`].

mod holders;
mod mounted;

use formats::SlotId;

pub use mounted::Mounted;

use crate::error::{Error, Result};

/// What is mounted as the site now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// The slot on `/site`.
    pub slot: Option<SlotId>,
    /// False from the moment its processes are told to end until the hook has started them again: a switch is under way, or was cut
    /// off.
    pub started: bool,
}

/// The steps of a switch. Each does all of it or leaves things as they were, as far as that is possible.
pub trait Site {
    /// What is mounted. Memory only: it tells of this start of the machine.
    fn now(&self) -> Result<Now>;
    /// An error when this base has no way to switch a site while it runs.
    fn check(&self) -> Result<()>;
    /// Ends everything that runs from the site. Doing it twice does no harm.
    fn stop(&self) -> Result<()>;
    /// Unmounts the site in `slot` and removes its device.
    fn close(&self, slot: SlotId) -> Result<()>;
    /// Verifies the site in `slot`, opens it and mounts it. Nothing is mounted before.
    fn open(&self, slot: SlotId) -> Result<()>;
    /// Starts what runs from the site. Doing it twice does no harm.
    fn start(&self) -> Result<()>;
}

/// Lets the site in `wanted` run, or none. When that fails, `otherwise` runs again, and the error says why.
pub fn activate(site: &dyn Site, wanted: Option<SlotId>, otherwise: Option<SlotId>) -> Result<()> {
    let Err(problem) = bring(site, wanted) else { return Ok(()) };
    if otherwise == wanted {
        return Err(problem);
    }
    match bring(site, otherwise) {
        Ok(()) => Err(problem),
        Err(second) => {
            Err(Error::SiteDown(format!("{problem}; and the site before does not come back either: {second}")))
        }
    }
}

fn bring(site: &dyn Site, wanted: Option<SlotId>) -> Result<()> {
    let now = site.now()?;
    if now.slot != wanted {
        site.stop()?;
        if let Some(slot) = now.slot {
            site.close(slot)?;
        }
        if let Some(slot) = wanted {
            site.open(slot)?;
        }
    }
    site.start()
}

#[cfg(test)]
mod tests;
