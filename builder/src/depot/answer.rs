//! What a depot answers to an appliance that cannot ask it: the list it would see, the way the planner finds for it, and the files of that way.
//!
//! The list and the way come from the very functions the appliance calls with the same catalogue ([`formats::plan`]), so that both
//! sides say the same. What is handed out is counted elsewhere ([`super::ledger`]).

use std::fs;

use formats::bundle::{self, Label};
use formats::catalogue::{Catalogue, PackageId};
use formats::download_key::SignedKey;
use formats::manifest::Date;
use formats::plan::{self, Inventory, Options, Plan, Row, Standing, Target, candidates};
use formats::tuf::Freshness;
use formats::{Bytes, Digest, Error as FormatError};
use serde::Serialize;

use super::bundle::Contents;
use super::ledger::{Account, Issues};
use super::state::{Depot, State};
use crate::{Error, Result};

/// A depot that appliances believe at a time.
#[derive(Debug)]
pub struct Shelf<'a> {
    depot: &'a Depot,
    state: State,
    catalogue: Catalogue,
    now: i64,
}

/// What a bundle is to bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bringing {
    /// Licences that can be installed now, whatever else is: the newest of each line.
    pub licences: Vec<PackageId>,
    /// The way.
    #[serde(flatten)]
    pub plan: Plan,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Offer {
    /// The package and where it stands.
    #[serde(flatten)]
    pub row: Row,
    /// The same for people.
    pub summary: String,
    /// Length of the package.
    pub size: Bytes,
    /// SHA-256 of the package.
    pub sha256: Digest,
    /// What to read before it is installed.
    pub notes: String,
    /// Licence terms have to be accepted for it.
    pub eula: bool,
    /// How often it was handed out for this appliance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloaded: Option<Issues>,
}

/// What the list says of packages that were handed out before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Hiding {
    /// They stay, with the day.
    Mark,
    /// They are left out.
    Hide,
}

/// Reads a download key from what people made of it.
///
/// # Errors
/// [`Error::Format`]: it is none. [`Error::Verification`]: it is not what an appliance signed.
pub fn read_key(text: &str) -> Result<SignedKey> {
    SignedKey::parse(text).map_err(|error| match error {
        FormatError::Untrusted { .. } => Error::Verification(error.to_string()),
        error => Error::format("this is no download key")(error),
    })
}

/// Reads an inventory: the file of one, or what `update-agent status --json` prints.
///
/// # Errors
/// [`Error::Format`] when it is neither.
pub fn read_inventory(bytes: &[u8]) -> Result<Inventory> {
    let wrong = || Error::format("this is no inventory; take what \"update-agent status --json\" prints");
    let status: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    match status.as_ref().and_then(|status| status.get("inventory")).filter(|inside| inside.is_object()) {
        Some(inside) => Inventory::parse(inside.to_string().as_bytes()).map_err(wrong()),
        None => Inventory::parse(bytes).map_err(wrong()),
    }
}

impl<'a> Shelf<'a> {
    /// Reads and verifies a depot. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Refused`] when appliances do not believe it any more.
    pub fn open(depot: &'a Depot, now: i64) -> Result<Self> {
        let state = depot.state(Freshness::Waived)?;
        if state.verified.expires() < now {
            return Err(Error::Refused(format!(
                "appliances refuse what \"{}\" says since {}; sign it anew with: bulkhead depot refresh",
                depot.folder().display(),
                Date::shown(state.verified.expires())
            )));
        }
        // No appliance believes that it is earlier than what was signed.
        let now = now.max(state.index().created);
        Ok(Self { catalogue: state.catalogue()?, depot, state, now })
    }

    /// The time by which is judged.
    pub const fn now(&self) -> i64 {
        self.now
    }

    /// The packages, and what the depot's operator says about them.
    pub const fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether this depot answers this key now.
    ///
    /// # Errors
    /// [`Error::Refused`], with the way out.
    pub fn judge(&self, signed: &SignedKey) -> Result<()> {
        let key = signed.key();
        let refused = |problem: String| Err(Error::Refused(problem));
        self.check_product(&key.inventory)?;
        let (made, today) = (Date::shown(key.made), Date::shown(self.now));
        let off = (key.made.saturating_sub(self.now) / DAY).unsigned_abs();
        if key.made > self.now.saturating_add(DAY) {
            return refused(format!(
                "this download key was made on {made}, and today is {today}: the clock of the appliance is ahead by about {off} day(s), or \
                 the clock here is behind; set it, and make a new key with: update-agent download-key"
            ));
        }
        if key.expires < self.now {
            return refused(format!(
                "this download key was made on {made} and good until {}; today is {today}; make a new one with: update-agent \
                 download-key; if it was made just now, the clock of the appliance is behind by about {off} day(s): set it first",
                Date::shown(key.expires)
            ));
        }
        let newest = self.state.verified.root().version();
        if key.root > newest {
            return refused(format!(
                "the appliance knows version {} of the depot's root keys, and this depot only {newest}: it is an old copy; ask its origin",
                key.root
            ));
        }
        Ok(())
    }

