//! Everything the agent knows, read from the disk in one place.

use formats::boot_report::BootFailure;
use formats::boot_state::BootState;
use formats::manifest::{Kind, Manifest};
use formats::site::choose;
use formats::trust::TrustStore;
use formats::{Guid, SlotId};

use super::reset::{self, PendingReset};
use crate::certain::answers;
use crate::disk::{Disk, Part, StatePartition};
use crate::error::Result;
use crate::journal::{Floor, History, Journal};
use crate::slot::{self, Content, Pair};
use crate::state;

/// What the machine was started from. Nothing of it is known about an image file: nothing runs from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The base slot.
    pub base: SlotId,
    /// The site slot mounted at `/site` now.
    pub site: Option<SlotId>,
    /// False while a switch of the site is under way, or when it was cut off.
    pub site_started: bool,
    /// The site slot the initramfs program mounted at the start.
    pub site_then: Option<SlotId>,
    /// The site slot the boot state named when the machine started.
    pub site_named_then: Option<SlotId>,
    /// Which start of the machine this is, as the kernel numbers them.
    pub boot: Option<Guid>,
}

/// The facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What runs.
    pub running: Option<Running>,
    /// The site can be switched while the machine runs.
    pub live: bool,
    /// The newest whole boot state block.
    pub boot: Option<BootState>,
    /// How many of its two blocks are whole.
    pub whole_blocks: usize,
    /// The base slots.
    pub base: Pair<Content>,
    /// The site slots.
    pub site: Pair<Content>,
    /// What was done before.
    pub history: History,
    /// Starts that the initramfs program gave up, oldest first.
    pub failures: Vec<BootFailure>,
    /// The factory reset that waits for the next start.
    pub reset: PendingReset,
}

/// Reads them. An error when the disk does not answer: from half of the facts anything may follow.
pub fn load(
    disk: &dyn Disk,
    journal: &Journal<'_>,
    trust: &TrustStore,
    running: Option<Running>,
    live: bool,
    failures: Vec<BootFailure>,
) -> Result<Facts> {
    let partition = StatePartition(disk);
    let blocks = state::read(&partition)?;
    Ok(Facts {
        running,
        live,
        boot: blocks.newest,
        whole_blocks: blocks.whole,
        base: Pair::try_of(|slot| slot::content(disk, Part::Base(slot), trust))?,
        site: Pair::try_of(|slot| slot::content(disk, Part::Site(slot), trust))?,
        history: journal.certain_history(|| answers(&partition))?,
        failures,
        reset: reset::pending(disk)?,
    })
}

impl Facts {
    /// What is in a slot for packages of this kind.
    pub fn content(&self, kind: Kind, slot: SlotId) -> &Content {
        match kind {
            Kind::Site => self.site.get(slot),
            Kind::Base | Kind::Licence => self.base.get(slot),
        }
    }

    /// The base slot that runs.
    pub fn running_base(&self) -> Option<SlotId> {
        self.running.map(|running| running.base)
    }

    /// The highest sequence of each package line that was ever committed, as far as disk and journal tell. A good base slot was
    /// committed, whatever the journal has forgotten; but after a lost boot state every signed slot counts as good, so the slot that is
    /// not first has to do without when the journal knows its release and nothing of a commit. In the order of kind and name, whichever
    /// was committed first.
    pub fn floors(&self) -> Vec<Floor> {
        let mut floors = self.history.floors();
        for slot in SlotId::BOTH.into_iter().filter(|slot| self.is_good(*slot)) {
            if let Some(base) = self.base.get(slot).manifest().filter(|base| self.was_committed(slot, base)) {
                Floor::raise(&mut floors, base.kind, &base.name, base.sequence);
            }
        }
        floors.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        floors
    }

    fn was_committed(&self, good: SlotId, base: &Manifest) -> bool {
        let first = self.boot.is_some_and(|boot| boot.order == good) || self.running_base() == Some(good);
        first || !self.history.knows(base.build_id) || self.history.committed(base.build_id)
    }

    /// The floor of one package line.
    pub fn floor(&self, kind: Kind, name: &str) -> Option<u64> {
        Floor::of(&self.floors(), kind, name)
    }

    /// Whether another build was committed under the number of this release.
    pub fn has_other_build(&self, release: &Manifest) -> bool {
        let good = SlotId::BOTH.into_iter().filter(|slot| self.is_good(*slot));
        let bases =
            good.filter_map(|slot| self.base.get(slot).manifest().filter(|base| self.was_committed(slot, base)));
        let in_slots = bases.into_iter().any(|base| {
            (base.kind, &base.name, base.sequence) == (release.kind, &release.name, release.sequence)
                && base.build_id != release.build_id
        });
        in_slots || self.history.committed_other(release)
    }

    /// The base that runs, or on an image file the one that is first.
    pub fn home(&self) -> Option<&Manifest> {
        let slot = self.running_base().or_else(|| self.boot.map(|boot| boot.order))?;
        self.base.get(slot).manifest()
    }

    /// A clock, both in seconds since 1970, but never before [`Self::home`] was made.
    pub fn not_before_home(&self, clock: u64) -> i64 {
        let clock = i64::try_from(clock).unwrap_or(i64::MAX);
        self.home().map_or(clock, |base| clock.max(base.created))
    }

    /// Whether the boot state calls this base slot good.
    pub fn is_good(&self, slot: SlotId) -> bool {
        self.boot.is_some_and(|boot| boot.slot(slot).good)
    }

    /// The good base slot that comes first and had tries left, while the other good one runs: the boot loader could not load it at this
    /// start. With the tries it has left.
    pub fn good_and_not_loaded(&self) -> Option<(SlotId, u8)> {
        let (boot, running) = (self.boot?, self.running_base()?);
        let tries = boot.slot(boot.order).tries;
        let passed_over = boot.order != running && self.is_good(boot.order) && self.is_good(running) && tries > 0;
        passed_over.then_some((boot.order, tries))
    }

    /// The site that runs, or on an image file the one that would.
    pub fn active_site(&self) -> Option<SlotId> {
        if let Some(running) = self.running {
            return running.site;
        }
        choose(self.boot.and_then(|boot| boot.site), self.home(), self.sites())
    }

    /// The site the next restart starts, when it starts `base`, as the initramfs program chooses.
    pub fn site_after_restart(&self, base: Option<SlotId>) -> Option<SlotId> {
        let base = base.and_then(|slot| self.base.get(slot).manifest());
        choose(self.boot.and_then(|boot| boot.site), base, self.sites())
    }

    fn sites(&self) -> [Option<&Manifest>; 2] {
        SlotId::BOTH.map(|slot| self.site.get(slot).manifest())
    }

    /// The bases that may start next, first choice first: a site has to get along with all of them.
    pub fn bases_that_may_start(&self) -> Vec<&Manifest> {
        let Some(boot) = self.boot else {
            return SlotId::BOTH.iter().filter_map(|slot| self.base.get(*slot).manifest()).collect();
        };
        let may = |slot: SlotId| boot.slot(slot).good && slot == boot.order || boot.slot(slot).is_on_trial();
        let home = self.running_base().into_iter();
        let mut slots: Vec<SlotId> = boot.in_order().into_iter().filter(|slot| may(*slot)).chain(home).collect();
        slots.dedup();
        slots.into_iter().filter_map(|slot| self.base.get(slot).manifest()).collect()
    }
}
