//! Keeping a depot fresh: what stands still is signed anew before appliances take it for a depot that somebody holds back.

use super::document::Document;
use super::edit::Edit;
use super::state::{ONLINE, State};
use crate::Result;

impl Edit<'_> {
    /// A new timestamp; snapshot and index role too once half of their time is over, and `roles` in any case.
    pub fn refresh(&mut self, before: &State, roles: &[String]) -> Result<()> {
        for role in roles {
            before.draft.document(role)?;
            self.touch(role);
        }
        for role in ["snapshot", ONLINE] {
            if self.is_half_over(before.draft.document(role)?) {
                self.touch(role);
            }
        }
        Ok(())
    }

    fn is_half_over(&self, document: &Document) -> bool {
        let half = i64::from(document.lifetime_days()) * 86_400 / 2;
        super::document::second(document.expires()).is_none_or(|last| last.saturating_sub(self.now()) < half)
    }
}
