//! Licence packages: a small file says what is licensed, and becomes a signed package that appliances install without a restart.
//!
//! Nothing of it depends on a clock or on chance: the same file and keys make the same bytes. Who may get it is not decided here: a
//! licence without a host name holds on every appliance of the product.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use formats::manifest::{self, Date, Effects, Kind, LicenceInfo, Manifest, Member, Requires};
use formats::package::{EULA, MAX_TEXT, NOTES, check_text};
use formats::{Bytes, Digest, signature};
use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::package::write_new;
use crate::{Error, Result, keys, recipe};

/// What is licensed, as people write it down; `docs/licences.md` explains each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Licence {
    /// Version of this format. Always `1`.
    pub licence: u32,
    /// The product whose appliances take it.
    pub product: String,
    /// The package line: of each line one licence counts, the newest.
    pub name: String,
    /// For people and requirements.
    pub version: Version,
    /// Counts up with every licence of the line.
    pub sequence: u64,
    /// When it was made, seconds since 1970.
    pub source_date_epoch: i64,
    /// The host name of the one site it is for.
    pub hostname: Option<String>,
    /// Hardware models it is for; empty: any.
    #[serde(default)]
    pub hardware: Vec<String>,
    /// How many licences it adds.
    pub count: Option<u32>,
    /// What it opens.
    #[serde(default)]
    pub features: Vec<String>,
    /// The last day on which it holds.
    pub expires: Option<Date>,
    /// Days after that on which it holds all the same.
    #[serde(default)]
    pub grace_days: u32,
    /// The last day of the maintenance contract.
    pub entitled_until: Option<Date>,
    /// Base versions it needs.
    pub requires_base: Option<VersionReq>,
    /// Site versions it needs.
    pub requires_site: Option<VersionReq>,
    /// A text file: what it is about.
    pub notes: Option<PathBuf>,
    /// A text file: terms to accept before it is installed.
    pub eula: Option<PathBuf>,
    #[serde(skip)]
    folder: PathBuf,
}

/// A package that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Manifest,
    /// How many keys signed it.
    pub signatures: usize,
}

/// Makes the package that the file at `path` describes in `directory`, signed by the licence key of each folder in `signers`.
///
/// # Errors
/// [`Error::Input`] for a wrong file or a key that is missing; [`Error::Refused`] when there is such a package already.
pub fn make(path: &Path, directory: &Path, signers: &[PathBuf]) -> Result<Made> {
    let licence = Licence::load(path)?;
    let members = licence.members()?;
    let (signing, development) = signing(signers)?;
    let manifest = licence.manifest(&members, development)?;
    let wrong = || Error::format(format!("the licence in \"{}\"", path.display()));
    let text = manifest.encode().map_err(wrong())?;
    let signatures = signature::sign(&text, &signing).map_err(wrong())?;
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let to = directory.join(format!("{}-licence-{}.pkg", manifest.name, manifest.version));
    let mut slices: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let mut readers: BTreeMap<&str, &mut dyn Read> =
        slices.iter_mut().map(|(name, bytes)| (*name, bytes as &mut dyn Read)).collect();
    write_new(&to, &text, &signatures, &mut readers)?;
    Ok(Made { path: to, manifest, signatures: signing.len() })
}

/// The private licence keys, and whether one of them is a development key: what it signs is a development build.
fn signing(folders: &[PathBuf]) -> Result<(Vec<SigningKey>, bool)> {
    let mut signing = Vec::new();
    let mut development = false;
    for folder in folders {
        let shown = folder.display();
        let key = keys::depot::private(folder, "licence")?.ok_or_else(|| {
            Error::input(format!(
                "\"{shown}\" has no licence.key; make one with: bulkhead keys depot {shown} --role licence"
            ))
        })?;
        development |= keys::depot::public(folder, "licence", true)?.is_some_and(|key| key.development);
        signing.push(key);
    }
    Ok((signing, development))
}

impl Licence {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = read_bounded(path)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::input(format!("{name}: it is not UTF-8 text")))?;
        let mut licence: Self = recipe::from_toml(&text, &name)?;
        if licence.licence != 1 {
            let found = licence.licence;
            return Err(Error::input(format!("{name}: licence = {found} is not known to this version, which reads 1")));
        }
        licence.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(licence)
    }

    fn members(&self) -> Result<BTreeMap<&'static str, Vec<u8>>> {
        let text = |key: &str, member: &str, path: &Option<PathBuf>| {
            let path = path.as_ref().map(|path| self.folder.join(path));
            let checked = |path: &PathBuf| {
                check_text(member, read_bounded(path)?).map_err(Error::format(format!("{key}: \"{}\"", path.display())))
            };
            path.as_ref().map(checked).transpose()
        };
        let notes = text("notes", NOTES, &self.notes)?.unwrap_or_else(|| format!("{} {}\n", self.name, self.version));
        let mut members = BTreeMap::from([(NOTES, notes.into_bytes())]);
        members.extend(text("eula", EULA, &self.eula)?.map(|eula| (EULA, eula.into_bytes())));
        Ok(members)
    }

    /// Its build id follows from everything it says.
    fn manifest(&self, members: &BTreeMap<&'static str, Vec<u8>>, development: bool) -> Result<Manifest> {
        let member = |bytes: &Vec<u8>| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
        let mut manifest = Manifest {
            format: manifest::FORMAT,
            required: Vec::new(),
            kind: Kind::Licence,
            product: self.product.clone(),
            hardware: self.hardware.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            build_id: Digest([0; 32]),
            sequence: self.sequence,
            requires: Requires { base: self.requires_base.clone(), site: self.requires_site.clone() },
            effects: Effects::default(),
            image: None,
            members: members.iter().map(|(name, bytes)| ((*name).to_owned(), member(bytes))).collect(),
            created: self.source_date_epoch,
            support_end: None,
            site: None,
            licence: Some(LicenceInfo {
                hostname: self.hostname.clone(),
                count: self.count,
                features: self.features.clone(),
                expires: self.expires,
                grace_days: self.grace_days,
                entitled_until: self.entitled_until,
            }),
            health: Vec::new(),
            trial: None,
            development,
        };
        let text = manifest.encode().map_err(Error::format(format!("the licence \"{}\"", self.name)))?;
        manifest.build_id = Digest::of(&text);
        Ok(manifest)
    }
}

/// At most as much as a text of a package may have, and one byte.
fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}
