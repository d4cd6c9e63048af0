//! The operator's setting about backups, and the passphrase beside it if there is one.

use std::io;
use std::path::{Path, PathBuf};

use formats::age::passphrase_problem;
use formats::backup::setting::{MAX_FILE, Setting};

use super::{Lock, Trouble};
use crate::error::{At, Doing, Result};
use crate::plain_file;
use crate::secret::Secret;

/// The setting under `data`, the mounted data partition; what is usual when nothing was said.
pub fn load(data: &Path) -> Result<Setting> {
    let path = file(data);
    match plain_file::read(&path, MAX_FILE) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(Setting::default()),
        bytes => {
            Setting::parse(&bytes.doing(|| format!("read \"{}\"", path.display()))?).at(|| path.display().to_string())
        }
    }
}

/// Keeps a setting. With a passphrase, that too, beside it; the setting then has to name [`PASSPHRASE`].
pub fn store(data: &Path, setting: &Setting, passphrase: Option<&Secret>) -> Result<()> {
    let path = file(data);
    let bytes = setting.encode().at(|| "what is said about backups".into())?;
    let doing = || format!("write \"{}\"", path.display());
    std::fs::create_dir_all(path.parent().unwrap_or(data)).doing(doing)?;
    if let Some(passphrase) = passphrase {
        check(passphrase)?;
        let beside = data.join("bulkhead").join(PASSPHRASE);
        // Before the setting that names it.
        plain_file::replace(&beside, &beside.with_extension("new"), passphrase.reveal().as_bytes(), 0o600)
            .doing(|| format!("write \"{}\"", beside.display()))?;
    }
    plain_file::replace(&path, &path.with_extension("json.new"), &bytes, 0o600).doing(doing)
}

/// For whom backups are encrypted that are made by themselves.
pub fn lock(data: &Path, setting: &Setting) -> Result<Lock> {
    if !setting.recipients.is_empty() {
        return Ok(Lock::Recipients(setting.recipients.clone()));
    }
    let Some(name) = &setting.passphrase_file else { return Err(Trouble::NoLock.into()) };
    let path = data.join("bulkhead").join(name.as_str());
    let doing = || format!("read \"{}\", which the setting about backups names", path.display());
    let bytes = plain_file::read(&path, LONGEST).doing(doing)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text")).doing(doing)?;
    // An editor ends the last line.
    let passphrase = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
    check(&passphrase)?;
    Ok(Lock::Passphrase(passphrase))
}

/// Refuses a passphrase with which nothing is to be encrypted.
pub fn check(passphrase: &Secret) -> Result<()> {
    passphrase_problem(passphrase.reveal()).map_or(Ok(()), |problem| Err(Trouble::Weak(problem).into()))
}

fn file(data: &Path) -> PathBuf {
    data.join("bulkhead/backup.json")
}

/// The file with a passphrase that was given through the interface.
pub const PASSPHRASE: &str = "backup-passphrase";
const LONGEST: usize = 2 << 10;
