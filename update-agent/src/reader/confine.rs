//! Giving privileges away, for good.
//!
//! Only root has something to give: another user, an empty root directory, no network. An ordinary user, as on a build host, keeps
//! what it has except for what any process may renounce. Whoever starts the process is told which it was. A process that talks to the
//! network keeps that, and sees nothing of the appliance but how names are resolved.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{self, Gid, Uid};

use crate::error::{Doing, Error, Result};

/// What is left to a confined process.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The user and group it becomes; they must own nothing.
    pub user: u32,
    /// Bytes of address space.
    pub memory: u64,
    /// Files it may have open beside those it has.
    pub open_files: u64,
    /// Processes and threads its user may have beside this one.
    pub processes: u64,
    /// Whether it keeps the network.
    pub network: bool,
}

/// Closes every file this process inherited beside the standard three. To be called first, before it opens any of its own.
pub fn close_inherited() {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The directory that was just read is among them and closed already.
        unistd::close(number).unwrap_or(());
    }
}

/// Confines this process. Returns what could not be given away, a line each; an error when root could not give away its rights. Must
/// be called while the process has one thread, because some of these are properties of a thread.
pub fn confine(limits: &Limits) -> Result<Vec<String>> {
    let mut kept = Vec::new();
    let root = Uid::effective().is_root();
    // Before the length of files is limited: two small ones are written.
    let resolves = root && limits.network && {
        let problem = enter_resolver_root().err();
        kept.extend(problem.iter().map(|problem| format!("it finds no names, only addresses: {problem}")));
        problem.is_none()
    };
    for (resource, limit) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NPROC, limits.processes),
        (Resource::RLIMIT_AS, limits.memory),
    ] {
        setrlimit(resource, limit, limit).doing(|| format!("limit {resource:?}"))?;
    }
    if root {
        if !limits.network {
            kept.extend(leave_network());
        }
        if !resolves {
            enter_empty_root()?;
        }
        become_user(limits.user)?;
    } else {
        kept.push(format!("it keeps the rights of user {}: only root can give them away", Uid::current()));
    }
    let renounce = |done: nix::Result<()>, what: &str| done.doing(|| what.to_owned());
    renounce(prctl::set_no_new_privs(), "renounce new privileges")?;
    renounce(prctl::set_dumpable(false), "keep other processes from looking into this one")?;
    renounce(prctl::set_pdeathsig(Signal::SIGKILL), "end with the process that started this one")?;
    // Last: entering the empty root opened a directory.
    setrlimit(Resource::RLIMIT_NOFILE, limits.open_files, limits.open_files)
        .doing(|| "limit the number of open files".into())?;
    Ok(kept)
}

/// A network name space of its own has no interface that is up. A kernel without them, or root in a container, must do without: the
/// process has no address to send to anyway once it is confined otherwise, only more kernel to talk to.
fn leave_network() -> Option<String> {
    let problem = unshare(CloneFlags::CLONE_NEWNET).err()?;
    Some(format!("it keeps the network: {problem}"))
}

/// Changes the root to a directory that is removed already: nothing is in it and nothing can be made in it.
fn enter_empty_root() -> Result<()> {
    let parent = ["/run", "/tmp", "/"].into_iter().find(|parent| writable(Path::new(parent))).unwrap_or("/");
    let path = Path::new(parent).join(format!("bulkhead-empty-{}", std::process::id()));
    let doing = || format!("use \"{}\" as an empty root directory", path.display());
    unistd::mkdir(&path, Mode::empty()).doing(doing)?;
    let entered = std::env::set_current_dir(&path);
    fs::remove_dir(&path).doing(doing)?;
    entered.doing(doing)?;
    unistd::chroot(".").doing(doing)
}

/// Changes the root to a small file system in memory that only this process sees, with a copy of the two files names are resolved by. It
/// ends with the process.
fn enter_resolver_root() -> Result<()> {
    let path = Path::new("/run/bulkhead-resolver");
    let doing = || format!("use \"{}\" as root directory", path.display());
    let copies =
        ["resolv.conf", "hosts"].map(|name| (name, fs::read(Path::new("/etc").join(name)).unwrap_or_default()));
    match unistd::mkdir(path, Mode::S_IRWXU) {
        Err(Errno::EEXIST) => {}
        made => made.doing(doing)?,
    }
    unshare(CloneFlags::CLONE_NEWNS).doing(doing)?;
    let nowhere = None::<&str>;
    mount(nowhere, "/", nowhere, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nowhere).doing(doing)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("size=256k,nr_inodes=16,mode=0755")).doing(doing)?;
    fs::create_dir(path.join("etc")).doing(doing)?;
    for (name, bytes) in copies {
        let bytes = bytes.get(..bytes.len().min(RESOLVER_FILE)).unwrap_or_default();
        fs::write(path.join("etc").join(name), bytes).doing(doing)?;
    }
    mount(nowhere, path, nowhere, flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, nowhere).doing(doing)?;
    std::env::set_current_dir(path).doing(doing)?;
    unistd::chroot(".").doing(doing)
}

fn writable(directory: &Path) -> bool {
    unistd::access(directory, unistd::AccessFlags::W_OK).is_ok()
}

/// Becomes a user for good, and believes it only after trying to go back.
fn become_user(user: u32) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    let doing = || format!("become user {user}");
    let changed = unistd::setgroups(&[])
        .and_then(|()| unistd::setresgid(gid, gid, gid))
        .and_then(|()| unistd::setresuid(uid, uid, uid));
    changed.doing(doing)?;
    match (unistd::getresuid(), unistd::setuid(Uid::from_raw(0))) {
        (Ok(now), Err(Errno::EPERM)) if [now.real, now.effective, now.saved] == [uid; 3] => Ok(()),
        _ => Err(Error::Bug(format!("user {user} can still become root"))),
    }
}

/// What is copied of a file names are resolved by, at most.
const RESOLVER_FILE: usize = 64 << 10;
