//! Carrying a download key from the guest's console to a depot of this machine, and the answer back on a stick.
//!
//! The key is the last one the guest printed: nothing but what a person at its screen could copy reaches the depot.

use std::collections::BTreeMap;
use std::path::Path;

use formats::Bytes;
use formats::download_key::PREFIX;

use super::volume;
use crate::{Disk, Error, Result, tool};

/// The name of the bundle on the stick: FAT has room for three letters of its ending.
pub const NAME: &str = "WAY.PTH";

/// A stick with what the depot in `folder` answers to the last key in the serial log. `program` is `bulkhead-vm`; `bulkhead` lies beside it.
///
/// # Errors
/// [`Error::Unexpected`] when the guest printed no key; [`Error::Environment`] with what `bulkhead` said when it refuses.
pub fn stick(log: &Path, folder: &Path, program: &Path, size: Option<Bytes>) -> Result<Disk> {
    let console = std::fs::read(log).map_err(Error::io("read", log))?;
    let console = String::from_utf8_lossy(&console);
    let key = last_key(&console).ok_or_else(|| {
        Error::Unexpected(format!(
            "the guest printed no download key; run \"update-agent download-key\" first ({PREFIX}…)"
        ))
    })?;
    let desk = tempfile::tempdir().map_err(Error::io("make a directory in", &std::env::temp_dir()))?;
    let bundle = desk.path().join("way.path");
    let arguments =
        ["depot".as_ref(), "answer".as_ref(), folder.as_os_str(), key.as_ref(), "-o".as_ref(), bundle.as_os_str()];
    tool::run_beside(program, "bulkhead", &arguments)?;
    volume::stick(&BTreeMap::from([(NAME.to_owned(), bundle)]), size, false)
}

/// The last download key in a text.
fn last_key(text: &str) -> Option<&str> {
    let (_, rest) = text.rsplit_once(PREFIX)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let start = text.len() - rest.len() - PREFIX.len();
    text.get(start..text.len() - rest.len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_on_the_console_counts() {
        let text = "# update-agent download-key\r\nBKDK1-00AA\r\n# update-agent download-key\r\nBKDK1-00BB\r\n# ";
        assert_eq!(last_key(text), Some("BKDK1-00BB"));
        assert_eq!(last_key("BKDK1-00CC"), Some("BKDK1-00CC"));
        assert_eq!(last_key("BKDK2-00CC"), None);
    }

    #[test]
    fn without_a_key_the_step_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "BULKHEAD READY\n").unwrap();
        let error = stick(&log, dir.path(), Path::new("/nowhere/bulkhead-vm"), None).unwrap_err();
        assert!(error.to_string().contains("update-agent download-key"), "{error}");
        std::fs::write(&log, "BKDK1-00AA\n").unwrap();
        let error = stick(&log, dir.path(), Path::new("/nowhere/bulkhead-vm"), None).unwrap_err();
        assert!(error.to_string().contains("/nowhere/bulkhead"), "{error}");
    }
}
