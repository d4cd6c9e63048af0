//! Can every release of a channel be reached, and the newest from everywhere? Every pair of a base and a site is tried.

use std::collections::{BTreeMap, BTreeSet};

use formats::catalogue::{Availability, Entry, Index};
use formats::manifest::Kind;
use formats::plan::{Candidate, FORMAT, Installed, Inventory, Options, Target, plan};

use super::ground::{Ground, Release, fits, goes_with};
use super::{Finding, Tried};

/// For each channel. Rings, opening times and entitlement are left out: in time everything opens for somebody.
pub fn reach(index: &Index, entries: &[Entry], findings: &mut Vec<Finding>) -> Tried {
    let mut tried = Tried::default();
    let by_id: BTreeMap<_, _> = entries.iter().map(|entry| (entry.id(), entry)).collect();
    for (name, listings) in &index.channels {
        // What was withdrawn may run somewhere.
        let release = |listing: &formats::catalogue::Listing| {
            Some(Release { entry: *by_id.get(&listing.package)?, offered: listing.withdrawn.is_none() })
        };
        let mut releases: Vec<Release<'_>> = listings.iter().filter_map(release).collect();
        releases.sort_by_key(|release| release.entry.sequence);
        Channel::new(name, releases, &mut tried).report(findings);
    }
    tried
}

struct Channel<'a> {
    name: &'a str,
    releases: Vec<Release<'a>>,
    grounds: Vec<Ground<'a>>,
}

impl<'a> Channel<'a> {
    fn new(name: &'a str, releases: Vec<Release<'a>>, tried: &mut Tried) -> Self {
        let mut models: BTreeSet<Option<&str>> = BTreeSet::new();
        for release in &releases {
            models.extend(release.entry.hardware.iter().map(|model| Some(model.as_str())));
            models.extend(release.entry.hardware.is_empty().then_some(None));
        }
        let lines = |kind| -> BTreeSet<_> {
            releases.iter().map(|one| one.entry).filter(|one| one.kind == kind).map(line).collect()
        };
        let mut grounds = Vec::new();
        for model in models {
            let of = |wanted| -> Vec<Release<'a>> {
                let here = |one: &&Release<'_>| line(one.entry) == wanted && fits(one.entry, model);
                releases.iter().filter(here).copied().collect()
            };
            for bases in lines(Kind::Base).into_iter().map(of) {
                let sites = lines(Kind::Site).into_iter().map(of).filter(|sites| !sites.is_empty());
                let without = bases.iter().any(|base| is_alone(base.entry, &releases)).then(Vec::new);
                for sites in sites.chain(without) {
                    let count = (bases.len() * sites.len().max(1)) as u64;
                    if tried.pairs + count > MAX_PAIRS {
                        tried.left_out += count;
                        continue;
                    }
                    tried.pairs += count;
                    grounds.push(Ground::new(model, bases.clone(), &sites));
                }
            }
        }
        Self { name, releases, grounds }
    }

    fn report(&self, findings: &mut Vec<Finding>) {
        let mut sentences = MAX_SENTENCES;
        for wanted in self.releases.iter().filter(|one| one.offered && one.entry.kind != Kind::Licence) {
            let wanted = wanted.entry;
            let mut add = |code, subject: &Entry, problem| {
                findings.push(Finding { code, subject: subject.id().to_string(), problem });
            };
            let suited = |one: &Release<'_>| one.entry.kind == Kind::Base && goes_with(one.entry, wanted);
            if wanted.kind == Kind::Site && !self.releases.iter().any(suited) {
                let problem = format!("no base in channel \"{}\" suits it, so nobody can install it", self.name);
                add("nobody", wanted, problem);
                continue;
            }
            let of_line: Vec<&Entry> =
                self.releases.iter().map(|one| one.entry).filter(|one| line(one) == line(wanted)).collect();
            let older = of_line.iter().any(|one| one.sequence < wanted.sequence);
            if older && !self.grounds.iter().any(|ground| ground.is_entered(wanted)) {
                add("unreachable", wanted, format!("no older release in channel \"{}\" leads to it", self.name));
            } else if of_line.iter().all(|one| one.sequence <= wanted.sequence) {
                for (from, problem) in self.stuck(wanted, &mut sentences) {
                    add("stuck", from, problem);
                }
            }
        }
    }

    /// Older releases with which the newest cannot be reached from some pair, and from how many.
    fn stuck(&self, newest: &Entry, sentences: &mut usize) -> Vec<(&'a Entry, String)> {
        let mut pairs: BTreeMap<_, Vec<Start<'_>>> = BTreeMap::new();
        for ground in &self.grounds {
            let starts = ground.starts(newest);
            for (base, site, leads) in starts.filter(|(base, site, _)| site.is_some() || is_alone(base, &self.releases))
            {
                let one = if newest.kind == Kind::Base { Some(base) } else { site };
                if let Some(one) = one.filter(|one| line(one) == line(newest) && one.sequence < newest.sequence) {
                    pairs.entry((one.sequence, one.id())).or_default().push((leads, ground.model, base, site));
                }
            }
        }
        let mut found = Vec::new();
        for pairs in pairs.into_values() {
            let count = pairs.iter().filter(|(leads, ..)| !leads).count();
            let Some((_, model, base, site)) = pairs.iter().rfind(|(leads, ..)| !leads) else { continue };
            let (one, beside) = match (site, newest.kind) {
                (Some(site), Kind::Base) => (*base, format!(" beside {} {}", site.name, site.version)),
                (Some(site), _) => (*site, format!(" on {} {}", base.name, base.version)),
                (None, _) => (*base, String::new()),
            };
            let mut problem = format!(
                "with it{beside} no way leads to {} in channel \"{}\" (so in {count} of {} pairs)",
                newest.id(),
                self.name,
                pairs.len()
            );
            if *sentences > 0 {
                *sentences -= 1;
                let why = self.blocked(&self.inventory(*model, base, *site), newest);
                problem.extend(why.map(|why| format!(": {why}")));
            }
            found.push((one, problem));
        }
        found
    }

    fn inventory(&self, model: Option<&str>, base: &Entry, site: Option<&Entry>) -> Inventory {
        Inventory {
            format: FORMAT,
            appliance: "lint".into(),
            product: base.product.clone(),
            hardware: model.map(str::to_owned).into_iter().collect(),
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
        let offered = self.releases.iter().filter(|one| one.offered);
        let candidate = |one: &Release<'a>| Candidate { entry: one.entry, availability: Availability::Available };
        let candidates: Vec<Candidate<'_>> = offered.map(candidate).collect();
        let target = Target::Package(to.id());
        plan(from, &candidates, &target, Options { no_soak: true }).err().map(|blocked| blocked.to_string())
    }
}

/// Whether a way leads from there, the model, the base and the site.
type Start<'a> = (bool, Option<&'a str>, &'a Entry, Option<&'a Entry>);

/// A base that no site suits runs without one.
fn is_alone(base: &Entry, releases: &[Release<'_>]) -> bool {
    !releases.iter().any(|one| one.entry.kind == Kind::Site && goes_with(base, one.entry))
}

/// Releases that take each other's place: of one line and, where they are bound to one, of one host name.
fn line(entry: &Entry) -> (Kind, &str, Option<&str>) {
    (entry.kind, &entry.name, entry.hostname())
}

/// Most pairs that are tried in a depot: twice as many as the largest catalogue with one model has.
const MAX_PAIRS: u64 = 8 << 20;
/// Findings of a channel in which the planner says why.
const MAX_SENTENCES: usize = 20;

#[cfg(test)]
mod tests;
