//! `check`, `list` and `plan`: what the depot offers this appliance, and in which order to take it.

use formats::catalogue::PackageId;
use serde_json::Value;

use crate::api::Wanted;
use crate::error::Result;
use crate::serve::log;
use crate::status::print_json;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `plan`.
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// The package that is wanted, for example site/demo-site-2.0.0; by
    /// default the newest there is a way to
    #[arg(long, value_name = "ID")]
    to: Option<PackageId>,
    /// Leave no time between sites for clients to follow; they may have to
    /// be installed anew
    #[arg(long)]
    no_soak: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Has the depot asked, then lists.
pub fn check(options: &Check) -> Result<()> {
    if options.json {
        let client = options.agent.client()?;
        let job = client.post("/v1/check", &serde_json::json!({}))?;
        client.follow(&job, |_| ())?;
    } else {
        options.agent.run("/v1/check", &serde_json::json!({}))?;
    }
    show(&options.agent, options.json)
}

/// Lists what is known.
pub fn list(options: &List) -> Result<()> {
    show(&options.agent, options.json)
}

fn show(agent: &super::Agent, json: bool) -> Result<()> {
    let updates: Value = agent.client()?.get("/v1/updates")?;
    if json {
        return print_json(&updates);
    }
    words(&updates, "notes").for_each(log);
    let rows = updates.get("updates").and_then(Value::as_array).into_iter().flatten();
    let mut lines = rows.filter_map(|row| row.get("summary")?.as_str()).peekable();
    if lines.peek().is_none() {
        log("the depot offers nothing in this channel");
    }
    lines.for_each(|line| println!("{line}"));
    Ok(())
}

/// Prints the way.
pub fn plan(options: &Plan) -> Result<()> {
    let wanted = Wanted { to: options.to.clone(), no_soak: options.no_soak };
    let way: Value = options.agent.client()?.post("/v1/plan", &wanted)?;
    if options.json {
        return print_json(&way);
    }
    words(&way, "sentences").for_each(|line| println!("{line}"));
    let findings = way.get("findings").and_then(Value::as_array).into_iter().flatten();
    for finding in findings {
        let text = |field: &str| finding.get(field).and_then(Value::as_str).unwrap_or_default();
        println!("{}: {} [{}]", text("text"), text("cure"), text("code"));
    }
    Ok(())
}

fn words<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
