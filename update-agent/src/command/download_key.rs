//! `download-key`: what an appliance without a network says of itself, to be carried to a depot.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;

use crate::airgap::key::Made;
use crate::error::Result;
use crate::serve::log;
use crate::status::print_json;

/// Options of `download-key`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Draw it as a QR code too
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Has the agent make a key, and prints it.
pub fn run(options: &Options) -> Result<()> {
    let made: Made = options.agent.client()?.post("/v1/download-key", &json!({}))?;
    if options.json {
        return print_json(&made);
    }
    made.notes.iter().for_each(|note| log(note));
    if options.qr {
        match picture(&made.key) {
            Some(picture) => print!("{picture}"),
            None => log("the key does not fit a QR code: so much is installed here; copy the text"),
        }
    }
    println!("{}", made.key);
    Ok(())
}

/// The key as half blocks: two modules of the code in each character, light where the terminal writes. Most readers take a code either way;
/// on a dark terminal this is the usual one.
/// Nothing when it is longer than a code holds.
fn picture(key: &str) -> Option<String> {
    // The text is copied by a camera a hand's breadth away, not from a torn label: more columns would cost more than they save.
    let code = QrCode::with_error_correction_level(key, EcLevel::L).ok()?;
    let lines = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Some(format!("{lines}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_usual_length_fits_a_wide_terminal() {
        let key = format!("BKDK1-{}", "0123456789ABCDEFGHJKMNPQRSTVWXYZ".repeat(22));
        let picture = picture(&key).unwrap();
        let columns = picture.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(
            columns <= 110 && picture.lines().count() <= 55,
            "{columns} columns, {} lines",
            picture.lines().count()
        );
        assert!(picture.chars().all(|c| " \u{2580}\u{2584}\u{2588}\n".contains(c)));
        assert_eq!(["A".repeat(4296), "A".repeat(4297)].map(|key| super::picture(&key).is_some()), [true, false]);
    }
}
