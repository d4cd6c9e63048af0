//! The firmware a machine starts with, and the emulator arguments that make it so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::tool::require_file;
use crate::variables;
use crate::{Error, Result};

/// What starts the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// `SeaBIOS`, from the master boot record.
    Bios,
    /// OVMF without Secure Boot, from `EFI/BOOT/BOOTX64.EFI`.
    Uefi,
    /// OVMF enforcing Secure Boot with the keys of a directory and no others.
    SecureBoot {
        /// Holds `PK.crt`, `KEK.crt` and `boot.crt` (PEM), as `bulkhead keys generate` writes them.
        keys: PathBuf,
    },
}

/// A kind of firmware, without what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareName {
    /// [`Firmware::Bios`].
    Bios,
    /// [`Firmware::Uefi`].
    Uefi,
    /// [`Firmware::SecureBoot`].
    SecureBoot,
}

impl FirmwareName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bios, Self::Uefi, Self::SecureBoot];

    /// The firmware itself, with this keys directory.
    ///
    /// # Errors
    /// [`Error::Input`] for Secure Boot without keys.
    pub fn firmware(self, keys: Option<&Path>) -> Result<Firmware> {
        match (self, keys) {
            (Self::Bios, _) => Ok(Firmware::Bios),
            (Self::Uefi, _) => Ok(Firmware::Uefi),
            (Self::SecureBoot, Some(keys)) => Ok(Firmware::SecureBoot { keys: keys.to_owned() }),
            (Self::SecureBoot, None) => Err(Error::Input(
                "firmware \"secure-boot\" needs the keys directory of the image; give it with --keys DIR".to_owned(),
            )),
        }
    }
}

impl fmt::Display for FirmwareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
            Self::SecureBoot => "secure-boot",
        })
    }
}

impl Firmware {
    /// Time from start to a small userland on a quiet machine under translation, with room for a real one.
    pub const fn quiet_boot(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Bios => 10,
            Self::Uefi | Self::SecureBoot { .. } => 13,
        })
    }

    /// The `-machine` value.
    pub(crate) const fn machine(&self) -> &'static str {
        match self {
            Self::Bios | Self::Uefi => "q35",
            // only code in system management mode may write the variables
            Self::SecureBoot { .. } => "q35,smm=on",
        }
    }

    /// Writes a fresh variable store into `directory` where the firmware has one, and says where.
    pub(crate) fn make_nvram(&self, directory: &Path) -> Result<Option<PathBuf>> {
        if matches!(self, Self::Bios) {
            return Ok(None);
        }
        let template = Path::new(VARS_TEMPLATE);
        require_file(template, PACKAGE)?;
        let mut store = std::fs::read(template).map_err(Error::io("read", template))?;
        if let Self::SecureBoot { keys } = self {
            let keys = variables::SecureBootKeys::read(keys)?;
            store =
                keys.enrol(&store).map_err(Error::format(format!("variable store template \"{VARS_TEMPLATE}\"")))?;
        }
        let path = directory.join("nvram.fd");
        std::fs::write(&path, store).map_err(Error::io("write", &path))?;
        Ok(Some(path))
    }

    /// The emulator arguments, given the variable store of [`Self::make_nvram`].
    pub(crate) fn arguments(&self, nvram: Option<&Path>) -> Result<Vec<String>> {
        let Some(nvram) = nvram else { return Ok(Vec::new()) };
        let secure = matches!(self, Self::SecureBoot { .. });
        let code = if secure { CODE_SECURE } else { CODE };
        require_file(Path::new(code), PACKAGE)?;
        let nvram = nvram.display().to_string().replace(',', ",,");
        let mut arguments = vec![
            "-drive".to_owned(),
            format!("if=pflash,format=raw,unit=0,readonly=on,file={code}"),
            "-drive".to_owned(),
            format!("if=pflash,format=raw,unit=1,file={nvram}"),
        ];
        if secure {
            for property in ["driver=cfi.pflash01,property=secure,value=on", "ICH9-LPC.disable_s3=1"] {
                arguments.extend(["-global".to_owned(), property.to_owned()]);
            }
        }
        Ok(arguments)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bios => FirmwareName::Bios,
            Self::Uefi => FirmwareName::Uefi,
            Self::SecureBoot { .. } => FirmwareName::SecureBoot,
        };
        name.fmt(f)
    }
}

const PACKAGE: &str = "ovmf";
const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const CODE_SECURE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
/// The empty variable store that belongs to both.
pub const VARS_TEMPLATE: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
