//! The steps of a start, in order. Each either succeeds, or ends the start with a reason, or is one of those that may fail.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use formats::SlotId;
use formats::boot_report::{BootReport, Firmware, SiteReport};
use formats::manifest::Manifest;
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};

use crate::config::{self, Build};
use crate::console::{say, warn};
use crate::disk::{self, Disk, Found, Partition};
use crate::error::{At, Doing, Error, Result};
use crate::identity::{self, Clues};
use crate::slot::Corruption;
use crate::{data, failure, firmware, machine, modules, site, slot, state};

const PROGRAM: &str = "/sbin/init";
const BASE_DEVICE: &str = "bulkhead-base";
const SITE_DEVICE: &str = "bulkhead-site";

/// Goes all the way; returns only to say why it could not.
pub fn boot() -> Result<Infallible> {
    machine::mount_kernel_file_systems()?;
    let (build, trust) = config::load()?;
    failure::note(|known| {
        known.version.clone_from(&build.version);
        known.build_id = Some(build.build_id);
    });
    say(&format!("{} {} (build {})", build.product, build.version, build.build_id.short()));
    modules::load_all()?;
    machine::arm_watchdogs(build.watchdog_seconds);

    let Found { disk, slot, state, mut warnings } = disk::find(&clues(&build)?)?;
    failure::note(|known| known.slot = Some(slot));
    disk::note_data_partition(&disk);
    say(&format!("slot {slot} of \"{}\", {}", disk.name, state.describe()));
    if state.lost {
        restore_state(&disk, slot, &trust, &mut warnings);
    }

    let base = mount_base(&disk, slot, &build, &trust)?;
    let data = data::prepare(&disk, &new("data"))?;
    let active_site = state.newest.as_ref().and_then(|state| state.site);
    let site = mount_site(&disk, active_site, base.manifest(), &trust, &mut warnings);
    let report = BootReport {
        format: BootReport::FORMAT,
        product: build.product,
        slot,
        base: slot::content(&base),
        site,
        data,
        state: state.report(),
        firmware: firmware::kind(),
        secure_boot: firmware::secure_boot(),
        disk: disk.node().display().to_string(),
        warnings,
    };
    leave_report(&report, &trust)?;
    say(&format!("starting {} {} from slot {slot}", report.base.name, report.base.version));
    machine::hand_over(PROGRAM)
}

/// Everything that tells which slot this is.
fn clues(build: &Build) -> Result<Clues> {
    if firmware::kind() == Firmware::Uefi
        && let Err(problem) = machine::mount_firmware_variables()
    {
        say(&format!("warning: no EFI variables: {problem}"));
    }
    let command_line = fs::read_to_string("/proc/cmdline").doing(|| "read \"/proc/cmdline\"".into())?;
    Ok(Clues {
        loader_partition: firmware::loader_partition(),
        argument: identity::slot_argument(&command_line),
        disk_guid: build.disk_guid,
    })
}

/// Begins a new boot state after both blocks were lost. Never ends the start.
fn restore_state(disk: &Disk, slot: SlotId, trust: &TrustStore, warnings: &mut Vec<String>) {
    let other = disk.partition(&identity::base_label(!slot)).and_then(|other| slot::verify(&other, trust, Role::Base));
    let other_is_signed = matches!(other, Ok(Some(_)));
    let outcome = match state::restore(disk, &state::rebuilt(slot, other_is_signed)) {
        Ok(()) => "the boot state was lost; a new one was begun from what is signed".to_owned(),
        Err(problem) => format!("the boot state is lost and cannot be written: {problem}"),
    };
    warn(warnings, outcome);
}

/// Verifies and mounts the base; any failure ends the start.
fn mount_base(disk: &Disk, slot: SlotId, build: &Build, trust: &TrustStore) -> Result<VerifiedManifest> {
    let partition = disk.partition(&identity::base_label(slot))?;
    let base = slot::verify(&partition, trust, Role::Base)?
        .ok_or_else(|| Error::Refused(format!("base slot {slot} is empty, but this kernel came from it")))?;
    slot::check_base(base.manifest(), build)?;
    slot::mount(BASE_DEVICE, &partition, base.manifest(), Corruption::Panic, Path::new(machine::NEW_ROOT))?;
    let signers = base.signers().iter().map(|signer| signer.name.as_str()).collect::<Vec<_>>().join(", ");
    say(&format!("base slot {slot} verified, signed by \"{signers}\""));
    Ok(base)
}

/// Verifies and mounts the best site slot. Never ends the start: a base without its site can still report and repair.
fn mount_site(
    disk: &Disk,
    active: Option<SlotId>,
    base: &Manifest,
    trust: &TrustStore,
    warnings: &mut Vec<String>,
) -> Option<SiteReport> {
    let mut problems = Vec::new();
    let candidates = SlotId::BOTH.map(|slot| {
        inspect_site(disk, slot, base, trust).unwrap_or_else(|problem| {
            problems.push(format!("site slot {slot}: {problem}"));
            None
        })
    });
    let sequences = candidates.each_ref().map(|site| site.as_ref().map(|(_, site)| site.manifest().sequence));
    let mut running = None;
    for slot in site::order(active, sequences) {
        let [a, b] = &candidates;
        let Some((partition, site)) = (if slot == SlotId::A { a } else { b }) else { continue };
        match slot::mount(SITE_DEVICE, partition, site.manifest(), Corruption::Error, &new("site")) {
            Ok(()) => {
                running = Some(SiteReport::Running { slot, content: slot::content(site) });
                say(&format!("site slot {slot} verified: {} {}", site.manifest().name, site.manifest().version));
                break;
            }
            Err(problem) => problems.push(format!("site slot {slot}: {problem}")),
        }
    }
    for problem in &problems {
        warn(warnings, problem.clone());
    }
    running.or_else(|| (!problems.is_empty()).then(|| SiteReport::Unusable { error: problems.join("; ") }))
}

/// The verified site in `slot` if it may run on `base`; nothing when the slot is empty.
fn inspect_site(
    disk: &Disk,
    slot: SlotId,
    base: &Manifest,
    trust: &TrustStore,
) -> Result<Option<(Partition, VerifiedManifest)>> {
    let partition = disk.partition(&format!("site-{}", slot.letter()))?;
    let Some(site) = slot::verify(&partition, trust, Role::Site)? else { return Ok(None) };
    slot::check_site(site.manifest(), base)?;
    Ok(Some((partition, site)))
}

/// The report lies in memory: it is about this start only. Beside it the keys this start was verified with, for whoever verifies the
/// next release.
fn leave_report(report: &BootReport, trust: &TrustStore) -> Result<()> {
    let run = new("run");
    machine::mount_memory(&run)?;
    let path = new(formats::boot_report::REPORT_PATH.trim_start_matches('/'));
    let bytes = report.encode().at(|| "boot report".into())?;
    fs::create_dir_all(run.join("bulkhead")).doing(|| "create \"/run/bulkhead\"".into())?;
    fs::write(&path, bytes).doing(|| format!("write {path:?}"))?;
    let path = run.join("bulkhead/trust.json");
    let bytes = trust.encode().at(|| "trust store".into())?;
    fs::write(&path, bytes).doing(|| format!("write {path:?}"))
}

fn new(name: &str) -> PathBuf {
    Path::new(machine::NEW_ROOT).join(name)
}
