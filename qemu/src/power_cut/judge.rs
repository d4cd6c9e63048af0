//! What a machine would do with a disk, and whether that is what was promised. Without starting it.
//!
//! 1. The partition table can be read, and every slot is where it was.
//! 2. At least one block of the boot state is whole.
//! 3. Every base slot the boot loader would start ([`formats::boot_state::select`], as a counted try), and every one called good, is
//!    signed by keys the appliance trusts, and every block of it is the one its root hash says. So the last resort is never needed.
//! 4. The same for the site slot the boot state names.
//!
//! A slot that nothing starts may hold anything. Whether a release once committed is lost later is for [`super::replay`] to see, which
//! knows the order of the disks; what the appliance itself says about the disk is compared by [`super::agent`].

use std::collections::BTreeMap;

use formats::boot_state::{Start as Recorded, select};
use formats::footer::{FOOTER_SIZE, Footer};
use formats::manifest::Manifest;
use formats::trust::{Role, TrustStore};
use formats::verity::{BLOCK_SIZE, Block, Checker};
use formats::{Bytes, Digest, SlotId};

use super::working_copy::WorkingCopy;
use crate::surgery::{Extent, RawImage, base_label};
use crate::{Error, Result};

/// A judge with a memory: what was proved once and has not changed is not proved again.
#[derive(Debug)]
pub struct Judge {
    trust: TrustStore,
    proved: BTreeMap<(String, Digest), std::result::Result<Release, String>>,
}

/// A release in a slot, proved whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The package line.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Counts up with every release of the line.
    pub sequence: u64,
}

/// What a start does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The base slot that starts.
    pub slot: SlotId,
    /// What is in it.
    pub base: Release,
    /// It was committed; otherwise it is on trial.
    pub good: bool,
    /// The site slot the boot state names, and what is in it.
    pub site: Option<(SlotId, Release)>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What starts; nothing when that is a problem.
    pub start: Option<Start>,
    /// Everything that is not as promised.
    pub problems: Vec<String>,
}

impl Judge {
    /// A judge who trusts whom the appliance trusts.
    pub const fn new(trust: TrustStore) -> Self {
        Self { trust, proved: BTreeMap::new() }
    }

    /// How many times a slot was really proved, block by block.
    pub fn proofs(&self) -> usize {
        self.proved.len()
    }

    /// Looks at the disk as it is now. Fails only when the file cannot be read.
    pub fn look(&mut self, disk: &WorkingCopy) -> Result<Verdict> {
        let mut problems = moved(disk);
        if !problems.is_empty() {
            return Ok(Verdict { start: None, problems });
        }
        let Some(state) = disk.image().boot_state()? else {
            let problem = "neither block of the boot state is whole: nobody knows which slot is complete".to_owned();
            return Ok(Verdict { start: None, problems: vec![problem] });
        };
        let attempts = select(&state).attempts;
        let counted = |attempt: &&formats::boot_state::Attempt| matches!(attempt.start, Recorded::Counted { .. });
        let first = attempts.first().filter(counted).map(|attempt| attempt.slot);
        if first.is_none() {
            problems.push("no slot has a try left: only the last resort starts".into());
        }
        let mut start = None;
        for slot in SlotId::BOTH {
            let record = state.slot(slot);
            if record.tries == 0 && !record.good {
                continue;
            }
            match self.release(disk, &base_label(slot), Role::Base)? {
                Ok(base) if first == Some(slot) => start = Some(Start { slot, base, good: record.good, site: None }),
                Ok(_) => {}
                Err(problem) => problems.push(format!("base slot {slot} would be started ({record}), but {problem}")),
            }
        }
        if let Some(slot) = state.site {
            match self.release(disk, &format!("site-{}", slot.letter()), Role::Site)? {
                Ok(site) => start = start.map(|start| Start { site: Some((slot, site)), ..start }),
                Err(problem) => problems.push(format!("the boot state names site slot {slot}, but {problem}")),
            }
        }
        Ok(Verdict { start, problems })
    }

    /// The release in a slot, or why there is none.
    fn release(&mut self, disk: &WorkingCopy, label: &str, role: Role) -> Result<std::result::Result<Release, String>> {
        let Some((_, extent, written)) = disk.slots().find(|(found, ..)| *found == label) else {
            return Ok(Err(format!("there is no partition \"{label}\"")));
        };
        let key = (label.to_owned(), written);
        if let Some(known) = self.proved.get(&key) {
            return Ok(known.clone());
        }
        let found = prove(disk.image(), extent, &self.trust, role)?;
        self.proved.insert(key, found.clone());
        Ok(found)
    }
}

impl Release {
    fn of(manifest: &Manifest) -> Self {
        Self { name: manifest.name.clone(), version: manifest.version.to_string(), sequence: manifest.sequence }
    }
}

/// Partitions that are not where they were, or a table that cannot be read.
fn moved(disk: &WorkingCopy) -> Vec<String> {
    let gpt = match disk.image().gpt() {
        Ok(gpt) => gpt,
        Err(error) => return vec![error.chain()],
    };
    let is_there = |label: &str, extent: Extent| {
        let found = gpt.partition(label).map(|(_, partition)| gpt.extent(partition));
        found == Some((Bytes(extent.offset), Bytes(extent.length)))
    };
    let gone = disk.slots().filter(|(label, extent, _)| !is_there(label, *extent));
    gone.map(|(label, ..)| format!("partition \"{label}\" is not where it was")).collect()
}

/// Footer, signature, every block.
fn prove(
    image: &RawImage,
    slot: Extent,
    trust: &TrustStore,
    role: Role,
) -> Result<std::result::Result<Release, String>> {
    let Some(footer_at) = (slot.offset + slot.length).checked_sub(FOOTER_SIZE as u64) else {
        return Ok(Err("it has no room for a footer".into()));
    };
    let footer = image.read(footer_at, FOOTER_SIZE)?;
    let verified = Footer::parse(&footer).and_then(|footer| footer.verify(trust, role));
    let checker = verified.and_then(|verified| {
        let info = verified.manifest().image()?;
        info.check_fits(Bytes(slot.length))?;
        Ok((Checker::new(&info.parameters(), info.root_hash)?, Release::of(verified.manifest())))
    });
    let (checker, release) = match checker {
        Ok(found) => found,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let read = |number: u64, block: &mut Block| {
        let bytes = image.read(slot.offset + number * BLOCK_SIZE as u64, BLOCK_SIZE)?;
        block.copy_from_slice(&bytes);
        Ok::<_, Error>(())
    };
    Ok(match checker.run(read)? {
        None => Ok(release),
        Some(fault) => Err(format!("it is not whole: {fault}")),
    })
}
