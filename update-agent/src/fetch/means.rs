//! From the setting, and the files it names, to how a process reaches servers.

use std::path::PathBuf;

use formats::depot::Setting;
use formats::mail::FileName;

use super::{Login, Means, Proxy, Secret};
use crate::depot::Places;
use crate::error::{Doing, Error, Result};
use crate::plain_file;

impl Places {
    /// How a process reaches servers.
    pub(crate) fn means(&self, setting: &Setting) -> Result<Means> {
        let proxy = match &setting.proxy {
            None => None,
            Some(url) => {
                let login = self.login(setting.proxy_user.as_deref(), setting.proxy_password_file.as_ref())?;
                Some(Proxy { url: url.clone(), login })
            }
        };
        let authorities = setting.ca_file.as_ref().map(|name| self.named(name, AUTHORITIES)).transpose()?;
        Ok(Means { proxy, authorities, bandwidth: setting.bandwidth })
    }

    /// Who the appliance is at a server.
    pub(crate) fn login(&self, user: Option<&str>, file: Option<&FileName>) -> Result<Option<Login>> {
        let (Some(user), Some(file)) = (user, file) else { return Ok(None) };
        let password = self.named(file, PASSWORD)?;
        // An editor ends the last line.
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() || password.chars().any(char::is_control) {
            let what = format!("the password in \"{}\" is not one line of text", self.beside(file).display());
            return Err(Error::Usage(what));
        }
        Ok(Some(Login { user: user.into(), password: Secret(password.into()) }))
    }

    /// A small file that a setting names.
    fn named(&self, name: &FileName, limit: usize) -> Result<String> {
        let path = self.beside(name);
        let doing = || format!("read \"{}\", which depot.json names", path.display());
        let bytes = plain_file::read(&path, limit).doing(doing)?;
        String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is no text")).doing(doing)
    }

    /// Beside the operator's setting if there is such a file, else beside the base's.
    fn beside(&self, name: &FileName) -> PathBuf {
        let own = self.data.join("bulkhead").join(name.as_str());
        let there = std::fs::symlink_metadata(&own).is_ok();
        let shipped = self.shipped.join(name.as_str());
        if there || std::fs::symlink_metadata(&shipped).is_err() { own } else { shipped }
    }
}

const AUTHORITIES: usize = 256 << 10;
const PASSWORD: usize = 1 << 10;
