//! What follows from a depot's catalogue for this appliance: the list of updates, and the way to one of them.

use formats::Bytes;
use formats::catalogue::{Catalogue, Entry, PackageId};
use formats::depot::Setting;
use formats::manifest::{Date, Effects, Manifest};
use formats::plan::{self, Inventory, Plan, Rates, Row, Standing, Target, candidates};
use serde::{Deserialize, Serialize};

use super::Trouble;
use super::clock::Clock;
use super::setting::channel;
use super::store::{Attempt, Known};
use crate::certificates::Finding;
use crate::error::{Error, Result};
use crate::licence::Licences;
use crate::lifecycle::Facts;
use crate::staging::Staged;

/// The list of updates.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Updates {
    /// The depot.
    pub url: Option<String>,
    /// The channel.
    pub channel: String,
    /// When the list of the depot was made, seconds since 1970.
    pub created: i64,
    /// Until when what the depot signed is good, seconds since 1970.
    pub expires: i64,
    /// When it was last asked with success, seconds since 1970.
    pub checked: i64,
    /// How the last check ended.
    pub attempt: Option<Attempt>,
    /// The time, as far as it is known.
    pub clock: Clock,
    /// What is to be said about clock and age, a sentence each.
    pub notes: Vec<String>,
    /// Every package of the channel.
    pub updates: Vec<Update>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// The package and where it stands.
    #[serde(flatten)]
    pub row: Row,
    /// The same for people.
    pub summary: String,
    /// The id under which it is staged.
    pub staged: Option<String>,
    /// What installing it does.
    pub effects: Effects,
    /// Bytes of the package.
    pub size: Bytes,
    /// Last day of support.
    pub support_end: Option<Date>,
    /// The host name it is bound to.
    pub hostname: Option<String>,
    /// Licences it brings.
    pub licences: Option<u32>,
    /// What it opens.
    pub features: Vec<String>,
    /// The last day on which site or licence hold; none: they never end.
    pub expires: Option<Date>,
}

/// What somebody wants to know the way to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wanted {
    /// The package; nothing: the newest there is a way to.
    #[serde(default)]
    pub to: Option<PackageId>,
    /// Leave no time between sites for clients to follow.
    #[serde(default)]
    pub no_soak: bool,
}

/// A way, with words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Way {
    /// The steps.
    #[serde(flatten)]
    pub plan: Plan,
    /// Each step for people, then all together.
    pub sentences: Vec<String>,
    /// About how long writing and restarting take in seconds, downloads and waiting not counted; nothing when it is not known.
    pub seconds: Option<u64>,
    /// What clients will say about the certificate of the site.
    pub findings: Vec<Finding>,
}

/// What is installed, as a planner has to know it. `model` is what the firmware calls the machine, `who` its name among all.
pub fn inventory(
    facts: &Facts,
    setting: &Setting,
    who: String,
    model: Option<String>,
    licences: &Licences,
    clock: Clock,
) -> Result<Inventory> {
    let base = facts.home().ok_or_else(|| Error::Usage("there is no whole base here to plan from".into()))?;
    let site = facts.active_site().and_then(|slot| facts.site.get(slot).manifest());
    let hardware = match model.filter(|model| base.hardware.contains(model)) {
        Some(model) => vec![model],
        None => base.hardware.clone(),
    };
    let mut running = site.map(plan::Installed::of);
    if let (Some(running), Some(hours)) = (&mut running, site.and_then(|site| site.effects.soak_hours)) {
        running.soaks_until = site
            .and_then(|site| kept_since(facts, site, clock))
            .map(|since| since.saturating_add(i64::from(hours).saturating_mul(3600)));
    }
    let hostname = facts.site_info().map(|site| site.hostname.as_str());
    Ok(Inventory {
        format: plan::FORMAT,
        appliance: who,
        product: base.product.clone(),
        hardware,
        base: plan::Installed::of(base),
        site: running,
        floors: facts.floors(),
        channel: channel(setting),
        ring: setting.ring.clone(),
        entitled_until: licences.entitled_until(hostname),
        licences: licences.builds(),
    })
}

/// Since when clients can follow the site that runs: its commit here. The site was signed before that, and so was the base that was kept
/// before it.
fn kept_since(facts: &Facts, site: &Manifest, clock: Clock) -> Option<i64> {
    let commit = facts.history.first_commit(site.build_id)?;
    let before =
        |base: &Manifest| facts.history.first_commit(base.build_id).is_some_and(|one| one.number < commit.number);
    let base = facts.home().filter(|base| before(base)).map_or(0, |base| base.created);
    Some(clock.happened(i64::try_from(commit.time).ok()?, site.created.max(base)))
}

/// The list.
pub fn updates(
    known: &Known,
    setting: &Setting,
    inventory: &Inventory,
    staged: &[Staged],
    attempt: Option<Attempt>,
    clock: Clock,
) -> Updates {
    let candidates = candidates(&known.catalogue, inventory, clock.now());
    let rows = plan::list(inventory, &candidates).into_iter();
    let updates = rows.filter_map(|row| Some(update(known.catalogue.entries().get(&row.package)?, row, staged)));
    let created = known.catalogue.index().created;
    Updates {
        url: setting.url.clone(),
        channel: inventory.channel.clone(),
        created,
        expires: known.depot.expires(),
        checked: known.checked,
        notes: notes(known, inventory, attempt.as_ref(), clock),
        attempt,
        clock,
        updates: updates.collect(),
    }
}

