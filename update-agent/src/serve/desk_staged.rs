//! The keeper and staged packages that have served their purpose: what was kept on this appliance is not staged any more.
//!
//! Nothing remembers that a package was installed from here. What is to go follows from the history and from what runs, whenever the
//! history changed: so it does not matter who installed it from where, nor whether the power went in between, and to do it twice does
//! nothing more. A package that was gone back from is still newer than what runs, and stays.

use std::time::SystemTime;

use formats::manifest::Kind;

use super::desk::Desk;
use crate::error::Result;
use crate::journal::Release;
use crate::lifecycle::{Facts, silent};
use crate::serve::log;

/// Which history was looked at last.
pub type Cleared = Option<(SystemTime, u64)>;

impl Desk {
    /// Removes the staged packages that were kept here, when the history changed since the last time that this came to its end.
    pub fn clear_kept(&self, cleared: &mut Cleared) -> Result<()> {
        let journal = std::fs::symlink_metadata(self.data.join("bulkhead/journal")).ok();
        let present = journal.and_then(|journal| Some((journal.modified().ok()?, journal.len())));
        if present == *cleared {
            return Ok(());
        }
        if !self.staging().is_empty()? {
            let workplace = self.look()?;
            let facts = workplace.agent(&silent).facts()?;
            for staged in self.staging().list(&self.package_trust(workplace.trust())?, &self.program)? {
                let Some(release) = staged.release.filter(|release| is_kept(&facts, release)) else { continue };
                self.staging().discard(&staged.id)?;
                log(&format!("{release} was kept and is not staged any more"));
            }
        }
        *cleared = present;
        Ok(())
    }
}

/// Whether this was kept, and what runs is at least as new. Licences run nowhere; they are kept for good.
fn is_kept(facts: &Facts, release: &Release) -> bool {
    let running = match release.kind {
        Kind::Base => facts.home(),
        Kind::Site => facts.active_site().and_then(|slot| facts.site.get(slot).manifest()),
        Kind::Licence => return facts.history.committed(release.build_id),
    };
    let newer = running.is_some_and(|one| one.name == release.name && one.sequence >= release.sequence);
    newer && facts.history.committed(release.build_id)
}
