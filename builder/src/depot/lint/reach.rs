//! Can every release of a channel be reached, and the newest from everywhere? Asked of the planner that appliances have.

use formats::catalogue::{Availability, Entry, Index};
use formats::manifest::Kind;
use formats::plan::{Candidate, FORMAT, Installed, Inventory, Options, Target, plan};
use formats::site::suits;

use super::Finding;

/// For each channel. Rings, opening times and entitlement are left out: in time everything opens for somebody.
pub fn reach(index: &Index, entries: &[Entry], findings: &mut Vec<Finding>) {
    for (name, listings) in &index.channels {
        let of_channel = |withdrawn: bool| -> Vec<&Entry> {
            let mut found: Vec<&Entry> = listings
                .iter()
                .filter(|listing| withdrawn || listing.withdrawn.is_none())
                .filter_map(|listing| entries.iter().find(|entry| entry.id() == listing.package))
                .collect();
            found.sort_by_key(|entry| entry.sequence);
            found
        };
        let candidates: Vec<Candidate<'_>> = of_channel(false)
            .into_iter()
            .map(|entry| Candidate { entry, availability: Availability::Available })
            .collect();
        // What was withdrawn may run somewhere.
        Channel { name, installed: of_channel(true), candidates }.report(findings);
    }
}

struct Channel<'a> {
    name: &'a str,
    installed: Vec<&'a Entry>,
    candidates: Vec<Candidate<'a>>,
}

impl Channel<'_> {
    fn report(&self, findings: &mut Vec<Finding>) {
        for candidate in &self.candidates {
            let wanted = candidate.entry;
            if wanted.kind == Kind::Licence {
                continue;
            }
            if wanted.kind == Kind::Site && !self.of(Kind::Base).any(|base| goes_with(base, wanted)) {
                let problem = format!("no base in channel \"{}\" suits it, so nobody can install it", self.name);
                findings.push(Finding { code: "nobody", subject: wanted.id().to_string(), problem });
                continue;
            }
            let older: Vec<&Entry> = self.line(wanted).filter(|one| one.sequence < wanted.sequence).collect();
            let reached = |one: &&Entry| self.appliances(one).iter().any(|from| self.blocked(from, wanted).is_none());
            if !older.is_empty() && !older.iter().rev().any(reached) {
                let problem = format!("no older release in channel \"{}\" leads to it", self.name);
                findings.push(Finding { code: "unreachable", subject: wanted.id().to_string(), problem });
            } else if self.line(wanted).all(|one| one.sequence <= wanted.sequence) {
                self.stuck(&older, wanted, findings);
            }
        }
    }

    /// Older releases from which the newest cannot be reached.
    fn stuck(&self, older: &[&Entry], newest: &Entry, findings: &mut Vec<Finding>) {
        for one in older {
            for from in self.appliances(one) {
                if let Some(sentence) = self.blocked(&from, newest) {
                    let beside = match (&from.site, newest.kind) {
                        (Some(site), Kind::Base) => format!(" beside {} {}", site.name, site.version),
                        (_, Kind::Site) => format!(" on {} {}", from.base.name, from.base.version),
                        _ => String::new(),
                    };
                    let problem = format!(
                        "with it{beside} no way leads to {} in channel \"{}\": {sentence}",
                        newest.id(),
                        self.name
                    );
                    findings.push(Finding { code: "stuck", subject: one.id().to_string(), problem });
                    break;
                }
            }
        }
    }

    fn of(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Entry> {
        self.installed.iter().copied().filter(move |entry| entry.kind == kind)
    }

    fn line(&self, of: &Entry) -> impl Iterator<Item = &Entry> {
        self.of(of.kind).filter(move |one| one.name == of.name)
    }

    /// Appliances that may have this release: with the newest and with the oldest release of the other kind that suits it. Not with every one: for
    /// hundreds of releases those would be tens of thousands of plans.
    fn appliances(&self, one: &Entry) -> Vec<Inventory> {
        let pairs: Vec<(&Entry, Option<&Entry>)> = match one.kind {
            Kind::Site => {
                self.of(Kind::Base).filter(|base| goes_with(base, one)).map(|base| (base, Some(one))).collect()
            }
            _ => self.of(Kind::Site).filter(|site| goes_with(one, site)).map(|site| (one, Some(site))).collect(),
        };
        let alone = (one.kind == Kind::Base && pairs.is_empty()).then_some((one, None));
        let ends = [pairs.last().copied(), pairs.first().copied().filter(|_| pairs.len() > 1), alone];
        ends.into_iter().flatten().map(|(base, site)| self.inventory(base, site)).collect()
    }

    fn inventory(&self, base: &Entry, site: Option<&Entry>) -> Inventory {
        Inventory {
            format: FORMAT,
            appliance: "lint".into(),
            product: base.product.clone(),
            hardware: base.hardware.first().cloned().into_iter().collect(),
            base: Installed::of_entry(base),
            site: site.map(Installed::of_entry),
            floors: Vec::new(),
            channel: self.name.to_owned(),
            ring: None,
            entitled_until: None,
            licences: Vec::new(),
        }
    }

    /// Why there is no way, if there is none.
    fn blocked(&self, from: &Inventory, to: &Entry) -> Option<String> {
        plan(from, &self.candidates, &Target::Package(to.id()), Options { no_soak: true })
            .err()
            .map(|blocked| blocked.to_string())
    }
}

fn goes_with(base: &Entry, site: &Entry) -> bool {
    suits((&base.version, &base.requires), (&site.version, &site.requires))
}
