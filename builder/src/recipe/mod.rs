//! The recipe: the one file a release engineer writes.
//!
//! Strict on purpose: an unknown key, a missing value or a size that does not fit is refused with file, line and the nearest valid
//! key, before any source is read. Paths are relative to the recipe's folder. The doc comments here are the reference manual
//! (`docs/recipe.md` is checked against them by a test).

mod parse;
mod validate;

use std::path::{Path, PathBuf};

use formats::Bytes;
use formats::health::{Check, Trial};
use formats::manifest::Date;
use semver::Version;
use serde::Deserialize;

pub use parse::from_toml;

use crate::{Error, Result};

/// A whole recipe, parsed and validated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Version of the recipe format. Always `1`.
    pub recipe: u32,
    /// What is being built.
    pub product: Product,
    /// Who signs it.
    pub keys: Keys,
    /// Sizes of the partitions.
    #[serde(default)]
    pub disk: Disk,
    /// Kernel, modules and command line.
    pub kernel: Kernel,
    /// The operating system.
    pub base: Base,
    /// The application, if the image ships with one.
    pub site: Option<Site>,
    /// Where appliances look for packages.
    pub depot: Option<Depot>,
    /// Files of the build host that end up in the image.
    #[serde(default)]
    pub host: Host,
    /// The folder of the recipe; every relative path starts here. Not a key.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// `[product]`: identity and version of the base.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Product {
    /// Short name: lower-case letters, digits, `.` and `-`, at most 64. Names files and binds packages to this product.
    pub name: String,
    /// Name for people, shown on banners and in hypervisors. Default: the name.
    pub title: Option<String>,
    /// Version of the base, semantic versioning: `1.2.3`.
    pub version: Version,
    /// Anti-rollback number of the base line; raise it whenever an older release must not come back. At least 1.
    pub sequence: u64,
    /// Hardware this image runs on; packages name the same words.
    pub hardware: Vec<String>,
    /// Seed of every GUID and salt. Default: the name. Two products must not share a seed.
    pub seed: Option<String>,
    /// Timestamp of everything in the image, in seconds since 1970 (`SOURCE_DATE_EPOCH`). Never the clock of the build host.
    pub source_date_epoch: i64,
    /// Versions of the site this base runs, for example `>=12`. Default: any, or no site.
    pub requires_site: Option<semver::VersionReq>,
    /// Last day on which this base is supported, for example `2031-12-31`. Default: not said.
    pub support_end: Option<Date>,
    /// Release notes of the base package, a Markdown file. Default: name and version.
    pub notes: Option<PathBuf>,
    /// Licence terms to accept before the base package is installed, a text file. Default: none.
    pub eula: Option<PathBuf>,
}

/// `[keys]`: the signing keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keys {
    /// Folder made by `bulkhead keys generate`.
    pub directory: PathBuf,
    /// Allow keys marked as development keys, and make the appliance accept packages signed by them. Default: false.
    #[serde(default)]
    pub allow_development: bool,
    /// How many different signers every base and site package needs before an appliance takes it. Default: 1.
    #[serde(default = "one")]
    pub threshold: u32,
    /// Folders with the keys of further signers, made by `bulkhead keys generate`; without `base.key` and `site.key` their owner signs
    /// later, with `bulkhead sign`. Default: none.
    #[serde(default)]
    pub co_signers: Vec<PathBuf>,
}

const fn one() -> u32 {
    1
}

/// `[disk]`: partition sizes, multiples of 1 MiB.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Disk {
    /// EFI system partition; at least 34 MiB, because it is FAT32. Default: 40 MiB.
    pub esp: Bytes,
    /// Each of the two base slots. Leave room for later releases: a slot cannot grow in the field. Default: 512 MiB.
    pub base_slot: Bytes,
    /// Each of the two site slots. Default: 64 MiB.
    pub site_slot: Bytes,
    /// The data partition in the image; it grows to the disk at first boot. Default: 32 MiB.
    pub data: Bytes,
}

/// `[kernel]`: what boots.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    /// Kernel command line. `panic=5 gpt oops=panic` is always added; `slot=` is ours.
    #[serde(default)]
    pub command_line: String,
    /// Modules the initramfs loads, in this order; dependencies are added.
    pub initramfs_modules: Vec<String>,
    /// More modules to keep in the base for the running system. Default: none. `["*"]` keeps all.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Seconds after which the watchdog restarts a machine that hangs between kernel and agent, 30 to 600. Default: 60.
    #[serde(default = "default_watchdog")]
    pub watchdog_seconds: u32,
}

/// `[base]`: the operating system's file tree.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Base {
    /// Layers from bottom to top; later ones win.
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
    /// `[[base.health]]`: what must hold on every appliance that runs this base. Default: none.
    #[serde(default)]
    pub health: Vec<Check>,
    /// `[base.trial]`: how long a new release of the base has for proving itself. Default: 3 s of health within 300 s.
    pub trial: Option<Trial>,
}

