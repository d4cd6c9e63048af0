//! Which depot this appliance asks, and as whom: `depot.json` of the base, over it the operator's.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use formats::depot::{CHANNEL, MAX_FILE, Setting};

use super::{Places, Trouble};
use crate::error::{At, Doing, Result};
use crate::plain_file;

impl Places {
    /// What counts. An operator's file that cannot be read is an error: to ask another depot than the one that was meant would be worse.
    pub fn setting(&self) -> Result<Setting> {
        let shipped = read(&self.shipped.join(FILE))?;
        Ok(read(&self.own_setting())?.over(shipped))
    }

    /// The depot's address, without which nothing can be asked.
    pub fn url(&self, setting: &Setting) -> Result<String> {
        setting
            .url
            .clone()
            .ok_or_else(|| Trouble::NoDepot { shipped: self.shipped.join(FILE), own: self.own_setting() }.into())
    }

    fn own_setting(&self) -> PathBuf {
        self.own().join(FILE)
    }

    fn own(&self) -> PathBuf {
        self.data.join("bulkhead")
    }

    /// The folder of the `depot.json` that says something: the operator's, if that says it, else the base's. A file that it names lies
    /// there and nowhere else: a password of one is never sent to a server of the other.
    pub(crate) fn folder_of(&self, says: impl FnOnce(&Setting) -> bool) -> Result<PathBuf> {
        Ok(if says(&read(&self.own_setting())?) { self.own() } else { self.shipped.clone() })
    }

    /// The folder with what was learnt from the depot.
    pub(super) fn folder(&self) -> PathBuf {
        self.data.join("bulkhead/depot")
    }

    /// The appliance's name among all, if it was drawn.
    pub fn appliance_kept(&self) -> Option<String> {
        let bytes = plain_file::read(&self.folder().join("appliance"), NAME).ok()?;
        String::from_utf8(bytes).ok().filter(|name| is_name(name))
    }

    /// The same, or a name nobody has: for those who only look.
    pub fn appliance_or_nobody(&self) -> String {
        self.appliance_kept().unwrap_or_else(|| "nobody".into())
    }

    /// The appliance's name among all, drawn when it is first needed. It decides about rollout rings and nothing else; two copies of one
    /// disk have the same.
    pub fn appliance(&self) -> Result<String> {
        // Two threads that ask for the first time must not draw two.
        let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder().join("appliance");
        let doing = || format!("read \"{}\"", path.display());
        match plain_file::read(&path, NAME) {
            Ok(bytes) => {
                let name = String::from_utf8(bytes).ok().filter(|name| is_name(name));
                if let Some(name) = name {
                    return Ok(name);
                }
            }
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => {}
            Err(problem) => return Err(problem).doing(doing),
        }
        let name = drawn().doing(|| "draw a name for this appliance".into())?;
        let keeping = || format!("write \"{}\"", path.display());
        std::fs::create_dir_all(self.folder()).doing(keeping)?;
        plain_file::replace(&path, &path.with_extension("new"), name.as_bytes(), 0o644).doing(keeping)?;
        Ok(name)
    }
}

/// The channel of a setting.
pub fn channel(setting: &Setting) -> String {
    setting.channel.clone().unwrap_or_else(|| CHANNEL.into())
}

fn read(path: &Path) -> Result<Setting> {
    match plain_file::read(path, MAX_FILE) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(Setting::default()),
        bytes => {
            let bytes = bytes.doing(|| format!("read \"{}\"", path.display()))?;
            Setting::parse(&bytes).at(|| path.display().to_string())
        }
    }
}

/// 128 bits of chance, hexadecimal.
fn drawn() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn is_name(text: &str) -> bool {
    text.len() == NAME && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Held while a file of the folder is written or cleared away: threads share the names of files that are not complete yet.
pub(super) static WRITING: Mutex<()> = Mutex::new(());
const FILE: &str = "depot.json";
const NAME: usize = 32;
