//! `support`: the file for whoever helps, and what is in it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use formats::Bytes;
use serde_json::{Value, json};

use crate::error::{Doing, Result};
use crate::plain_file;
use crate::status::print_json;
use crate::support::bundle::Manifest;

/// Options of `support`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Say what would be in it and what is left out, and make nothing
    #[arg(long, conflicts_with = "output")]
    contents: bool,
    /// Print the contents as one JSON object
    #[arg(long, requires = "contents")]
    json: bool,
    /// The file to write, which must not be there; by default one named after
    /// the time, in this folder
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    agent: super::Agent,
}

/// Makes one, or lists what would be in it.
pub fn run(options: &Options) -> Result<()> {
    let client = options.agent.client()?;
    if options.contents {
        let contents: Manifest = client.get("/v1/support")?;
        if options.json {
            return print_json(&contents);
        }
        list(&contents);
        return Ok(());
    }
    let made: Value = client.post("/v1/support", &json!({}))?;
    let word = |field: &str| made.get(field).and_then(Value::as_str).unwrap_or_default();
    // Of a name that is not ours only its last part counts.
    let name = Path::new(word("name")).file_name().map(PathBuf::from);
    let path = options.output.clone().or(name).unwrap_or_else(|| "support.tar.zst".into());
    let doing = || format!("write \"{}\"", path.display());
    let bytes = base64::engine::general_purpose::STANDARD.decode(word("file")).map_err(std::io::Error::other);
    let bytes = bytes.doing(doing)?;
    plain_file::write_new(&path, &bytes, 0o600).doing(doing)?;
    let redacted = made.pointer("/contents/redacted").and_then(Value::as_u64).unwrap_or_default();
    println!("{}: {}, {redacted} secrets taken out", path.display(), Bytes(u64::try_from(bytes.len()).unwrap_or(0)));
    if let Some(why) = made.pointer("/contents/unsigned").and_then(Value::as_str) {
        println!("it is not signed: {why}");
    }
    Ok(())
}

fn list(contents: &Manifest) {
    for entry in &contents.entries {
        let redacted: u64 = entry.redacted.values().fold(0, |sum, number| sum.saturating_add(*number));
        let redacted = if redacted > 0 { format!(" [{redacted} secrets taken out]") } else { String::new() };
        let note = entry.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        println!("{:20} {:>10}  {}{note}{redacted}", entry.name, Bytes(entry.bytes).to_string(), entry.why);
    }
    println!("{} before compression", Bytes(contents.bytes));
    println!("left out:");
    for one in &contents.left_out {
        println!("{:20} {}", one.name, one.why);
    }
}
