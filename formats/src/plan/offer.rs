//! What a catalogue offers an appliance, and plans and lists in words: the same on the appliance, in a terminal and in the portal.

use super::{Candidate, Inventory, Plan, Row, Standing, Step};
use crate::catalogue::{Catalogue, Place};
use crate::manifest::{Date, Effects};

/// Every package of the appliance's channel, with whether it may be had at `now`, seconds since 1970.
pub fn candidates<'a>(catalogue: &'a Catalogue, inventory: &Inventory, now: i64) -> Vec<Candidate<'a>> {
    let place = Place {
        channel: &inventory.channel,
        appliance: &inventory.appliance,
        ring: inventory.ring.as_deref(),
        entitled_until: inventory.entitled_until,
        now,
    };
    let entries = catalogue.entries().iter();
    entries
        .filter_map(|(id, entry)| Some(Candidate { entry, availability: catalogue.availability(id, &place)? }))
        .collect()
}

impl Row {
    /// The line for people.
    pub fn summary(&self) -> String {
        match &self.standing {
            Standing::Installed => format!("{} is installed", self.package),
            Standing::Superseded => format!("{} is superseded: something at least as new is installed", self.package),
            Standing::Available => format!("{} is available", self.package),
            Standing::Blocked { sentence, .. } => sentence.clone(),
            Standing::NotAvailable(availability) => format!("{} is {availability}", self.package),
        }
    }
}

impl Plan {
    /// Each step for people, then all together.
    pub fn sentences(&self) -> Vec<String> {
        if self.steps.is_empty() {
            return vec!["nothing to do: what is installed is what is wanted".into()];
        }
        let mut lines: Vec<String> =
            (1..).zip(&self.steps).map(|(number, step)| format!("{number}. {}", step.words())).collect();
        let totals = &self.totals;
        let mut together =
            vec![format!("together: {} to download", totals.download), format!("{} to write", totals.written)];
        for (count, one, more) in [
            (totals.reboots, "restart", "restarts"),
            (totals.site_downtimes, "interruption of the application", "interruptions of the application"),
            (totals.client_upgrades, "upgrade of client programs", "upgrades of client programs"),
            (totals.wait_hours, "hour of waiting", "hours of waiting"),
        ] {
            if count > 0 {
                together.push(format!("{count} {}", if count == 1 { one } else { more }));
            }
        }
        lines.push(together.join(", "));
        lines
    }
}

impl Step {
    /// What it does, for people.
    pub fn words(&self) -> String {
        let Self { reboot, site_downtime, client_upgrade, .. } = *self;
        let mut parts = vec![format!("install {}", self.package)];
        parts.extend(Effects { reboot, site_downtime, client_upgrade, soak_hours: None }.sentences());
        if let Some(hours) = self.wait_hours {
            parts.push(format!("not before {hours} h after the site before, so that clients can follow"));
        }
        if let Some(time) = self.not_before {
            parts.push(format!("not before {}, clients are still following", Date::shown(time)));
        }
        parts.join("; ")
    }
}
