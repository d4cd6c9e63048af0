//! The keeper's answers about licences.

use formats::manifest::Date;

use super::desk::Desk;
use super::log;
use crate::error::Result;
use crate::licence::{Directory, Standing, standing};
use crate::lifecycle::silent;

impl Desk {
    pub(super) fn licence_store(&self) -> Directory {
        Directory::new(&self.data)
    }

    /// What licences give this appliance today.
    pub(super) fn licences(&self) -> Result<Standing> {
        let workplace = self.look()?;
        let agent = workplace.agent(&silent);
        let facts = agent.facts()?;
        let licences = agent.licences(&self.licence_store())?;
        let today = Date::of_unix(self.clock(&facts).now().max(0)).unwrap_or(Date::LAST);
        Ok(standing(&licences, facts.site_info(), today))
    }

    /// Writes down licences whose installation was cut off right before that. The disk is taken only when there is one.
    pub(super) fn settle_licences(&self) -> Result<()> {
        let store = self.licence_store();
        if self.look()?.agent(&silent).unrecorded_licences(&store)?.is_empty() {
            return Ok(());
        }
        let workplace = self.change("update-agent".into())?;
        workplace.agent(&silent).settle_licences(&store)?.iter().for_each(|step| log(step));
        Ok(())
    }
}
