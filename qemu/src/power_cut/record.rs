//! A recording: a guest installs a package, restarts into it and keeps it, and every write of its disk is logged.
//!
//! A recording is a folder: the disk as it was before (`before.img`), the log (`writes.log`), whom the appliance trusts
//! (`trust.json`, as the appliance itself says), and what it is (`recording.json`). It is finished only when the log, replayed onto the
//! disk before, gives exactly the disk after: a recorder that loses a write would prove nothing.
//!
//! The appliance needs a root shell on its serial console; the package is put into it as a second disk, like a stick.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::Bytes;
use formats::manifest::{Kind, Manifest};
use formats::package::peek_manifest;
use formats::trust::TrustStore;
use serde::{Deserialize, Serialize};

use super::boots::READY;
use super::stretches::stretches;
use super::working_copy::WorkingCopy;
use super::write_log::WriteLog;
use crate::disk::copy_sparse;
use crate::scenario::shell::Shell;
use crate::{Disk, Error, Firmware, Guest, Machine, Result, Tap};

/// What to record.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Raw disk image of the appliance; it is not modified.
    pub image: PathBuf,
    /// Package to install.
    pub package: PathBuf,
    /// Folder of the recording; made if it is not there.
    pub folder: PathBuf,
    /// The machine's firmware.
    pub firmware: Firmware,
    /// Size of the disk; the image's, when nothing is given.
    pub size: Option<Bytes>,
    /// Who sees the console meanwhile.
    pub tap: Option<Tap>,
}

