//! The site of the running appliance: the base's hook, mounts and device-mapper devices.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use appliance::Partition;
use appliance::mount::{device_on, mount_verified, unmount};
use appliance::slot::{Corruption, close, device_name, mount, site_on, verify};
use formats::SlotId;
use formats::trust::{Role, TrustStore};

use super::holders::holders;
use super::{Now, Site};
use crate::error::{Doing, Error, Result};
use crate::hook::{self, Ended};

/// What a base provides to end and start the processes of its site.
pub const HOOK: &str = "/usr/lib/bulkhead/site";
/// Where the site is mounted.
pub const TARGET: &str = "/site";
/// There from before the processes are told to end until they are started again. Memory: gone at a restart, as is what it tells of.
const STOPPED: &str = "/run/bulkhead/site-stopped";
/// How long the hook may take for one step.
const HOOK_LIMIT: Duration = Duration::from_mins(1);
/// How long to wait for processes that were ended, and for programs that look at every new device, to let go.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// The real thing.
pub struct Mounted {
    partitions: BTreeMap<SlotId, Partition>,
    trust: TrustStore,
    hook: PathBuf,
    stopped: PathBuf,
    hook_limit: Duration,
}

impl Mounted {
    /// The site slots in `partitions`, believed when `trust` says so.
    pub fn new(partitions: BTreeMap<SlotId, Partition>, trust: TrustStore) -> Self {
        Self { partitions, trust, hook: HOOK.into(), stopped: STOPPED.into(), hook_limit: HOOK_LIMIT }
    }

    /// Runs one step of the hook, and ends it when it takes too long.
    fn hook(&self, step: &str) -> Result<()> {
        let name = format!("\"{} {step}\"", self.hook.display());
        let mut command = Command::new(&self.hook);
        command.arg(step).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        match hook::run(&mut command, self.hook_limit).doing(|| format!("start {name}"))? {
            Ended::Itself(status) if status.success() => Ok(()),
            Ended::Itself(status) => Err(Error::SiteNotSwitched(format!("{name} failed: {status}"))),
            Ended::TooLate { stopped } => {
                let then = if stopped { "was ended" } else { "cannot be ended" };
                let limit = self.hook_limit.as_secs();
                Err(Error::SiteNotSwitched(format!("{name} was not done after {limit} s and {then}")))
            }
        }
    }

    fn partition(&self, slot: SlotId) -> Result<&Partition> {
        let missing = || Error::SiteNotSwitched(format!("this disk has no site slot {slot}"));
        self.partitions.get(&slot).ok_or_else(missing)
    }
}

impl Site for Mounted {
    fn now(&self) -> Result<Now> {
        let slot = site_on(Path::new(TARGET)).map_err(|problem| not_switched(&problem))?;
        Ok(Now { slot, started: !self.stopped.exists() })
    }

    fn check(&self) -> Result<()> {
        if self.hook.is_file() { Ok(()) } else { Err(Error::NoSiteHook(self.hook.display().to_string())) }
    }

    fn stop(&self) -> Result<()> {
        let marker = OpenOptions::new().write(true).create(true).truncate(false).open(&self.stopped);
        marker.doing(|| format!("write {}", self.stopped.display()))?;
        self.hook("stop")
    }

    fn close(&self, slot: SlotId) -> Result<()> {
        let target = Path::new(TARGET);
        let number = fs::metadata(target).doing(|| format!("look at \"{TARGET}\""))?.dev();
        let device = device_on(target).map_err(|problem| not_switched(&problem))?;
        patiently(|| unmount(target)).map_err(|problem| {
            Error::SiteNotSwitched(format!("{problem}; \"{TARGET}\" is used by {}", holders(number)))
        })?;
        let name = device_name(Role::Site, slot);
        let Err(problem) = patiently(|| close(name)) else { return Ok(()) };
        // Somebody holds the device although nothing is mounted here: what was there comes back, so that nothing is half done.
        let node = device.and_then(|device| Some(format!("/dev/dm-{}", device.split_once(':')?.1)));
        let back = node.map_or(Ok(()), |node| mount_verified(Path::new(&node), target));
        let back = back.err().map(|back| format!("; and it cannot be mounted again: {back}")).unwrap_or_default();
        Err(Error::SiteNotSwitched(format!("{problem}; it is used by {}{back}", holders(number))))
    }

