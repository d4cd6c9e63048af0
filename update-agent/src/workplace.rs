//! What a command works on: the running appliance, or a disk image file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use formats::boot_report::{BootFailure, BootReport, FAILURES_LIMIT, FAILURES_PATH, REPORT_PATH, SiteReport};
use formats::trust::TrustStore;
use formats::{Guid, SlotId};
use nix::fcntl::{Flock, FlockArg};

use crate::disk::appliance::Appliance;
use crate::disk::image::Image;
use crate::disk::{Disk, Part};
use crate::error::{At, Doing, Error, Result};
use crate::health::{Examiner, Nothing, Shared};
use crate::journal::{Directory, Journal, Memory, Store};
use crate::lifecycle::{Agent, Running};
use crate::plain_file;
use crate::site::{Mounted, Site};
use crate::slot::Progress;

/// Where the initramfs program leaves the keys it verified this start with.
pub const TRUST_PATH: &str = "/run/bulkhead/trust.json";
/// Where the agent keeps what must survive a restart.
pub const DATA: &str = "/data";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const LOCK: &str = "/run/bulkhead/agent.lock";

/// Options of every command that looks at slots.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Work on this disk image file instead of the running appliance
    #[arg(long, value_name = "IMAGE")]
    pub disk: Option<PathBuf>,
    /// Trust store; by default the one this appliance was started with
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Boot report of the initramfs program
    #[arg(long, value_name = "FILE", default_value = REPORT_PATH, conflicts_with = "disk")]
    pub report: PathBuf,
    /// Directory for the journal of an image file, which otherwise has none.
    #[arg(skip)]
    pub journal: Option<PathBuf>,
}

/// The disk, its journal, and what is known about this start.
pub struct Workplace {
    disk: Box<dyn Disk>,
    store: Box<dyn Store>,
    trust: TrustStore,
    running: Option<Running>,
    site: Option<Mounted>,
    failures: Vec<BootFailure>,
    health: Box<dyn Examiner>,
    /// Who asks for what is done here.
    actor: Option<String>,
    /// Held while this value lives: two agents never change one disk at the same time.
    lock: Option<Flock<File>>,
}

/// What a command is going to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only looks.
    Look,
    /// Changes something; refused while another command does.
    Change,
}

impl Workplace {
    /// Opens what the options name.
    pub fn open(options: &Place, access: Access) -> Result<Self> {
        let Some(image) = &options.disk else {
            let report = crate::status::report(&options.report)?;
            return Self::appliance(&report, options.trust.as_deref(), access);
        };
        let trust = options.trust.as_ref().ok_or_else(|| {
            Error::Usage("--disk needs --trust FILE: an image file cannot say whom to believe".into())
        })?;
        Ok(Self {
            disk: Box::new(Image::open(image)?),
            store: match &options.journal {
                Some(directory) => Box::new(Directory::new(directory)),
                None => Box::new(Memory::default()),
            },
            trust: trust_store(trust)?,
            running: None,
            site: None,
            failures: Vec::new(),
            health: Box::new(Nothing),
            actor: None,
            lock: None,
        })
    }

    /// The running appliance.
    pub fn appliance(report: &BootReport, trust: Option<&Path>, access: Access) -> Result<Self> {
        let disk = Appliance::open(Path::new(&report.disk))?;
        let trust = trust_store(trust.unwrap_or(Path::new(TRUST_PATH)))?;
        let mut partitions = BTreeMap::new();
        for slot in SlotId::BOTH {
            partitions.extend(disk.partition(Part::Site(slot))?.map(|partition| (slot, partition)));
        }
        Ok(Self {
            disk: Box::new(disk),
            store: Box::new(Directory::new(&Path::new(DATA).join("bulkhead"))),
            site: Some(Mounted::new(partitions, trust.clone())),
            trust,
            running: Some(running(report)),
            failures: failures(),
            health: Box::new(Shared::of_this_machine()),
            actor: None,
            lock: lock(access)?,
        })
    }

    /// The same with someone to name in the journal.
    #[must_use]
    pub fn by(self, actor: String) -> Self {
        Self { actor: Some(actor), ..self }
    }

    /// The agent at work here.
    pub fn agent<'a>(&'a self, progress: Progress<'a>) -> Agent<'a> {
        Agent {
            disk: self.disk.as_ref(),
            journal: Journal::new(self.store.as_ref(), now).by(self.actor.clone()),
            trust: &self.trust,
            running: self.running,
            site: self.site.as_ref().map(|site| site as &dyn Site),
            failures: self.failures.clone(),
            health: self.health.as_ref(),
            progress,
        }
    }

    /// Whom to believe.
    pub fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// Lets go of everything but the lock.
    pub fn into_lock(self) -> Option<Flock<File>> {
        self.lock
    }

    /// True for an image file.
    pub fn is_image(&self) -> bool {
        self.running.is_none()
    }
}

/// What runs, according to the initramfs program.
pub fn running(report: &BootReport) -> Running {
    let site = match &report.site {
        Some(SiteReport::Running { slot, .. }) => Some(*slot),
        _ => None,
    };
    let site_named_then = report.state.newest.as_ref().and_then(|state| state.site);
    Running { base: report.slot, site, site_started: true, site_then: site, site_named_then, boot: boot_id() }
}

/// Which start of the machine this is; the kernel draws a number for each.
fn boot_id() -> Option<Guid> {
    fs::read_to_string(BOOT_ID).ok()?.trim().parse().ok()
}

/// Starts the initramfs program gave up, oldest first.
pub fn failures() -> Vec<BootFailure> {
    BootFailure::parse_log(&plain_file::read(&Path::new(DATA).join(FAILURES_PATH), FAILURES_LIMIT).unwrap_or_default())
}

fn trust_store(path: &Path) -> Result<TrustStore> {
    let bytes = fs::read(path).doing(|| format!("read the trust store \"{}\"", path.display()))?;
    TrustStore::parse(&bytes).at(|| path.display().to_string())
}

fn lock(access: Access) -> Result<Option<Flock<File>>> {
    if access == Access::Look {
        return Ok(None);
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(LOCK);
    let file = file.doing(|| format!("open \"{LOCK}\""))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    lock.map(Some).map_err(|_| Error::Busy("this appliance".into()))
}

/// Seconds since 1970 by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "this is where time enters journal and jobs; nothing is decided by it")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
