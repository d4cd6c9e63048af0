//! `bulkhead sign`.

use std::path::PathBuf;

use builder::ceremony::{Collected, Shown};
use builder::{Result, sign};

use super::keys::now;
use super::output;

/// Add a signature to a package, for appliances that want more than one
///
/// Look at it first with "bulkhead inspect". How many signers an appliance
/// wants, and which, is said by "threshold" and "co-signers" in the recipe of
/// its image. A key that is on another machine signs with "--request" here,
/// "bulkhead keys answer-request" there, and "--answer" here again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The package
    package: PathBuf,
    /// Folder with the signer's keys, base.key or site.key among them
    #[arg(long, value_name = "DIR", required_unless_present_any = ["request", "answer"])]
    keys: Option<PathBuf>,
    /// Write what somebody else is to sign into this new file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "answer"])]
    request: Option<PathBuf>,
    /// An answer to that; repeatable
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    answer: Vec<PathBuf>,
    /// The package with the signature; it must not exist
    #[arg(short, long, value_name = "FILE", required_unless_present = "request", conflicts_with = "request")]
    output: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let signed = match (&self.request, &self.keys, &self.output) {
            (Some(path), ..) => {
                let request = sign::request(&self.package, now()?)?;
                request.write(path)?;
                return output::text(Shown { request: &request, own: &[] });
            }
            (None, Some(keys), Some(to)) => sign::sign(&self.package, keys, to)?,
            (None, _, to) => {
                let request = sign::request(&self.package, now()?)?;
                let collected = Collected::of(&request, &self.answer)?;
                let to = to.clone().unwrap_or_default(); // clap lets nobody here without it
                sign::collect(&self.package, &request, &collected, &to)?
            }
        };
        let path = self.output.unwrap_or_default();
        output::line(format_args!("{}: {}, {} signature(s)", path.display(), signed.release, signed.signatures))
    }
}