    fn open(&self, slot: SlotId) -> Result<()> {
        let partition = self.partition(slot)?;
        let site = verify(partition, &self.trust, Role::Site).map_err(|problem| not_switched(&problem))?;
        let site = site.ok_or_else(|| Error::SiteNotSwitched(format!("site slot {slot} is empty")))?;
        let name = device_name(Role::Site, slot);
        // Left over when an agent was ended between opening and mounting. In use or not there at all, the next line will tell.
        drop(close(name));
        mount(name, partition, site.manifest(), Corruption::Error, Path::new(TARGET))
            .map_err(|problem| not_switched(&problem))
    }

    fn start(&self) -> Result<()> {
        self.hook("start")?;
        match fs::remove_file(&self.stopped) {
            Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
                Err(problem).doing(|| format!("remove \"{}\"", self.stopped.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Tries again for a while.
fn patiently(mut step: impl FnMut() -> appliance::Result<()>) -> appliance::Result<()> {
    let deadline = Instant::now().checked_add(PATIENCE);
    loop {
        match step() {
            Err(appliance::Error::System { cause, .. })
                if cause.kind() == std::io::ErrorKind::ResourceBusy
                    && deadline.is_some_and(|deadline| Instant::now() < deadline) =>
            {
                sleep(POLL);
            }
            answer => return answer,
        }
    }
}

fn not_switched(problem: &appliance::Error) -> Error {
    Error::SiteNotSwitched(problem.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A site whose hook is this script, and its folder.
    fn with_hook(script: &str) -> (Mounted, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let hook = folder.path().join("site");
        fs::write(&hook, format!("#!/bin/sh\ncd {}\n{script}\n", folder.path().display())).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let trust = TrustStore::new("demo", Vec::new(), BTreeMap::new(), true).unwrap();
        let stopped = folder.path().join("stopped");
        let site = Mounted { hook, stopped, ..Mounted::new(BTreeMap::new(), trust) };
        (site, folder)
    }

    #[test]
    fn the_hook_is_told_what_to_do_and_the_site_counts_as_stopped_until_it_is_started() {
        let (site, folder) = with_hook("echo $1 >>log");
        site.check().unwrap();
        assert!(site.now().unwrap().started);
        site.stop().unwrap();
        assert!(!site.now().unwrap().started);
        site.start().unwrap();
        site.start().unwrap();
        assert!(site.now().unwrap().started);
        assert_eq!(fs::read_to_string(folder.path().join("log")).unwrap(), "stop\nstart\nstart\n");
    }

    #[test]
    fn a_hook_that_fails_or_hangs_is_named_with_its_step() {
        let (site, _folder) = with_hook("exit 3");
        let problem = site.stop().unwrap_err().to_string();
        assert!(problem.contains("site stop\" failed: exit status: 3"), "{problem}");
        let (site, folder) = with_hook("sleep 600 & echo $! >child; wait");
        // Long enough for a shell to begin on a busy machine.
        let site = Mounted { hook_limit: Duration::from_secs(3), ..site };
        let problem = site.start().unwrap_err().to_string();
        assert!(problem.contains("was not done after 3 s and was ended"), "{problem}");
        let child = fs::read_to_string(folder.path().join("child")).unwrap();
        sleep(POLL);
        let state = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn a_base_without_a_hook_is_found_out_before_anything_is_done() {
        let (mut site, _folder) = with_hook("");
        site.hook = "/nowhere/site".into();
        assert!(site.check().unwrap_err().to_string().contains("/nowhere/site"));
    }

    #[test]
    fn a_slot_that_is_not_there_is_not_opened() {
        let (site, _folder) = with_hook("");
        assert!(site.open(SlotId::A).unwrap_err().to_string().contains("no site slot A"));
    }
}