/// `[site]`: the application.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Site {
    /// Short name, same characters as the product's.
    pub name: String,
    /// Version of the site.
    pub version: Version,
    /// Anti-rollback number of the site line, at least 1.
    pub sequence: u64,
    /// Host name this site is licensed to.
    pub hostname: String,
    /// Versions of the base it runs on, for example `>=1.2, <2`. Default: any.
    pub requires_base: Option<semver::VersionReq>,
    /// Last day on which this site is supported. Default: not said.
    pub support_end: Option<Date>,
    /// Licences included. Default: not counted.
    pub licences: Option<u32>,
    /// Last day on which the site may be used. Default: none.
    pub expires: Option<Date>,
    /// Client programs have to be upgraded after an installation. Default: false.
    #[serde(default)]
    pub client_upgrade: bool,
    /// Hours that clients need for fetching this release, before the next one may be installed. Default: none.
    pub soak_hours: Option<u32>,
    /// Release notes of the site package, a Markdown file. Default: name and version.
    pub notes: Option<PathBuf>,
    /// Licence terms to accept before the site package is installed, a text file. Default: none.
    pub eula: Option<PathBuf>,
    /// Layers from bottom to top; later ones win.
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
    /// `[[site.health]]`: what must hold while this site runs. Default: none.
    #[serde(default)]
    pub health: Vec<Check>,
    /// `[site.trial]`: how long a new release of the site has for proving itself. Default: as for the base.
    pub trial: Option<Trial>,
}

/// `[[base.layer]]`, `[[site.layer]]`: one source of files. Exactly one of `directory`, `tar`, `packages`, `mmdebstrap`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Layer {
    /// A folder, copied as it is, owned by root.
    pub directory: Option<PathBuf>,
    /// A tar archive: plain, gzip, xz or zstd.
    pub tar: Option<PathBuf>,
    /// Debian packages by name, unpacked without running their scripts. One `*` in a name stands for the one package that matches.
    pub packages: Option<Vec<String>>,
    /// The folder with the `.deb` files that `packages` names.
    pub from: Option<PathBuf>,
    /// A Debian system made by mmdebstrap (needs network at build time, so not byte-stable when the archive moves on).
    pub mmdebstrap: Option<Mmdebstrap>,
    /// Paths to leave out, for example `usr/share/doc`.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// `mmdebstrap = { suite = "bookworm", ... }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mmdebstrap {
    /// Debian suite.
    pub suite: String,
    /// mmdebstrap variant. Default: `minbase`.
    #[serde(default = "default_variant")]
    pub variant: String,
    /// Packages to add.
    #[serde(default)]
    pub include: Vec<String>,
    /// Mirror. Default: the build host's own apt sources.
    pub mirror: Option<String>,
}

/// `[depot]`: where appliances look for packages, and whom they believe about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Depot {
    /// Address of the depot's folder, for example `http://depot.example/demo`.
    pub url: String,
    /// What to follow there. Default: `stable`.
    #[serde(default = "default_channel")]
    pub channel: String,
    /// The first root of the depot, `metadata/1.root.json`.
    pub root: PathBuf,
}

fn default_channel() -> String {
    formats::depot::CHANNEL.to_owned()
}

/// `[host]`: files of the build host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Host {
    /// The initramfs program. Default: `bulkhead-init` beside the bulkhead program.
    pub init: Option<PathBuf>,
    /// The update agent. Default: `update-agent` beside the bulkhead program.
    pub update_agent: Option<PathBuf>,
    /// Folder with GRUB's `i386-pc` and `x86_64-efi`. Default: `/usr/lib/grub`.
    pub grub_modules: Option<PathBuf>,
    /// The EFI stub a unified kernel image starts with. Default: systemd's `linuxx64.efi.stub`.
    pub efi_stub: Option<PathBuf>,
}

impl Recipe {
    /// Reads, parses and validates the recipe at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Input`] with file, line and cure when it is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        if path.is_dir() {
            return Err(Error::input(format!("\"{shown}\" is a directory; name the recipe in it")));
        }
        let text = String::from_utf8(std::fs::read(path).map_err(Error::io("read", path))?).map_err(|cause| {
            let at = cause.utf8_error().valid_up_to();
            Error::input(format!("{shown}: not UTF-8 text from byte {at} on; a recipe is a TOML file in UTF-8"))
        })?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Self::from_text(&text, &path.display().to_string(), folder)
    }

    /// Parses and validates a recipe text; `name` is used in messages, `folder` resolves relative paths.
    pub fn from_text(text: &str, name: &str, folder: &Path) -> Result<Self> {
        let mut recipe: Self = from_toml(text, name)?;
        folder.clone_into(&mut recipe.folder);
        validate::validate(&recipe).map_err(|problem| Error::input(format!("{name}: {problem}")))?;
        Ok(recipe)
    }

    /// `path` as seen from the recipe's folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The seed of identifiers.
    pub fn seed(&self) -> &str {
        self.product.seed.as_deref().unwrap_or(&self.product.name)
    }

    /// The name for people.
    pub fn title(&self) -> &str {
        self.product.title.as_deref().unwrap_or(&self.product.name)
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self { esp: Bytes::mib(40), base_slot: Bytes::mib(512), site_slot: Bytes::mib(64), data: Bytes::mib(32) }
    }
}

fn default_watchdog() -> u32 {
    60
}

fn default_variant() -> String {
    "minbase".to_owned()
}
