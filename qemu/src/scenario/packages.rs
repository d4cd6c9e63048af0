//! Which packages a scenario is about: those it is given as files, those in its depot, and those inside its disk images.
//!
//! Nothing is judged: a file that is missing or damaged is the scenario's matter, here it only stands for no package.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use formats::footer::Footer;
use formats::{Digest, package};

use super::{DriveContent, Files, Scenario};
use crate::surgery::RawImage;

impl Scenario {
    /// SHA-256 of the manifests of all packages this scenario begins with. `folder`: where its file is.
    pub fn manifests(&self, files: &Files, folder: &Path) -> BTreeSet<Digest> {
        let mut named = vec![&self.disk.image];
        for drive in &self.drives {
            match &drive.content {
                DriveContent::Files { names, .. } => named.extend(names.values()),
                DriveContent::Image(image) => named.push(image),
                DriveContent::Twin | DriveContent::Empty => {}
            }
        }
        let mut found: Vec<PathBuf> = named.into_iter().filter_map(|name| files.find(name, folder).ok()).collect();
        if let Some(depot) = self.depot.as_ref().and_then(|depot| files.find_folder(&depot.folder, folder).ok()) {
            found.extend(packages_in(&depot.join("targets")));
        }
        found.iter().flat_map(|path| of_file(path)).collect()
    }
}

/// What a depot offers: `targets/KIND/DIGEST.NAME.pkg`.
fn packages_in(targets: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let found = std::fs::read_dir(folder).into_iter().flatten();
        found.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect::<Vec<_>>()
    };
    let files = entries(targets).into_iter().flat_map(|folder| entries(&folder));
    files.filter(|path| path.extension().is_some_and(|ending| ending == "pkg")).collect()
}

fn of_file(path: &Path) -> Vec<Digest> {
    match of_package(path) {
        Some(digest) => vec![digest],
        None => of_image(path),
    }
}

fn of_package(path: &Path) -> Option<Digest> {
    let file = File::open(path).ok()?;
    package::peek(BufReader::new(file)).ok().map(|claims| Digest::of(&claims.manifest_bytes))
}

/// What the footers of its slots hold.
fn of_image(path: &Path) -> Vec<Digest> {
    let Ok(image) = RawImage::open(path) else { return Vec::new() };
    let footer = |label: &&str| {
        let (partition, offset) = (image.partition(label).ok()?, image.footer_offset(label).ok()?);
        let length = usize::try_from(partition.length.checked_sub(offset)?).ok()?;
        let bytes = image.read(partition.offset.checked_add(offset)?, length).ok()?;
        Some(Digest::of(&Footer::parse(&bytes).ok()?.manifest))
    };
    SLOTS.iter().filter_map(footer).collect()
}

const SLOTS: [&str; 4] = ["base-a", "base-b", "site-a", "site-b"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_package_and_no_appliance_stands_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty.img"), vec![0; 1 << 20]).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "nothing").unwrap();
        let text = "title = \"t\"\nsteps = [{ power = \"on\" }]\n[disk]\nimage = \"empty.img\"\n[[drive]]\nname = \"stick\"\nfiles = { \"A.TXT\" = \"notes.txt\", \"B.TXT\" = \"missing\" }\n";
        let scenario = Scenario::parse(text, "x.toml").unwrap();
        assert_eq!(scenario.manifests(&Files::default(), folder.path()), BTreeSet::new());
    }
}
