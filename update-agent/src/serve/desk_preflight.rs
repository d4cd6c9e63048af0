//! The keeper's preflight: gathers what [`crate::preflight`] judges. It changes nothing, asks nobody, and refuses nothing an installation
//! does not refuse; of a package that cannot be read the error is the one an installation would have.

use std::time::Duration;

use formats::backup::setting::BeforeUpdates;
use formats::catalogue::Entry;
use formats::manifest::{Effects, Kind};
use formats::{Bytes, Digest};
use serde::Serialize;

use super::desk::Desk;
use crate::api::{Intent, Package, Problem, Wanted};
use crate::backup::setting;
use crate::backup::standing::State;
use crate::certificates;
use crate::command::install::firmware_model;
use crate::depot::offer;
use crate::depot::window::admitted;
use crate::error::{Error, Result};
use crate::journal::Release;
use crate::lifecycle::{Facts, Model, may_replace, silent};
use crate::preflight::{Backup, Finding, Impact, Seen, Space, Verdict, What, impact, judge, offers_backup, worst};
use crate::source::PackageFile;
use crate::upgrade::outlook::rest;
use crate::workplace::Workplace;

/// What is to be known before an installation.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Preflight {
    /// What would be installed, in order; empty: nothing is left to do.
    packages: Vec<String>,
    /// The worst verdict.
    verdict: Verdict,
    /// One for each thing that was looked at.
    findings: Vec<Finding>,
    /// What is still to be fetched.
    download: Bytes,
    /// What is written to slots.
    written: Bytes,
    /// About how long writing and restarting take; nothing when nothing was installed here of which that is known.
    seconds: Option<u64>,
    /// What it does to people, as its makers say.
    effects: Effects,
    /// The same in words and numbers.
    impact: Impact,
    /// The licence terms that nobody accepted yet.
    terms: Vec<Terms>,
    /// A backup is made before it.
    backup: bool,
    /// None is, one is wanted, and it can be made without asking for a passphrase.
    backup_offered: bool,
}

/// Terms of one release.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Terms {
    release: String,
    digest: Digest,
}

/// What is known of what is to be installed.
struct Subject {
    what: What,
    packages: Vec<String>,
    suits: Result<()>,
    fetch: Bytes,
    written: Bytes,
    seconds: Option<u64>,
    /// How long the first step takes, as far as a window goes.
    needs: Duration,
    effects: Effects,
    /// The name of the last site in it.
    host: Option<String>,
    /// Licence terms: in the end those that nobody accepted yet.
    terms: Vec<(String, Digest)>,
}

impl Desk {
    /// Looks at everything from this disk. `own`: the number of the job that asks, which is not in its own way.
    pub(super) fn preflight(&self, intent: &Intent, workplace: &Workplace, own: Option<u64>) -> Result<Preflight> {
        let facts = workplace.agent(&silent).facts()?;
        let mut subject = match intent {
            Intent::Way(wanted) => self.whole_way(wanted, &facts, workplace)?,
            Intent::Package(package) => self.one_package(package, &facts, workplace)?,
        };
        subject.terms.retain(|(_, digest)| !facts.history.accepted(*digest));
        let seen = self.seen_before(&subject, &facts, workplace, own)?;
        let findings = judge(&seen);
        let offered = offers_backup(&seen.backup);
        Ok(Preflight {
            packages: subject.packages,
            verdict: worst(&findings),
            findings,
            download: subject.fetch,
            written: subject.written,
            seconds: subject.seconds,
            impact: impact(&subject.effects, self.people.sessions(), facts.active_site().is_some()),
            effects: subject.effects,
            terms: subject.terms.into_iter().map(|(release, digest)| Terms { release, digest }).collect(),
            backup: match seen.backup.before {
                BeforeUpdates::No => false,
                BeforeUpdates::Make => seen.backup.can_encrypt,
                BeforeUpdates::Require => true,
            },
            backup_offered: offered,
        })
    }

