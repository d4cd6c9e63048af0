//! The steps of a start, in order. Each either succeeds, or ends the start with a reason, or is one of those that may fail.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use appliance::slot::{Corruption, device_name, mount, verify};
use appliance::{At, Doing, Error, Partition, Result};
use formats::SlotId;
use formats::boot_report::{BootReport, Content, Firmware, SiteReport};
use formats::manifest::Manifest;
use formats::signature::VerifiedManifest;
use formats::site::check_pair;
use formats::trust::{Role, TrustStore};

use crate::config::{self, Build};
use crate::console::{say, warn};
use crate::disk::{self, Disk, Found};
use crate::identity::{self, Clues};
use crate::{data, failure, firmware, machine, modules, slot, state};

const PROGRAM: &str = "/sbin/init";

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
    // Open until this program becomes the next one.
    let watchdogs = machine::arm_watchdogs(build.watchdog_seconds);

    let Found { disk, slot, state, mut warnings } = disk::find(&clues(&build)?)?;
    failure::note(|known| known.slot = Some(slot));
    disk::note_data_partition(&disk);
    say(&format!("slot {slot} of \"{}\", {}", disk.name, state.describe()));
    if state.lost {
        restore_state(&disk, slot, &trust, &mut warnings);
    }

    let base = mount_base(&disk, slot, &build, &trust)?;
    let data = data::prepare(&disk, &new("data"), &watchdogs)?;
    let named = state.newest.as_ref().and_then(|state| state.site);
    let site = mount_site(&disk, named, base.manifest(), &trust, &mut warnings);
    let report = BootReport {
        format: BootReport::FORMAT,
        product: build.product,
        slot,
        base: Content::from(&base),
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
    let other = disk.partition(&identity::base_label(!slot)).and_then(|other| verify(&other, trust, Role::Base));
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
    let base = verify(&partition, trust, Role::Base)?
        .ok_or_else(|| Error::Refused(format!("base slot {slot} is empty, but this kernel came from it")))?;
    slot::check_base(base.manifest(), build)?;
    let device = device_name(Role::Base, slot);
    mount(device, &partition, base.manifest(), Corruption::Panic, Path::new(machine::NEW_ROOT))?;
    let signers = base.signer_names();
    say(&format!("base slot {slot} verified, signed by \"{signers}\""));
    Ok(base)
}

/// Verifies and mounts the best site slot. Never ends the start: a base without its site can still report and repair.
fn mount_site(
    disk: &Disk,
    named: Option<SlotId>,
    base: &Manifest,
    trust: &TrustStore,
    warnings: &mut Vec<String>,
) -> Option<SiteReport> {
    let mut problems = Vec::new();
    let signed = SlotId::BOTH.map(|slot| {
        signed_site(disk, slot, trust).unwrap_or_else(|problem| {
            problems.push(format!("site slot {slot}: {problem}"));
            None
        })
    });
    let sequences = signed.each_ref().map(|site| site.as_ref().map(|(_, site)| site.manifest().sequence));
    let mut running = None;
    // The slots after the one that runs are not looked at: a site that waits for another base is nothing to warn about.
    for slot in formats::site::order(named, sequences) {
        let [a, b] = &signed;
        let Some((partition, site)) = (if slot == SlotId::A { a } else { b }) else { continue };
        match open_site(slot, partition, site.manifest(), base) {
            Ok(()) => {
                running = Some(SiteReport::Running { slot, content: site.into() });
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

/// The signed site in `slot`; nothing when the slot is empty.
fn signed_site(disk: &Disk, slot: SlotId, trust: &TrustStore) -> Result<Option<(Partition, VerifiedManifest)>> {
    let partition = disk.partition(&format!("site-{}", slot.letter()))?;
    Ok(verify(&partition, trust, Role::Site)?.map(|site| (partition, site)))
}

/// Mounts a site that suits the base; refuses another one, whoever named it.
fn open_site(slot: SlotId, partition: &Partition, site: &Manifest, base: &Manifest) -> Result<()> {
    check_pair(base, site).map_err(|mismatch| Error::Refused(format!("{} {} {mismatch}", site.name, site.version)))?;
    mount(device_name(Role::Site, slot), partition, site, Corruption::Error, &new("site"))
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
