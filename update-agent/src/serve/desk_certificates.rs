//! The keeper's part in certificates.

use std::fs;

use super::desk::Desk;
use crate::certificates::{Names, Serving};
use crate::error::Result;
use crate::lifecycle::silent;
use crate::network::bare_addresses;

impl Desk {
    /// What servers of this appliance show to their clients, by name and address. To be asked again now and then: [`Serving::change`] says
    /// whether there is something new, for example because the appliance has another address.
    pub fn serving(&self) -> Result<Serving> {
        let facts = self.look()?.agent(&silent).facts()?;
        let site = facts.site_info().map(|site| site.hostname.clone());
        let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let names = Names::new(site.into_iter().chain([own.trim().to_owned()]), bare_addresses());
        self.certificates.serving(&names, self.clock(&facts).now())
    }
}