fn notes(known: &Known, inventory: &Inventory, attempt: Option<&Attempt>, clock: Clock) -> Vec<String> {
    let mut notes: Vec<String> = clock.doubt().into_iter().collect();
    if let Some(problem) = attempt.and_then(|attempt| attempt.problem.as_ref()) {
        notes.push(format!("the last check failed, so this may be old: {}", problem.message));
    }
    if clock.now() > known.depot.expires() {
        let (until, asked) = (Date::shown(known.depot.expires()), Date::shown(known.checked));
        notes.push(format!("what the depot signed was good until {until} and is of the check of {asked}: check again"));
    }
    notes.extend(inventory.entitled_until.map(|until| entitlement(until, clock)));
    let index = known.catalogue.index();
    if !index.channels.contains_key(&inventory.channel) {
        let there: Vec<&str> = index.channels.keys().map(String::as_str).collect();
        notes.push(format!(
            "the depot has no channel \"{}\"; it has {}: set \"channel\" in depot.json",
            inventory.channel,
            if there.is_empty() { "none".into() } else { there.join(", ") }
        ));
    }
    notes
}

/// What the maintenance contract gives.
fn entitlement(until: Date, clock: Clock) -> String {
    if Date::of_unix(clock.now()).is_none_or(|today| today <= until) {
        return format!("this appliance is entitled to packages that are published until {until}");
    }
    format!(
        "entitlement to new packages ended on {until}: what runs keeps running, and newer packages are not offered; install a licence that \
         goes on"
    )
}

fn update(entry: &Entry, row: Row, staged: &[Staged]) -> Update {
    let staged = staged.iter().find(|one| one.is(entry)).map(|one| one.id.clone());
    let mut summary = row.summary();
    if staged.is_some() && row.standing != Standing::Installed {
        summary.push_str("; it is staged");
    }
    if let Some(claims) = &entry.licence {
        summary = format!("{summary}; {claims}");
    }
    let (site, licence) = (entry.site.as_ref(), entry.licence.as_ref());
    Update {
        row,
        summary,
        staged,
        effects: entry.effects,
        size: entry.size,
        support_end: entry.support_end,
        hostname: entry.hostname().map(str::to_owned),
        licences: site.and_then(|site| site.licences).or_else(|| licence?.count),
        features: licence.map(|licence| licence.features.clone()).unwrap_or_default(),
        expires: site.and_then(|site| site.expires).or_else(|| licence?.expires),
    }
}

/// The entry of a package that is wanted, if it may be had now; `install`: and installed as the next step.
pub fn wanted<'a>(
    catalogue: &'a Catalogue,
    inventory: &Inventory,
    id: &PackageId,
    install: bool,
    now: i64,
) -> Result<&'a Entry> {
    let candidates = candidates(catalogue, inventory, now);
    let row = plan::row(inventory, &candidates, id);
    let (Some(entry), Some(row)) = (catalogue.entries().get(id), row) else {
        return Err(Trouble::NotInDepot(id.clone()).into());
    };
    match row.standing {
        Standing::NotAvailable(why) => Err(Trouble::NotOffered { package: id.clone(), why }.into()),
        Standing::Blocked { sentence, .. } if install => Err(Trouble::NotYet(sentence).into()),
        _ => Ok(entry),
    }
}

/// The way to what is wanted.
pub fn way(catalogue: &Catalogue, inventory: &Inventory, wanted: &Wanted, now: i64) -> Result<Way> {
    way_with(catalogue, inventory, wanted, now, |_| true)
}

/// The same with those packages only that can be had here, for example from a file in hand.
pub fn way_with(
    catalogue: &Catalogue,
    inventory: &Inventory,
    wanted: &Wanted,
    now: i64,
    at_hand: impl Fn(&Entry) -> bool,
) -> Result<Way> {
    let target = wanted.to.clone().map_or(Target::Newest, Target::Package);
    let options = plan::Options { no_soak: wanted.no_soak };
    let mut candidates = candidates(catalogue, inventory, now);
    candidates.retain(|candidate| at_hand(candidate.entry));
    let plan =
        plan::plan(inventory, &candidates, &target, options).map_err(|blocked| Trouble::Blocked(Box::new(blocked)))?;
    Ok(Way { sentences: plan.sentences(), plan, seconds: None, findings: Vec::new() })
}

impl Way {
    /// The same with how long it takes at these rates, where there is something to do.
    #[must_use]
    pub fn estimated(mut self, rates: Option<Rates>) -> Self {
        if self.plan.steps.is_empty() {
            return self;
        }
        self.seconds = rates.map(|rates| self.plan.seconds(rates));
        self.sentences.push(match self.seconds {
            Some(seconds) => {
                let minutes = seconds.div_ceil(60).max(1);
                let plural = if minutes == 1 { "minute" } else { "minutes" };
                format!("about {minutes} {plural} of writing and restarting, as earlier installations took here; downloads not counted")
            }
            None => "how long it takes is not known: nothing was installed here yet".into(),
        });
        self
    }
}