    fn check_product(&self, inventory: &Inventory) -> Result<()> {
        let (theirs, ours) = (&inventory.product, &self.state.index().product);
        if theirs == ours {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "this is an appliance of product \"{theirs}\", and the depot is of \"{ours}\"; ask the depot of \"{theirs}\""
        )))
    }

    /// Every package of the appliance's channel, as the appliance itself would list it.
    pub fn offers(&self, inventory: &Inventory) -> Result<Vec<Offer>> {
        self.check_product(inventory)?;
        let rows = plan::list(inventory, &candidates(&self.catalogue, inventory, self.now));
        rows.into_iter().map(|row| self.offer(row)).collect()
    }

    /// The same list, with what is known of earlier downloads.
    pub fn marked(&self, inventory: &Inventory, account: Option<&Account>, hiding: Hiding) -> Result<Vec<Offer>> {
        let mut offers = self.offers(inventory)?;
        for offer in offers.iter_mut().filter(|offer| offer.row.standing != Standing::Installed) {
            offer.downloaded = account.and_then(|account| account.packages.get(&offer.row.package)).copied();
        }
        offers.retain(|offer| hiding == Hiding::Mark || offer.downloaded.is_none());
        Ok(offers)
    }

    fn offer(&self, row: Row) -> Result<Offer> {
        let missing = || Error::Bug(format!("{} is offered and not there", row.package));
        let entry = self.catalogue.entries().get(&row.package).ok_or_else(missing)?;
        let target = self.state.verified.target(&row.package.target()).ok_or_else(missing)?;
        Ok(Offer {
            summary: row.summary(),
            size: entry.size,
            sha256: target.digest,
            notes: self.notes(&row.package)?,
            eula: entry.eula.is_some(),
            downloaded: None,
            row,
        })
    }

    /// The release notes of a package, when they are the signed ones.
    fn notes(&self, id: &PackageId) -> Result<String> {
        let name = id.notes_target();
        let Some(target) = self.state.verified.target(&name) else { return Ok(String::new()) };
        let path = self.depot.target(&target.path(&name));
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        if Digest::of(&bytes) != target.digest {
            return Err(Error::Verification(format!("\"{}\" is not the file that was signed for", path.display())));
        }
        formats::package::check_text(&name, bytes).map_err(Error::format(format!("\"{}\"", path.display())))
    }

    /// The way to a package, or to the newest one.
    ///
    /// # Errors
    /// [`Error::Refused`] with the planner's sentence.
    pub fn way(&self, inventory: &Inventory, to: Option<&PackageId>, options: Options) -> Result<Plan> {
        self.check_product(inventory)?;
        let target = to.cloned().map_or(Target::Newest, Target::Package);
        let plan = plan::plan(inventory, &candidates(&self.catalogue, inventory, self.now), &target, options);
        plan.map_err(|blocked| Error::Refused(blocked.to_string()))
    }

    /// What to bring to an appliance: the way to a package; or the one to the newest, and the licences that wait for it.
    ///
    /// # Errors
    /// Those of [`Shelf::way`].
    pub fn bringing(&self, inventory: &Inventory, to: Option<&PackageId>) -> Result<Bringing> {
        let plan = self.way(inventory, to, Options::default())?;
        let waiting = || plan::licences(inventory, &candidates(&self.catalogue, inventory, self.now));
        let licences = if to.is_none() { waiting() } else { Vec::new() };
        Ok(Bringing { licences, plan })
    }

    /// The files of these packages as one bundle.
    pub fn bundle(&self, appliance: &str, order: Vec<PackageId>, created: i64) -> Result<Contents> {
        let product = self.state.index().product.clone();
        let label = Label { format: bundle::FORMAT, product, appliance: appliance.into(), order, created };
        Contents::of(self.depot, &self.state, &label)
    }
}

impl Bringing {
    /// Every package: licences first, because they wait for nothing, and the end of the way last.
    pub fn order(&self) -> Vec<PackageId> {
        let steps = self.plan.steps.iter().map(|step| step.package.clone());
        self.licences.iter().cloned().chain(steps).collect()
    }

    /// Each step for people, and what else there is.
    pub fn sentences(&self) -> Vec<String> {
        let licences = self.licences.iter().map(|id| format!("also: {id}, at any time"));
        self.plan.sentences().into_iter().chain(licences).collect()
    }
}

const DAY: i64 = 86_400;
