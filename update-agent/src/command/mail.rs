//! `mail`: who is told about updates, and whether letters arrive.

use serde_json::Value;

use crate::error::Result;
use crate::status::print_json;

/// Options of `mail`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Send a letter that says nothing but that letters arrive
    #[arg(long)]
    test: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "test")]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Shows the setting, or tries it.
pub fn run(options: &Options) -> Result<()> {
    if options.test {
        return options.agent.run("/v1/mail", &serde_json::json!({}));
    }
    let facts: Value = options.agent.client()?.get("/v1/mail")?;
    if options.json {
        return print_json(&facts);
    }
    let text = |name: &str| facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let to = facts.get("to").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    println!("to {}, from {}", to.collect::<Vec<_>>().join(", "), text("from"));
    let port = facts.get("port").and_then(Value::as_u64).unwrap_or_default();
    println!("by {}:{port}, security \"{}\"", text("server"), text("security"));
    let problem = facts.pointer("/attempt/problem/message").and_then(Value::as_str);
    match (facts.get("attempt"), problem) {
        (Some(Value::Null) | None, _) => println!("nothing was sent yet"),
        (_, Some(problem)) => println!("the last mail failed: {problem}"),
        _ => println!("the last mail was taken"),
    }
    Ok(())
}
