//! A machine that starts from a medium: firmware and GRUB as `formats` models them, then what the initramfs program checks.
//!
//! Independent of the agent: it shares nothing with it but `formats`.

use formats::boot_report::BootFailure;
use formats::boot_state::{self, BootState, Selection, Start, select, select_without_state};
use formats::footer::{self, FOOTER_SIZE, Footer};
use formats::manifest::Manifest;
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};
use formats::verity::{BLOCK_SIZE, Checker};
use formats::{Digest, Guid, SlotId, state_volume};
use update_agent::disk::Part;
use update_agent::disk::simulated::Medium;
use update_agent::lifecycle::Running;
use update_agent::site::Now;

use super::fixtures::{KERNEL_BLOCKS, MAGIC};

/// A machine whose userland is up.
#[derive(Debug, Clone)]
pub struct Started {
    pub running: Running,
    pub failures: Vec<BootFailure>,
}

/// Starts the machine; GRUB's counting changes the medium. An error when it never comes up.
pub fn start(medium: &mut Medium, trust: &TrustStore) -> Result<Started, String> {
    let mut failures = Vec::new();
    for _ in 0..MAX_RESTARTS {
        let copies = state_volume::copies(medium.part(Part::State)).map(<[u8]>::to_vec);
        let newest = boot_state::newest([&copies[0], &copies[1]]);
        let state = newest.map(|(_, state)| state);
        let selection = state.as_ref().map_or_else(select_without_state, select);
        let Some(slot) = grub(medium, &selection, newest) else {
            return Err(format!("GRUB finds nothing to load; boot state {state:?}"));
        };
        match verified_base(medium, slot, trust) {
            Ok(base) => {
                let named = state.and_then(|state| state.site);
                let site = site(medium, named, base.manifest(), trust);
                medium.site = Some(Now { slot: site, started: true });
                let running = Running {
                    base: slot,
                    site,
                    site_started: true,
                    site_then: site,
                    site_named_then: named,
                    boot: Some(boot_id(medium)),
                };
                return Ok(Started { running, failures });
            }
            Err(reason) => failures.push(BootFailure {
                format: 1,
                time: 0,
                slot: Some(slot),
                version: String::new(),
                build_id: kernel(medium, slot),
                reason,
            }),
        }
    }
    let reasons: Vec<_> = failures.iter().map(|failure| format!("{:?}: {}", failure.slot, failure.reason)).collect();
    Err(format!("the machine restarts for ever: {}", reasons.last().cloned().unwrap_or_default()))
}

/// A number of its own for each start, and yet the same whenever the same is played: every start counts a try.
fn boot_id(medium: &Medium) -> Guid {
    let what = Digest::of_parts([medium.part(Part::State), medium.journal.as_slice()]);
    Guid::derive("start", &what.to_string())
}

/// GRUB's run: counts and loads. The slot it started.
fn grub(medium: &mut Medium, selection: &Selection, newest: Option<(usize, BootState)>) -> Option<SlotId> {
    let mut state = newest;
    for attempt in &selection.attempts {
        if let Some((copy, state)) = &mut state {
            let event = match attempt.start {
                Start::Counted { .. } => boot_state::Event::CountTry(attempt.slot),
                Start::LastResort => boot_state::Event::LastResort(attempt.slot),
                Start::Unrecorded => continue,
            };
            *state = boot_state::next(state, event).unwrap();
            let mut volume = medium.part(Part::State).to_vec();
            let at = usize::try_from(state_volume::COPY_OFFSETS[*copy]).unwrap();
            volume[at..at + 512].copy_from_slice(&state.encode().unwrap());
            medium.set(Part::State, volume);
        }
        if kernel(medium, attempt.slot).is_some() {
            return Some(attempt.slot);
        }
    }
    None
}

/// The build id of the kernel in a slot, when GRUB finds the files and their signatures hold.
pub fn kernel(medium: &Medium, slot: SlotId) -> Option<Digest> {
    let bytes = medium.part(Part::Base(slot));
    let head = &bytes[..BLOCK_SIZE];
    let whole = head.starts_with(MAGIC)
        && Digest::of(&head[..BLOCK_SIZE - 32]).0 == head[BLOCK_SIZE - 32..]
        && Digest::of(&bytes[BLOCK_SIZE..KERNEL_BLOCKS * BLOCK_SIZE]).0 == head[40..72];
    whole.then(|| Digest(head[8..40].try_into().unwrap()))
}

/// What the initramfs program and then the kernel check: footer, build, every block.
pub fn verified_base(medium: &Medium, slot: SlotId, trust: &TrustStore) -> Result<VerifiedManifest, String> {
    let base = verified(medium.part(Part::Base(slot)), trust, Role::Base)?;
    if kernel(medium, slot) != Some(base.manifest().build_id) {
        return Err("kernel and slot do not belong together".into());
    }
    Ok(base)
}

pub fn verified(slot: &[u8], trust: &TrustStore, role: Role) -> Result<VerifiedManifest, String> {
    let footer = &slot[slot.len() - FOOTER_SIZE..];
    if footer::is_erased(footer) {
        return Err("empty".into());
    }
    let verified = Footer::parse(footer).and_then(|f| f.verify(trust, role)).map_err(|e| e.to_string())?;
    let image = verified.manifest().image().map_err(|e| e.to_string())?;
    let checker = Checker::new(&image.parameters(), image.root_hash).map_err(|e| e.to_string())?;
    let fault = checker.run(|block, buffer| {
        let at = usize::try_from(block).unwrap() * BLOCK_SIZE;
        buffer.copy_from_slice(&slot[at..at + BLOCK_SIZE]);
        Ok::<(), ()>(())
    });
    match fault {
        Ok(None) => Ok(verified),
        other => Err(format!("{other:?}")),
    }
}

/// The site the initramfs program mounts: the named one if it is right, else the highest sequence that is.
fn site(medium: &Medium, named: Option<SlotId>, base: &Manifest, trust: &TrustStore) -> Option<SlotId> {
    let mut candidates: Vec<(bool, u64, SlotId)> = [SlotId::B, SlotId::A]
        .into_iter()
        .filter_map(|slot| {
            let site = verified(medium.part(Part::Site(slot)), trust, Role::Site).ok()?;
            let site_needs = site.manifest().requires.base.as_ref();
            let base_needs = base.requires.site.as_ref();
            let suits = site_needs.is_none_or(|needed| needed.matches(&base.version))
                && base_needs.is_none_or(|needed| needed.matches(&site.manifest().version));
            suits.then_some((named == Some(slot), site.manifest().sequence, slot))
        })
        .collect();
    candidates.sort();
    candidates.last().map(|(.., slot)| *slot)
}

const MAX_RESTARTS: usize = 12;
