//! `notes`: what to read before the way to a release is taken.

use formats::catalogue::PackageId;

use crate::api::Wanted;
use crate::error::Result;
use crate::notes::Notes;
use crate::serve::log;
use crate::status::print_json;

/// Options of `notes`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The package that is wanted, for example site/demo-site-2.0.0; by
    /// default the newest there is a way to
    #[arg(long, value_name = "ID")]
    to: Option<PackageId>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Has them fetched, then prints them.
pub fn run(options: &Options) -> Result<()> {
    let wanted = Wanted { to: options.to.clone(), ..Wanted::default() };
    let client = options.agent.client()?;
    let job = client.post("/v1/texts", &wanted)?;
    client.follow(&job, |_| ())?;
    let notes: Notes = client.post("/v1/notes", &wanted)?;
    if options.json {
        return print_json(&notes);
    }
    if notes.packages.is_empty() {
        log("nothing to read: what is installed is what is wanted");
    }
    print!("{}", notes.merged());
    Ok(())
}
