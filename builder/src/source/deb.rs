//! Debian binary packages (deb(5)) unpacked without installing them.
//!
//! A package is an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*`; parsed strictly, every length checked against the
//! file. Packages are laid over each other in the order asked for. Two packages with one file at one path are refused unless the files
//! are the same. With `merged_usr` the tree starts with `/bin`, `/sbin`, `/lib`, `/lib64` as links into `/usr`, and a package that still
//! ships `/bin/x` lands in `/usr/bin/x`. Maintainer scripts do not run and dependencies are not followed: what is listed is what is in.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::spool::{Compression, Window, unpacker};
use super::{Context, tar};
use crate::nearest;
use crate::tree::{Layer, Node, OnConflict, Tree, lay};
use crate::{Error, Result};

/// What the control file of a package says about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Control {
    /// Package name.
    pub package: String,
    /// Version.
    pub version: String,
    /// Architecture, or `all`.
    pub architecture: String,
}

/// Lays the packages `names` found in the directory `from` over each other.
pub fn load(from: &Path, names: &[String], merged_usr: bool, context: &mut Context) -> Result<Tree> {
    let known = index(from)?;
    let mut layers = Vec::new();
    if merged_usr {
        layers.push(Layer { name: "merged /usr".into(), tree: merged_usr_skeleton(context.source_date_epoch) });
    }
    let mut architecture: Option<(String, String)> = None;
    for name in names {
        let name = &resolve(from, name, &known)?;
        let (file, control) = choose(from, name, &known)?;
        if control.architecture != "all" {
            match &architecture {
                Some((first, known)) if *known != control.architecture => {
                    let other = &control.architecture;
                    return Err(Error::Input(format!(
                        "package \"{name}\" is for {other} but \"{first}\" is for {known}; all packages of a slot must agree"
                    )));
                }
                Some(_) => {}
                None => architecture = Some((name.clone(), control.architecture.clone())),
            }
        }
        let what = format!("package \"{}\"", file.display());
        let package = Package::open(file)?;
        let data = tar::unpacked(package.data, &what, &mut context.spool)?;
        let tree = tar::read(&data, &what, context.source_date_epoch)?;
        context.packages.insert(control.clone());
        layers.push(Layer { name: format!("package {} {}", control.package, control.version), tree });
    }
    if layers.is_empty() {
        return Ok(Tree::new(context.source_date_epoch));
    }
    lay(layers, OnConflict::Refuse)
}

/// A root with `/bin`, `/sbin`, `/lib` and `/lib64` as links into `/usr`.
pub fn merged_usr_skeleton(mtime: i64) -> Tree {
    let mut tree = Tree::new(mtime);
    for name in ["bin", "lib", "lib64", "sbin"] {
        tree.insert(name, Node::symlink(format!("usr/{name}"), mtime));
        tree.insert(format!("usr/{name}"), Node::directory(mtime));
        tree.implied.insert(format!("usr/{name}"));
    }
    tree
}

/// Every package of a directory by name.
fn index(from: &Path) -> Result<BTreeMap<String, Vec<(PathBuf, Control)>>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(from).map_err(Error::io("read", from))? {
        let path = entry.map_err(Error::io("read", from))?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            files.push(path);
        }
    }
    files.sort();
    let mut known: BTreeMap<String, Vec<(PathBuf, Control)>> = BTreeMap::new();
    for file in files {
        let control = Package::open(&file)?.control;
        known.entry(control.package.clone()).or_default().push((file, control));
    }
    Ok(known)
}

/// The package a name or a pattern with one `*` stands for. Kernel packages carry their ABI number in the name: a pattern keeps the
/// recipe while the number moves on, and two matches are refused rather than guessed.
fn resolve(from: &Path, name: &str, known: &BTreeMap<String, Vec<(PathBuf, Control)>>) -> Result<String> {
    let Some((start, end)) = name.split_once('*') else { return Ok(name.to_owned()) };
    let fits = |known: &str| known.len() >= start.len() + end.len() && known.starts_with(start) && known.ends_with(end);
    let matches: Vec<&str> = known.keys().map(String::as_str).filter(|known| fits(known)).collect();
    match matches.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Error::Input(format!("no package in \"{}\" matches \"{name}\"; download one there", from.display()))),
        several => Err(Error::Input(format!(
            "\"{name}\" matches {} packages in \"{}\": {}; remove all but one, or name it",
            several.len(),
            from.display(),
            several.join(", ")
        ))),
    }
}

/// The one file of the package `name`.
fn choose<'a>(
    from: &Path,
    name: &str,
    known: &'a BTreeMap<String, Vec<(PathBuf, Control)>>,
) -> Result<&'a (PathBuf, Control)> {
    match known.get(name).map(Vec::as_slice) {
        Some([only]) => Ok(only),
        Some([(a, a_control), (b, b_control), ..]) => Err(Error::Input(format!(
            "package \"{name}\" is in \"{}\" ({}) and in \"{}\" ({}); remove one of them",
            a.display(),
            a_control.version,
            b.display(),
            b_control.version
        ))),
        _ => {
            let hint = nearest::hint(name, known.keys().map(String::as_str));
            let from = from.display();
            Err(Error::Input(format!("no package \"{name}\" in \"{from}\"{hint}; run there: apt-get download {name}")))
        }
    }
}

/// An opened package.
#[derive(Debug)]
pub struct Package {
    /// What it is.
    pub control: Control,
    /// The archive with its files, compressed or not.
    pub data: Window,
}

