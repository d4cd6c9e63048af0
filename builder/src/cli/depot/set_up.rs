//! `bulkhead depot init` and `bulkhead depot refresh`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use builder::Result;
use builder::depot::{Creation, PACKAGES, Policy, RealStorage, State, TOP};
use formats::catalogue::Ring;
use formats::manifest::Date;
use formats::results::Required;

use super::super::keys::now;
use super::super::output;
use super::offer::parse_ring;
use super::signing::{Signing, requested};

#[derive(Debug, clap::Args)]
pub struct Init {
    /// The folder to make; it must not exist
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// Folder made by "bulkhead keys generate"; a private half that is elsewhere
    /// is asked for with --sign-command
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// The product of all packages, product.name in their recipes
    #[arg(long, value_name = "NAME")]
    product: String,
    /// Folder with the keys of a further signer of root, targets and packages;
    /// repeatable
    #[arg(long, value_name = "DIR")]
    co_signer: Vec<PathBuf>,
    /// How many must sign to change keys
    #[arg(long, value_name = "N", default_value_t = 1)]
    root_threshold: u32,
    /// How many must sign to change package keys
    #[arg(long, value_name = "N", default_value_t = 1)]
    targets_threshold: u32,
    /// How many must sign a package, keys.threshold in the recipe
    #[arg(long, value_name = "N", default_value_t = 1)]
    package_threshold: u32,
    /// A rollout ring and how many of 1000 appliances are in it, in the order in
    /// which they open, such as early=100,rest=900
    #[arg(long, value_name = "NAME=SHARE", value_delimiter = ',', value_parser = parse_ring)]
    rings: Vec<Ring>,
    /// For how many days a role is signed, such as timestamp=14
    #[arg(long, value_name = "ROLE=DAYS", value_delimiter = ',', value_parser = parse_days)]
    lifetime: Vec<(String, u32)>,
    /// Take packages only with results of these scenarios, played with the very
    /// package: KIND=SCENARIO or KIND=SCENARIO@FIRMWARE, such as base=base-update
    #[arg(long, value_name = "KIND=SCENARIO", value_delimiter = ',')]
    require_results: Vec<Required>,
    /// How many days old results may be
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    results_days: u32,
    /// Command that signs with keys the folders do not have, see "depot add"
    #[arg(long, value_name = "CMD")]
    sign_command: Vec<String>,
    /// Make nothing yet: write what somebody else has to sign into this new file
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
}

/// Say which scenarios packages need before "depot add" takes them
///
/// The rule is signed by the keys of targets. "bulkhead-vm scenario --results"
/// writes what "depot add --results" wants to see.
#[derive(Debug, clap::Args)]
pub struct Require {
    #[command(flatten)]
    signing: Signing,
    /// KIND=SCENARIO or KIND=SCENARIO@FIRMWARE, such as base=base-update@uefi;
    /// none: nothing is required
    #[arg(value_name = "KIND=SCENARIO")]
    scenarios: Vec<Required>,
    /// How many days old results may be
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u32,
}

#[derive(Debug, clap::Args)]
pub struct Refresh {
    #[command(flatten)]
    signing: Signing,
    /// Sign this role anew too: root, targets, base, site, licence; repeatable
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
}

impl Init {
    pub fn run(self) -> Result<()> {
        let creation = Creation {
            product: self.product,
            keys: self.keys,
            co_signers: self.co_signer,
            root_threshold: self.root_threshold,
            targets_threshold: self.targets_threshold,
            package_threshold: self.package_threshold,
            rings: self.rings,
            lifetimes: self.lifetime.into_iter().collect::<BTreeMap<_, _>>(),
            policy: Policy { required: self.require_results, days: self.results_days },
            now: now()?,
        };
        if let Some(path) = &self.request {
            return requested(&creation.request(&self.sign_command)?, path, &self.directory);
        }
        let state = creation.run(&self.directory, &self.sign_command, &mut RealStorage)?;
        output::line(format_args!("depot of {} in {}", creation.product, self.directory.display()))?;
        output::line("take root.key and targets.key offline; the image needs metadata/1.root.json")?;
        good_until(&state)
    }
}

impl Require {
    pub fn run(self) -> Result<()> {
        let policy = Policy { required: self.scenarios, days: self.days };
        let Some(((), state)) = self.signing.change(|edit, _| edit.require_results(&policy))? else { return Ok(()) };
        good_until(&state)
    }
}

impl Refresh {
    pub fn run(self) -> Result<()> {
        let change = self.signing.change(|edit, before| edit.refresh(before, &self.role))?;
        let Some(((), state)) = change else { return Ok(()) };
        good_until(&state)
    }
}

/// What a scheduled run has to be done again before.
pub fn good_until(state: &State) -> Result<()> {
    let day = Date::of_unix(state.verified.expires()).map(|day| day.to_string()).unwrap_or_default();
    if state.verified.expires() < now()? {
        return output::line(format_args!(
            "appliances refuse it since {day}; \"bulkhead depot lint\" names the role to sign with \"refresh --role\""
        ));
    }
    output::line(format_args!("appliances believe it until {day}; \"bulkhead depot refresh\" makes that longer"))
}

fn parse_days(text: &str) -> std::result::Result<(String, u32), String> {
    let wrong = || format!("\"{text}\" is not ROLE=DAYS");
    let (role, days) = text.split_once('=').ok_or_else(wrong)?;
    let known = TOP.iter().chain(&PACKAGES).any(|one| *one == role) || role == "depot";
    let days: u32 = days.parse().ok().filter(|days| (1..=36_500).contains(days)).ok_or_else(wrong)?;
    if known { Ok((role.to_owned(), days)) } else { Err(format!("\"{role}\" is not a role")) }
}