    fn seen_before(&self, subject: &Subject, facts: &Facts, workplace: &Workplace, own: Option<u64>) -> Result<Seen> {
        let clock = self.clock(facts);
        let setting = self.depot.setting()?;
        let working = self.jobs.last().filter(|job| job.result.is_none() && Some(job.id) != own);
        let upgrade = match self.none_under_way(workplace) {
            Err(Error::UpgradeUnderWay(summary)) => Some(summary),
            none => none.map(|()| None)?,
        };
        Ok(Seen {
            what: subject.what,
            suits: subject.suits.as_ref().map_err(Problem::from).copied(),
            space: self
                .staging()
                .space()
                .map(|(free, reserve)| Space { fetch: subject.fetch, reserve, free })
                .map_err(|problem| problem.to_string()),
            clock,
            backup: self.newest_backup()?,
            unsaved: self.unsaved_certificates(facts),
            coverage: subject.host.as_ref().map(|host| self.coverage(host, facts)),
            job: working.map(|job| format!("{} (job {}, for {})", job.what, job.id, job.by)),
            rest: rest(facts),
            upgrade,
            window: setting.window.is_some().then(|| admitted(&setting, clock, subject.needs)),
            terms: subject.terms.iter().map(|(release, _)| release.clone()).collect(),
        })
    }

    fn newest_backup(&self) -> Result<Backup> {
        let standing = self.backup_standing()?;
        let setting = setting::load(&self.data)?;
        Ok(Backup {
            current: standing.state == State::Current,
            sentence: standing.sentence,
            before: setting.before_updates,
            can_encrypt: setting.can_encrypt(),
        })
    }

    /// Of those that are shown to clients.
    fn unsaved_certificates(&self, facts: &Facts) -> Vec<String> {
        // A preflight finds out what it can; a store that cannot be read is said by the list of certificates.
        let listed = self.certificates_of(facts).map(|listing| listing.certificates).unwrap_or_default();
        let unsaved = |one: &&certificates::listing::Listed| {
            one.findings.iter().any(|finding| finding.code == certificates::FindingKind::NotExported)
        };
        let sentence = |one: &certificates::listing::Listed| {
            format!(
                "the certificate {} in use was not exported with its key since it was last changed",
                one.facts.subject
            )
        };
        listed.iter().filter(unsaved).map(sentence).collect()
    }

    fn one_package(&self, package: &Package, facts: &Facts, workplace: &Workplace) -> Result<Subject> {
        if let Package::Depot(id) = package {
            let known = self.depot.known()?;
            let entry = known
                .catalogue
                .entries()
                .get(id)
                .ok_or_else(|| Error::from(crate::depot::Trouble::NotInDepot(id.clone())))?;
            if let Some(staged) = self.staged_at(workplace)?.into_iter().find(|one| one.is(entry)) {
                let here = self.package_here(&Package::Staged(staged.id), facts, workplace)?;
                return Ok(Subject { suits: here.suits.and_then(|()| self.offered(entry, facts, workplace)), ..here });
            }
            let target = known.depot.target(&id.target());
            let fetch = target.map_or(entry.size, |target| self.staging().missing(target.digest, target.length));
            return Ok(Subject { suits: self.offered(entry, facts, workplace), ..of_entry(entry, fetch, facts) });
        }
        self.package_here(package, facts, workplace)
    }

    /// Refused as it would be by what the depot says.
    fn offered(&self, entry: &Entry, facts: &Facts, workplace: &Workplace) -> Result<()> {
        let (_, inventory, clock) = self.in_fleet(workplace)?;
        offer::wanted(&self.depot.known()?.catalogue, &inventory, &entry.id(), true, clock.now())?;
        Ok(may_replace(facts, entry.kind, entry.build_id)?)
    }