/// A finished recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recording {
    /// Always 1.
    pub format: u32,
    /// What was installed: base or site.
    pub kind: Kind,
    /// Its package line.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The firmware it was recorded with.
    pub firmware: String,
    /// Entries in the log.
    pub entries: u64,
    /// Size of the log.
    pub log_bytes: u64,
    /// Seconds the guest ran.
    pub seconds: u64,
    /// Where the files are.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Recorder {
    /// Runs the guest. `progress` is told each step.
    pub fn record(&self, progress: &mut dyn FnMut(&str)) -> Result<Recording> {
        let package = File::open(&self.package).map_err(Error::io("open", &self.package))?;
        let manifest = peek_manifest(package)
            .map_err(|error| Error::Input(format!("\"{}\" is no package: {error}", self.package.display())))?;
        self.make_folder()?;
        let disk = Disk::copy(self.folder.join(BEFORE))?;
        disk.record_writes(self.folder.join(LOG))?;
        let mut machine = self.machine(&disk);
        let mut guest = machine.boot()?;
        self.update(&mut guest, &manifest, progress)?;
        let seconds = guest.elapsed().as_secs();
        guest.quit()?;
        progress("comparing the replayed log with the disk");
        let entries = self.compare(&disk)?;
        let recording = Recording {
            format: 1,
            kind: manifest.kind,
            name: manifest.name.clone(),
            version: manifest.version.to_string(),
            firmware: self.firmware.to_string(),
            entries,
            log_bytes: fs::metadata(self.folder.join(LOG)).map_err(Error::io("examine", &self.folder))?.len(),
            seconds,
            folder: self.folder.clone(),
        };
        let text = serde_json::to_vec_pretty(&recording).map_err(|error| Error::Environment(error.to_string()))?;
        let path = self.folder.join(FACTS);
        fs::write(&path, text).map_err(Error::io("write", &path))?;
        Ok(recording)
    }

    fn make_folder(&self) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        // The facts are written last: without them the rest is what an interrupted run left.
        if self.folder.join(FACTS).exists() {
            let folder = self.folder.display();
            return Err(Error::Input(format!(
                "\"{folder}\" holds a recording already; remove it or name another folder"
            )));
        }
        let (before, log) = (self.folder.join(BEFORE), self.folder.join(LOG));
        copy_sparse(&self.image, &before)?;
        // The emulator goes on with a log that is there.
        File::create(&log).map_err(Error::io("create", &log))?;
        if let Some(size) = self.size {
            let now = fs::metadata(&before).map_err(Error::io("examine", &before))?.len();
            if size.0 < now {
                return Err(Error::Input(format!("a disk of {size} is smaller than the image of {}", Bytes(now))));
            }
            let file = File::options().write(true).open(&before).map_err(Error::io("open", &before))?;
            file.set_len(size.0).map_err(Error::io("enlarge", &before))?;
        }
        Ok(())
    }

    fn machine(&self, disk: &Disk) -> Machine {
        let stick = self.package.display().to_string().replace(',', ",,");
        let machine = Machine::new(disk).firmware(self.firmware.clone()).extra([
            "-drive".to_owned(),
            format!("if=none,id=stick,format=raw,readonly=on,file={stick}"),
            "-device".to_owned(),
            "virtio-blk-pci,drive=stick".to_owned(),
        ]);
        match &self.tap {
            Some(tap) => machine.tap(tap.clone()),
            None => machine,
        }
    }

    /// From the first start to a release that is kept across a restart.
    fn update(&self, guest: &mut Guest, manifest: &Manifest, progress: &mut dyn FnMut(&str)) -> Result<()> {
        let new = match manifest.kind {
            Kind::Base => format!("version={} ", manifest.version),
            Kind::Site => format!("site={} {}", manifest.name, manifest.version),
            Kind::Licence => {
                return Err(Error::Input("a licence package changes no slot; give a base or a site".into()));
            }
        };
        progress("first start");
        guest.expect(READY, guest.patience(1))?;
        let mut shell = Shell::default();
        self.keep_trust(&typed(&mut shell, guest, "echo \"TRUST $(tr -d '\\n' </run/bulkhead/trust.json)\"", 1)?)?;

        progress("the package is copied to the data partition");
        let length = fs::metadata(&self.package).map_err(Error::io("examine", &self.package))?.len();
        typed(&mut shell, guest, &format!("head -c {length} /dev/vdb >{PACKAGE} && sync"), 3)?;
        progress("installing");
        typed(&mut shell, guest, &format!("update-agent install {PACKAGE}"), 4)?;
        if manifest.kind == Kind::Site {
            typed(&mut shell, guest, SETTLE, 6)?;
        }
        progress("restarting into it");
        guest.send("reboot\n")?;
        guest.expect([READY, new.as_str()], guest.patience(3))?;
        progress("waiting until it is kept");
        typed(&mut shell, guest, SETTLE, 6)?;
        typed(&mut shell, guest, &format!("rm {PACKAGE} && sync"), 1).map(drop)
    }

    /// Keeps the trust store, which is one line of what the guest printed.
    fn keep_trust(&self, said: &str) -> Result<()> {
        let trust = said.lines().find_map(|line| line.split_once("TRUST {")).map(|(_, rest)| format!("{{{rest}"));
        let trust = trust.ok_or_else(|| Error::Environment(format!("the guest shows no trust store: \"{said}\"")))?;
        TrustStore::parse(trust.as_bytes()).map_err(Error::format("the appliance's trust store"))?;
        let path = self.folder.join(TRUST);
        fs::write(&path, trust).map_err(Error::io("write", &path))
    }

    /// The log on the disk before must give the disk after.
    fn compare(&self, after: &Disk) -> Result<u64> {
        let copy = tempfile::Builder::new().prefix("compared-").tempfile_in(&self.folder);
        let copy = copy.map_err(Error::io("create a file in", &self.folder))?;
        copy_sparse(&self.folder.join(BEFORE), copy.path())?;
        let mut disk = WorkingCopy::open(copy.path(), scratch(&self.folder)?)?;
        let log = open_log(&self.folder)?;
        for stretch in stretches(&log) {
            let stretch = stretch.map_err(Error::format("the log"))?;
            stretch.whole().try_for_each(|part| disk.keep(&log, &part))?;
        }
        match first_difference(copy.path(), &after.file())? {
            None => Ok(log.len()),
            Some(at) => Err(Error::Environment(format!(
                "the emulator's log is not complete: replayed, it differs from the disk at byte {at}; record again"
            ))),
        }
    }
}

impl Recording {
    /// Opens a folder that [`Recorder::record`] filled.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FACTS);
        let text = fs::read(&path).map_err(|error| {
            Error::Input(format!("\"{}\" is no recording: cannot read \"{FACTS}\": {error}", folder.display()))
        })?;
        let recording: Self = serde_json::from_slice(&text)
            .map_err(|error| Error::Input(format!("\"{}\" is not what it should be: {error}", path.display())))?;
        if recording.format != 1 {
            let format = recording.format;
            return Err(Error::Input(format!("\"{}\" has format {format}; 1 is understood", path.display())));
        }
        Ok(Self { folder: folder.to_owned(), ..recording })
    }

    /// The disk before the first write.
    pub fn before(&self) -> PathBuf {
        self.folder.join(BEFORE)
    }

    /// Whom the appliance trusts.
    pub fn trust(&self) -> PathBuf {
        self.folder.join(TRUST)
    }
}

/// The log in a recording's folder.
pub fn open_log(folder: &Path) -> Result<WriteLog<File>> {
    let (path, before) = (folder.join(LOG), folder.join(BEFORE));
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let disk = fs::metadata(&before).map_err(Error::io("examine", &before))?.len();
    WriteLog::open(file, Bytes(disk)).map_err(Error::format(format!("\"{}\"", path.display())))
}

