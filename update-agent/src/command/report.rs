//! `report`: what came of installations.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::status::print_json;

/// Options of `report`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// One of them, for example 20261124-031500; printed as JSON
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Print all of them as one JSON array
    #[arg(long, conflicts_with = "id")]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Prints them, the newest first.
pub fn run(options: &Options) -> Result<()> {
    let reports: Vec<Value> = options.agent.client()?.get("/v1/reports")?;
    let word = |report: &Value, field: &str| report.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(id) = &options.id {
        return match reports.iter().find(|report| word(report, "id") == *id) {
            Some(report) => print_json(report),
            None => Err(Error::Usage(format!("there is no report \"{id}\"; \"update-agent report\" lists them"))),
        };
    }
    if options.json {
        return print_json(&reports);
    }
    for report in &reports {
        println!("{}  {} [{}]", word(report, "id"), word(report, "summary"), word(report, "by"));
    }
    if reports.is_empty() {
        println!("nothing was installed yet");
    }
    Ok(())
}
