//! Measures a download as the agent does it, for `scripts/bench`: fetched by a process of its own, written and flushed piece by piece, and
//! compared with its digest.
//!
//! usage: download AGENT URL FILE LENGTH SHA256     prints the seconds it took; FILE must not exist

use std::path::Path;
use std::time::Instant;

use formats::Bytes;
use formats::tuf::Target;
use update_agent::depot::download::Download;
use update_agent::fetch::{Fetcher, Means};
use update_agent::reader::Program;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [agent, url, file, length, digest] = words.as_slice() else {
        return Err("usage: download AGENT URL FILE LENGTH SHA256".into());
    };
    let target = Target { length: Bytes(length.parse()?), digest: digest.parse()?, custom: None };
    let program = Program::fetching(agent);
    let download = Download { url, target: &target, to: Path::new(file), progress: &|_, _, _| {}, still: &|| Ok(()) };
    let begun = Instant::now();
    download.run(&|| Fetcher::start(&program, &Means::default()))?;
    println!("{:.3}", begun.elapsed().as_secs_f64());
    Ok(())
}
