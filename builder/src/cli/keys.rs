//! `bulkhead keys`.

use std::path::PathBuf;

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
    /// base.key and site.key sign packages (ed25519), boot.key signs what GRUB
    /// and the firmware load (RSA-2048), PK and KEK enrol Secure Boot.
    Generate(Generate),
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

impl Arguments {
    pub fn run(self) -> Result<()> {
        match self.verb {
            Verb::Generate(arguments) => arguments.run(),
            Verb::Trust(arguments) => arguments.run(),
        }
    }
}

impl Generate {
    fn run(&self) -> Result<()> {
        keys::generate(&self.directory, self.development, now()?, &self.product, self.expires)?;
        let kind = if self.development { "development" } else { "release" };
        output::line(format_args!("{kind} keys in {}", self.directory.display()))?;
        output::line("keep base.key, site.key, boot.key, KEK.key and PK.key secret; the rest is public")
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
