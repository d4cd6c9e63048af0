//! Licences: signed claims on the data partition that change nothing that runs.
//!
//! Of a licence package its manifest and signatures are kept, in the form of a slot's footer: one file for each package line. Nothing is
//! believed because it lies there. Each reading verifies every signature anew, with the keys the base was built with, as for slots; a file
//! under another name than its own line, or older than what the journal remembers, counts nothing. So whoever has the disk in hand can take
//! licences away and cannot add any.
//!
//! When a licence ends, nothing is stopped and nothing removed: `status` says so, and the application decides by what it reads here.
//! A factory reset removes licences with everything else on the data partition; the floors of their lines stay as far as there is room.

mod standing;
mod store;

use formats::Digest;
use formats::footer::Footer;
use formats::manifest::{Date, LicenceInfo, Manifest};
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};

pub use standing::{Line, Standing, standing};
pub use store::{Directory, LIMIT, Store};

use crate::journal::Floor;

/// The licences of an appliance that are believed, and what is wrong with the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Licences {
    /// In the order of their lines.
    pub held: Vec<VerifiedManifest>,
    /// A sentence for each file that is not believed.
    pub problems: Vec<String>,
}

impl Licences {
    /// Reads and verifies all of them. `floors` are the highest numbers that were ever installed. What cannot be read is said, and stops
    /// nothing: an appliance can be updated whatever became of its licences.
    pub fn read(store: &dyn Store, trust: &TrustStore, floors: &[Floor]) -> Self {
        let mut licences = Self::default();
        let files = store.load().unwrap_or_else(|problem| {
            licences.problems.push(format!("cannot list the licences: {problem}; check the data partition"));
            Vec::new()
        });
        for (line, content) in files {
            let judged = content.map_err(|problem| problem.to_string());
            match judged.and_then(|bytes| believed(&line, &bytes, trust, floors)) {
                Ok(licence) => licences.held.push(licence),
                Err(problem) => licences.problems.push(format!(
                    "the licence \"{line}\" on the data partition is not believed: {problem}; install it again"
                )),
            }
        }
        licences
    }

    /// The licence of this line.
    pub fn of_line(&self, line: &str) -> Option<&Manifest> {
        self.held.iter().map(VerifiedManifest::manifest).find(|manifest| manifest.name == line)
    }

    /// The builds of all.
    pub fn builds(&self) -> Vec<Digest> {
        self.held.iter().map(|licence| licence.manifest().build_id).collect()
    }

    /// The last day for which this appliance is entitled to new packages: the latest that a licence for its site names. Nothing: no
    /// licence says anything about it. A licence that has ended says it all the same.
    pub fn entitled_until(&self, hostname: Option<&str>) -> Option<Date> {
        let ours = self.claims().filter(|(_, claims)| is_for(claims, hostname));
        ours.filter_map(|(_, claims)| claims.entitled_until).max()
    }

    fn claims(&self) -> impl Iterator<Item = (&Manifest, &LicenceInfo)> {
        self.held.iter().filter_map(|licence| Some((licence.manifest(), licence.manifest().licence.as_ref()?)))
    }
}

/// Whether a licence is for the site with this host name, or for any.
pub fn is_for(claims: &LicenceInfo, hostname: Option<&str>) -> bool {
    claims.hostname.as_deref().is_none_or(|theirs| hostname == Some(theirs))
}

fn believed(line: &str, bytes: &[u8], trust: &TrustStore, floors: &[Floor]) -> Result<VerifiedManifest, String> {
    let footer = Footer::parse(bytes).map_err(|problem| problem.to_string())?;
    let licence = footer.verify(trust, Role::Licence).map_err(|problem| problem.to_string())?;
    let manifest = licence.manifest();
    if manifest.name != line {
        return Err(format!("it is the licence \"{}\" under another name", manifest.name));
    }
    let floor = Floor::of(floors, manifest.kind, &manifest.name);
    match floor.filter(|floor| manifest.sequence < *floor) {
        Some(floor) => Err(format!("it is number {}, and number {floor} was installed here", manifest.sequence)),
        None => Ok(licence),
    }
}

#[cfg(test)]
mod tests;
