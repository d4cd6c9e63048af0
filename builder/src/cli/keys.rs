//! `bulkhead keys`.

use std::path::PathBuf;

use builder::ceremony::{Request, Shown, answer};
use builder::keys::{CoSigner, Keys};
use builder::{Error, Result, keys};
use clap::Subcommand;
use formats::manifest::Date;

use super::output;

/// Make signing keys, and say which of them appliances believe
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a new folder with every key a product needs
    ///
    /// base.key, site.key and licence.key sign packages (ed25519), boot.key signs
    /// what GRUB and the firmware load (RSA-2048), PK and KEK enrol Secure Boot,
    /// root, targets, snapshot, timestamp and depot sign a depot (ed25519).
    Generate(Generate),
    /// Make the keys of a depot that a folder does not have yet
    ///
    /// root and targets say who signs what and are kept offline, snapshot,
    /// timestamp and depot stay on the machine that publishes, licence signs
    /// licence packages.
    Depot(DepotKeys),
    /// Show what a request asks to be signed, and sign it
    ///
    /// Requests are written by "--request" of the verbs of "bulkhead depot", and
    /// by "bulkhead sign". This needs nothing but the request and the keys: run it
    /// on a machine without a network. Everything shown follows from the very
    /// bytes that are signed.
    AnswerRequest(AnswerRequest),
    /// Print the trust store of images built with these keys
    ///
    /// For "update-agent --disk IMAGE --trust FILE" on an image file; a running
    /// appliance has its own.
    Trust(Trust),
}

#[derive(Debug, clap::Args)]
struct Trust {
    /// Folder made by "bulkhead keys generate"
    directory: PathBuf,
    /// The product whose packages they sign, product.name in its recipe
    #[arg(long)]
    product: String,
    /// Folder with the keys of a further signer, keys.co-signers in the recipe;
    /// repeatable
    #[arg(long, value_name = "DIR")]
    co_signer: Vec<PathBuf>,
    /// How many signers a package needs, keys.threshold in the recipe
    #[arg(long, value_name = "N", default_value_t = 1)]
    threshold: u32,
}

#[derive(Debug, clap::Args)]
struct AnswerRequest {
    /// The request
    request: PathBuf,
    /// Folder with private keys; repeatable
    #[arg(long, value_name = "DIR", required = true)]
    keys: Vec<PathBuf>,
    /// Sign, and write the answer into this new file; without it only show
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Generate {
    /// The folder to make; it must not exist
    directory: PathBuf,
    /// Mark them as development keys; release images refuse such keys
    #[arg(long)]
    development: bool,
    /// Name in the certificates
    #[arg(long, default_value = "bulkhead")]
    product: String,
    /// Last day, such as 2031-12-31, on which appliances install what base.key
    /// and site.key sign; by default they do not expire
    #[arg(long, value_name = "DAY")]
    expires: Option<Date>,
}

#[derive(Debug, clap::Args)]
struct DepotKeys {
    /// The folder; it is made when it does not exist
    directory: PathBuf,
    /// Only the key of this role; repeatable
    #[arg(long, value_name = "ROLE", value_parser = keys::depot::ROLES)]
    role: Vec<String>,
    /// Mark the keys of a new folder as development keys
    #[arg(long)]
    development: bool,
    /// Name of a new folder's owner
    #[arg(long, default_value = "bulkhead")]
    product: String,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        match self.verb {
            Verb::Generate(arguments) => arguments.run(),
            Verb::Depot(arguments) => arguments.run(),
            Verb::AnswerRequest(arguments) => arguments.run(),
            Verb::Trust(arguments) => arguments.run(),
        }
    }
}

impl Generate {
    fn run(&self) -> Result<()> {
        keys::generate(&self.directory, self.development, now()?, &self.product, self.expires)?;
        let kind = if self.development { "development" } else { "release" };
        output::line(format_args!("{kind} keys in {}", self.directory.display()))?;
        output::line("keep every .key file secret, root, targets, PK and KEK offline; the rest is public")
    }
}

impl DepotKeys {
    fn run(&self) -> Result<()> {
        let named: Vec<&str> = self.role.iter().map(String::as_str).collect();
        let roles = if named.is_empty() { keys::depot::ROLES.to_vec() } else { named };
        let made = keys::depot::make(&self.directory, &roles, self.development, now()?, &self.product)?;
        if made.is_empty() {
            return output::line(format_args!("{} has them all", self.directory.display()));
        }
        output::line(format_args!("{} in {}", made.join(", "), self.directory.display()))
    }
}

impl AnswerRequest {
    fn run(&self) -> Result<()> {
        let request = Request::read(&self.request)?;
        let mut own = Vec::new();
        for part in &request.parts {
            for folder in &self.keys {
                own.extend(keys::depot::private(folder, &part.role)?.map(|key| key.verifying_key()));
            }
        }
        output::text(Shown { request: &request, own: &own })?;
        let Some(path) = &self.output else {
            return output::line("nothing was signed; sign it with: -o ANSWER");
        };
        let answer = answer(&request, &self.keys)?;
        answer.write(path)?;
        output::line(format_args!("{} signature(s) in {}", answer.signatures.len(), path.display()))
    }
}

impl Trust {
    fn run(&self) -> Result<()> {
        let co_signers = self.co_signer.iter().map(|folder| CoSigner::load(folder)).collect::<Result<_>>()?;
        let keys = Keys::load(&self.directory)?.with(self.threshold, co_signers);
        let store = keys.trust_store(&self.product)?;
        let text = store.encode().map_err(Error::format("the trust store"))?;
        output::text(String::from_utf8_lossy(&text))
    }
}

/// Seconds since 1970, for the validity of new certificates. The only clock reading of the builder.
#[expect(clippy::disallowed_methods, reason = "keys are born at a real time; images never read a clock")]
pub fn now() -> Result<i64> {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .ok_or_else(|| Error::Environment("the clock of this machine is before 1970; set it".to_owned()))
}