/// A file without a name for what [`WorkingCopy`] takes back.
pub fn scratch(folder: &Path) -> Result<File> {
    tempfile::tempfile_in(folder).map_err(Error::io("create a file in", folder))
}

/// Runs a command, which must end well within the time of so many starts; returns what it printed.
fn typed(shell: &mut Shell, guest: &mut Guest, command: &str, boots: u32) -> Result<String> {
    let patience = guest.patience(boots);
    let outcome = shell.run(guest, command, patience)?;
    let said = outcome.lines.join("\n");
    match outcome.code {
        0 => Ok(said),
        code => Err(guest.failure(format!("\"{command}\" ended with {code}: {said}"))),
    }
}

fn first_difference(one: &Path, other: &Path) -> Result<Option<u64>> {
    let open = |path: &Path| File::open(path).map_err(Error::io("open", path));
    let size = |file: &File, path: &Path| Ok(file.metadata().map_err(Error::io("examine", path))?.len());
    let (left, right) = (open(one)?, open(other)?);
    let length = size(&left, one)?;
    if length != size(&right, other)? {
        return Ok(Some(length));
    }
    let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < length {
        let part = usize::try_from((length - at).min(CHUNK as u64)).unwrap_or(CHUNK);
        left.read_exact_at(&mut ours[..part], at).map_err(Error::io("read", one))?;
        right.read_exact_at(&mut theirs[..part], at).map_err(Error::io("read", other))?;
        if let Some(within) = (0..part).find(|byte| ours[*byte] != theirs[*byte]) {
            return Ok(Some(at + within as u64));
        }
        at += part as u64;
    }
    Ok(None)
}

/// Where the package is put in the guest.
const PACKAGE: &str = "/data/power-cut.pkg";
/// Waits until the appliance keeps what it runs, base and site.
const SETTLE: &str = "until update-agent status >/tmp/status && grep -q 'nothing is pending' /tmp/status && \
                      ! grep -q 'on trial' /tmp/status; do sleep 1; done";
const BEFORE: &str = "before.img";
const LOG: &str = "writes.log";
const TRUST: &str = "trust.json";
const FACTS: &str = "recording.json";
const CHUNK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn the_first_difference_of_two_disks_is_found() {
        let mut bytes = vec![0; CHUNK + 1000];
        let one = file(&bytes);
        assert_eq!(first_difference(one.path(), file(&bytes).path()).unwrap(), None);
        bytes[CHUNK + 500] = 1;
        assert_eq!(first_difference(one.path(), file(&bytes).path()).unwrap(), Some(CHUNK as u64 + 500));
        assert!(first_difference(one.path(), file(&bytes[1..]).path()).unwrap().is_some());
    }

    #[test]
    fn the_trust_store_is_found_among_what_else_comes_on_the_console() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = PathBuf::new();
        let recorder = Recorder {
            image: nowhere.clone(),
            package: nowhere,
            folder: folder.path().to_owned(),
            firmware: Firmware::Bios,
            size: None,
            tap: None,
        };
        let trust = String::from_utf8(crate::power_cut::fixture::trust().encode().unwrap()).unwrap().replace('\n', "");
        recorder.keep_trust(&format!("update-agent: feeding 1 watchdog(s)\nTRUST {trust}\nmore")).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(TRUST)).unwrap(), trust);
        assert!(recorder.keep_trust("cat: not found").is_err());
        assert!(recorder.keep_trust("TRUST {}").is_err());
    }

    #[test]
    fn refuses_folders_that_hold_a_recording_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let error = Recording::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("is no recording") && error.exit_code() == 3, "{error}");
        fs::write(folder.path().join(FACTS), "{}").unwrap();
        assert!(Recording::open(folder.path()).unwrap_err().to_string().contains("not what it should be"));
        let image = file(&[0; 512]);
        let recorder = Recorder {
            image: image.path().to_owned(),
            package: image.path().to_owned(),
            folder: folder.path().to_owned(),
            firmware: Firmware::Bios,
            size: Some(Bytes(100)),
            tap: None,
        };
        assert!(recorder.make_folder().unwrap_err().to_string().contains("holds a recording already"));
        fs::remove_file(folder.path().join(FACTS)).unwrap();
        fs::write(folder.path().join(LOG), "left by an interrupted run").unwrap();
        assert!(recorder.make_folder().unwrap_err().to_string().contains("smaller than the image"));
        assert_eq!(fs::read(folder.path().join(LOG)).unwrap(), b"");
        assert!(recorder.record(&mut |_| {}).unwrap_err().to_string().contains("is no package"));
    }
}
