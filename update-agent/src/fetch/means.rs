//! From the setting, and the files it names, to how a process reaches servers.

use std::path::Path;

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
                let of =
                    |said: &Setting| (said.proxy.clone(), said.proxy_user.clone(), said.proxy_password_file.clone());
                let folder = self.folder_of(|own| of(own) == of(setting))?;
                let login = login(&folder, setting.proxy_user.as_deref(), setting.proxy_password_file.as_ref())?;
                Some(Proxy { url: url.clone(), login })
            }
        };
        let authorities = match &setting.ca_file {
            None => None,
            Some(name) => {
                let folder = self.folder_of(|own| own.ca_file.as_ref() == Some(name))?;
                Some(named(&folder, name, AUTHORITIES)?)
            }
        };
        Ok(Means { proxy, authorities, bandwidth: setting.bandwidth })
    }
}

/// Who the appliance is at a server. `folder`: of the setting that names the file.
pub(crate) fn login(folder: &Path, user: Option<&str>, file: Option<&FileName>) -> Result<Option<Login>> {
    let (Some(user), Some(file)) = (user, file) else { return Ok(None) };
    let password = named(folder, file, PASSWORD)?;
    // An editor ends the last line.
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.chars().any(char::is_control) {
        let what = format!("the password in \"{}\" is not one line of text", folder.join(file.as_str()).display());
        return Err(Error::Usage(what));
    }
    Ok(Some(Login { user: user.into(), password: Secret(password.into()) }))
}

/// A small file that the setting of this folder names.
fn named(folder: &Path, name: &FileName, limit: usize) -> Result<String> {
    let path = folder.join(name.as_str());
    let doing = || format!("read \"{}\", which the depot.json beside it names", path.display());
    let bytes = plain_file::read(&path, limit).doing(doing)?;
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is no text")).doing(doing)
}

const AUTHORITIES: usize = 256 << 10;
const PASSWORD: usize = 1 << 10;