impl Package {
    /// Opens a `.deb` file and reads its control file.
    pub fn open(path: &Path) -> Result<Self> {
        let what = format!("package \"{}\"", path.display());
        let window = Window::open(path)?;
        let wrong = |why: String| Error::Input(format!("{what} {why}"));
        let members = ar_members(&window).map_err(wrong)?;
        let wrong = |why: &str| Error::Input(format!("{what} {why}"));
        let mut members = members.into_iter().filter(|(name, _)| !name.starts_with('_'));
        let (name, version) = members.next().ok_or_else(|| wrong("is empty"))?;
        let version = version.head(4).map_err(Error::io("read", path))?;
        if name != "debian-binary" || !version.starts_with(b"2.") {
            return Err(wrong("is not a Debian package of format 2"));
        }
        let (name, control) = members.next().ok_or_else(|| wrong("is truncated: it has no control.tar"))?;
        if !name.starts_with("control.tar") {
            return Err(wrong(&format!("has \"{name}\" where control.tar belongs")));
        }
        let (name, data) = members.next().ok_or_else(|| wrong("is truncated: it has no data.tar; fetch it again"))?;
        if !name.starts_with("data.tar") {
            return Err(wrong(&format!("has \"{name}\" where data.tar belongs")));
        }
        Ok(Self { control: read_control(&control, &what)?, data })
    }
}

/// The members of an `ar` archive.
fn ar_members(window: &Window) -> Result<Vec<(String, Window)>, String> {
    let read =
        |buffer: &mut [u8], at| window.read_exact_at(buffer, at).map_err(|cause| format!("cannot be read: {cause}"));
    let mut magic = [0; 8];
    if window.length < 8 {
        return Err(format!("is truncated: it has only {} bytes", window.length));
    }
    read(&mut magic, 0)?;
    if &magic != b"!<arch>\n" {
        return Err("is not a Debian package: it does not start with \"!<arch>\"".to_owned());
    }
    let mut members = Vec::new();
    let mut at = 8;
    while at < window.length {
        if members.len() == MAX_AR_MEMBERS {
            return Err(format!("has more than {MAX_AR_MEMBERS} members"));
        }
        if at + AR_HEADER > window.length {
            return Err(format!(
                "is truncated: byte {} is inside the header of a member; fetch it again",
                window.length
            ));
        }
        let mut header = [0; 60];
        read(&mut header, at)?;
        let field = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).ok().map(str::trim_end);
        let size = field(48..58).and_then(|text| text.parse::<u64>().ok());
        let (Some(name), Some(size), b"`\n") = (field(0..16), size, &header[58..60]) else {
            return Err(format!("is damaged: the member header at byte {at} is not valid"));
        };
        let name = name.trim_end_matches('/').to_owned();
        let start = at + AR_HEADER;
        let Some(data) = window.part(start, size) else {
            let have = window.length - start;
            return Err(format!("is truncated: it has {have} of the {size} bytes of \"{name}\"; fetch it again"));
        };
        members.push((name, data));
        at = start + size.next_multiple_of(2);
    }
    Ok(members)
}

/// Reads the control file out of the control archive, which is small.
fn read_control(archive: &Window, what: &str) -> Result<Control> {
    let wrong = |why: String| Error::Input(format!("{what} has no readable control file: {why}"));
    let head = archive.head(6).map_err(|cause| wrong(cause.to_string()))?;
    let compression = Compression::detect(&head).map_err(wrong)?;
    let stream = unpacker(archive.reader(), compression).map_err(|cause| wrong(cause.to_string()))?;
    let mut entries = ::tar::Archive::new(stream.take(MAX_CONTROL));
    for entry in entries.entries().map_err(|cause| wrong(cause.to_string()))? {
        let mut entry = entry.map_err(|cause| wrong(cause.to_string()))?;
        if !matches!(&*entry.path_bytes(), b"./control" | b"control") {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(|cause| wrong(cause.to_string()))?;
        return parse_control(&text).map_err(wrong);
    }
    Err(wrong("the control archive has none".into()))
}

/// The three fields of a control file (deb-control(5)) that matter here.
fn parse_control(text: &str) -> Result<Control, String> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        value.filter(|value| !value.is_empty()).ok_or_else(|| format!("it has no field \"{name}\""))
    };
    Ok(Control { package: field("Package")?, version: field("Version")?, architecture: field("Architecture")? })
}

/// Length of the header of an `ar` member.
const AR_HEADER: u64 = 60;
/// A package has three members; a few more may be signatures.
const MAX_AR_MEMBERS: usize = 16;
/// Most unpacked bytes of the control archive that are looked at.
const MAX_CONTROL: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_of_a_control_file() {
        let text = "Package: busybox-static\nVersion: 1:1.35.0-4\nArchitecture: amd64\nDescription: x\n Package: no\n";
        let control = parse_control(text).unwrap();
        assert_eq!((control.package.as_str(), control.version.as_str()), ("busybox-static", "1:1.35.0-4"));
        assert_eq!(parse_control("Package: x\nVersion:\n").unwrap_err(), "it has no field \"Version\"");
    }

    #[test]
    fn the_skeleton_is_a_valid_tree_with_links_into_usr() {
        let tree = merged_usr_skeleton(0);
        tree.validate().unwrap();
        assert_eq!(tree.lookup("bin").unwrap().0, "usr/bin");
    }
}