    fn package_here(&self, package: &Package, facts: &Facts, workplace: &Workplace) -> Result<Subject> {
        if let Package::File(path) = package
            && super::desk_bundle::bundle(path)?.is_some()
        {
            return Err(Error::Usage("a path bundle is looked at once it is staged: \"update-agent stage\"".into()));
        }
        let (file, name) = self.opened(package)?;
        let package = PackageFile::glance(file, &name, &self.package_trust(workplace.trust())?, &self.program)?;
        let firmware = if workplace.is_image() { None } else { firmware_model() };
        let model = Model { said: None, firmware };
        let release = package.verified().manifest();
        let written = release.image.as_ref().map_or(Bytes(0), |image| image.size);
        let suits = workplace.agent(&silent).may_install(package.verified(), &model, &self.licence_store());
        let named = Release::from(release).to_string();
        let terms = package.eula().map(|text| (named.clone(), Digest::of(text.as_bytes())));
        Ok(Subject {
            suits,
            host: release.site.as_ref().map(|site| site.hostname.clone()),
            terms: terms.into_iter().collect(),
            ..of_one(named, release.kind, (Bytes(0), written), release.effects, facts)
        })
    }

    fn whole_way(&self, wanted: &Wanted, facts: &Facts, workplace: &Workplace) -> Result<Subject> {
        let known = self.depot.known()?;
        let entries = known.catalogue.entries();
        let way = self.plan_at(workplace, wanted)?;
        let steps: Vec<&Entry> = way.plan.steps.iter().filter_map(|step| entries.get(&step.package)).collect();
        let staged = self.staged_at(workplace)?;
        let missing = steps.iter().filter(|entry| !staged.iter().any(|one| one.is(entry)));
        let missing = missing.map(|entry| match known.depot.target(&entry.id().target()) {
            Some(target) => self.staging().missing(target.digest, target.length).0,
            None => entry.size.0,
        });
        let any = |has: fn(&Effects) -> bool| steps.iter().any(|entry| has(&entry.effects));
        let first = way.plan.steps.first();
        Ok(Subject {
            what: What::Way,
            packages: way.plan.steps.iter().map(|step| step.package.to_string()).collect(),
            suits: Ok(()),
            // One is fetched after the other, and removed once it is kept: the largest needs the room.
            fetch: Bytes(missing.max().unwrap_or(0)),
            written: Bytes(way.plan.steps.iter().fold(0, |sum, step| step.written.0.saturating_add(sum))),
            seconds: way.seconds,
            needs: first.map(|step| facts.takes(step.written, step.reboot)).unwrap_or_default(),
            effects: Effects {
                reboot: any(|effects| effects.reboot),
                site_downtime: any(|effects| effects.site_downtime),
                client_upgrade: any(|effects| effects.client_upgrade),
                soak_hours: None,
            },
            host: steps.iter().filter_map(|entry| entry.hostname()).next_back().map(str::to_owned),
            terms: steps.iter().filter_map(|entry| Some((entry.id().to_string(), entry.eula?))).collect(),
        })
    }
}

fn of_entry(entry: &Entry, fetch: Bytes, facts: &Facts) -> Subject {
    let named = entry.id().to_string();
    Subject {
        host: entry.site.as_ref().map(|site| site.hostname.clone()),
        terms: entry.eula.map(|digest| (named.clone(), digest)).into_iter().collect(),
        ..of_one(named, entry.kind, (fetch, entry.image_size), entry.effects, facts)
    }
}

fn of_one(named: String, kind: Kind, (fetch, written): (Bytes, Bytes), effects: Effects, facts: &Facts) -> Subject {
    let needs = facts.takes(written, effects.reboot);
    Subject {
        what: What::Package(kind),
        packages: vec![named],
        suits: Ok(()),
        fetch,
        written,
        seconds: (!needs.is_zero()).then_some(needs.as_secs()),
        needs,
        effects,
        host: None,
        terms: Vec::new(),
    }
}
