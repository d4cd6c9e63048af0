//! `preflight`: what is to be known before something is installed.

use std::path::PathBuf;

use formats::Bytes;
use formats::catalogue::PackageId;
use serde_json::Value;

use super::install::named;
use crate::api::{Intent, Wanted};
use crate::error::Result;
use crate::status::print_json;

/// Options of `preflight`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Package file, id of a staged package, or id of a package of the depot;
    /// by default everything on the way to the newest release
    #[arg(value_name = "FILE|ID")]
    package: Option<PathBuf>,
    /// Everything on the way to this package
    #[arg(long, value_name = "ID", conflicts_with = "package")]
    to: Option<PackageId>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Prints it.
pub fn run(options: &Options) -> Result<()> {
    let intent = match &options.package {
        Some(package) => Intent::Package(named(package)?),
        None => Intent::Way(Wanted { to: options.to.clone(), no_soak: false }),
    };
    let found: Value = options.agent.client()?.post("/v1/preflight", &intent)?;
    if options.json {
        return print_json(&found);
    }
    list(&found, "packages").filter_map(Value::as_str).for_each(|package| println!("{package}"));
    list(&found, "findings").for_each(|finding| println!("{}", line(finding)));
    let bytes = |field: &str| Bytes(found.get(field).and_then(Value::as_u64).unwrap_or_default());
    println!("to fetch {}, to write {}", bytes("download"), bytes("written"));
    match found.get("seconds").and_then(Value::as_u64) {
        Some(seconds) => println!("about {} of writing and restarting", minutes(seconds)),
        None => println!("how long it takes is not known: nothing like it was installed here yet"),
    }
    let impact = found.get("impact").unwrap_or(&Value::Null);
    list(impact, "sentences").filter_map(Value::as_str).for_each(|sentence| println!("{sentence}"));
    Ok(())
}

/// Says what is not as it should be before something is installed. What cannot be found out is no reason not to try: an installation says
/// itself why it is refused. On standard error, because what was done is on the other.
pub(super) fn before(agent: &super::Agent, intent: &Intent) {
    let asked = agent.client().and_then(|client| client.post("/v1/preflight", intent));
    let found: Value = asked.unwrap_or_default();
    let all = list(&found, "findings");
    all.filter(|one| word(one, "verdict") != "green").for_each(|one| eprintln!("preflight: {}", line(one)));
}

fn line(finding: &Value) -> String {
    let next = Some(word(finding, "next")).filter(|next| !next.is_empty()).map(|next| format!("; {next}"));
    let code = Some(word(finding, "refusal")).filter(|code| !code.is_empty()).map(|code| format!(" [{code}]"));
    let (verdict, id, sentence) = (word(finding, "verdict"), word(finding, "id"), word(finding, "sentence"));
    format!("{verdict:<5}  {id}: {sentence}{}{}", next.unwrap_or_default(), code.unwrap_or_default())
}

fn minutes(seconds: u64) -> String {
    match seconds.div_ceil(60).max(1) {
        1 => "1 minute".into(),
        more => format!("{more} minutes"),
    }
}

fn word<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}
