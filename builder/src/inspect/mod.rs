//! What is inside a disk image, a package or a path bundle, read with our own parsers only. Facts, no verdicts: judging is [`crate::verify`].

mod bundle;
mod package;

use std::fmt;
use std::path::Path;

use formats::footer::{self, Footer};
use formats::reset_record::{ResetRecord, Then};
use formats::{boot_state, image_record};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::build::digest;
use crate::bundle_file::BundleFile;
use crate::layout::Region;
use crate::opened::{OpenedImage, SLOT_PARTITIONS};
use crate::package::PackageFile;
use crate::verify::{esp_files, one_line, printable};

/// Everything found, in reading order.
#[derive(Debug, Clone)]
pub struct Report {
    sections: Vec<Section>,
}

#[derive(Debug, Clone)]
struct Section {
    title: String,
    lines: Vec<String>,
    facts: Value,
}

/// Reads the package, path bundle or raw image at `path`; its content decides which it is.
pub fn inspect(path: &Path) -> Result<Report> {
    if let Some(package) = PackageFile::detect(path)? {
        return Ok(Report { sections: package::sections(&package)? });
    }
    if let Some(bundle) = BundleFile::detect(path)? {
        return Ok(Report { sections: bundle::sections(&bundle) });
    }
    let image = OpenedImage::open(path)?;
    let mut sections = vec![disk(&image)?, state(&image)?];
    sections.extend(reset(&image)?);
    for (label, _) in SLOT_PARTITIONS {
        if image.gpt.partition(label).is_some() {
            sections.push(slot(&image, label)?);
        }
    }
    sections.push(esp(&image)?);
    sections.push(record(&image)?);
    Ok(Report { sections })
}

impl Report {
    /// The facts for machines.
    pub fn to_json(&self) -> Value {
        let mut object = Map::from_iter([("format".to_owned(), json!(1))]);
        object.extend(self.sections.iter().map(|section| (section.title.clone(), section.facts.clone())));
        Value::Object(object)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, section) in self.sections.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", section.title)?;
            for line in &section.lines {
                writeln!(f, "  {}", printable(line))?;
            }
        }
        Ok(())
    }
}

fn disk(image: &OpenedImage) -> Result<Section> {
    let mut lines = vec![
        format!("{}, disk GUID {}", image.size, image.gpt.disk_guid()),
        format!("primary table: {}", outcome(&image.primary)),
        format!("backup table:  {}", outcome(&image.backup)),
        format!("{:>3} {:<8} {:>10} {:>10}  {:<16}  sha256", "", "label", "start", "size", "guid"),
    ];
    let mut partitions = Vec::new();
    for region in image.regions() {
        let (number, partition) = image.partition(&region.name)?;
        let content = digest(&image.file, &image.path, region.start, region.size)?;
        let (start, size) = (region.start.to_string(), region.size.to_string());
        let guid = partition.guid.to_string();
        lines.push(format!("{number:>3} {:<8} {start:>10} {size:>10}  {:.16}  {}", region.name, guid, content.short()));
        partitions.push(json!({
            "number": number, "label": region.name, "start": region.start, "size": region.size,
            "guid": partition.guid, "type": partition.type_guid, "sha256": content,
        }));
    }
    let facts = json!({"size": image.size, "guid": image.gpt.disk_guid(), "partitions": partitions,
        "primary-table": outcome(&image.primary), "backup-table": outcome(&image.backup)});
    Ok(Section { title: "disk".into(), lines, facts })
}

fn state(image: &OpenedImage) -> Result<Section> {
    let copies = image.boot_state()?;
    let newest = boot_state::newest([&copies[0], &copies[1]]);
    let mut lines = Vec::new();
    let mut facts = Vec::new();
    for (index, copy) in copies.iter().enumerate() {
        let mark = if newest.as_ref().is_some_and(|(newest, _)| *newest == index) { " (used)" } else { "" };
        let text = match boot_state::BootState::parse(copy) {
            Ok(state) => one_line(&state),
            Err(problem) => problem.to_string(),
        };
        lines.push(format!("state{}{mark}: {text}", index + 1));
        facts.push(json!({"used": !mark.is_empty(), "text": text}));
    }
    Ok(Section { title: "boot state".into(), lines, facts: Value::Array(facts) })
}

/// The factory reset that waits for the next start; nothing when none does.
fn reset(image: &OpenedImage) -> Result<Option<Section>> {
    let title = "factory reset".to_owned();
    Ok(match ResetRecord::parse(&image.reset_sector()?) {
        Ok(None) => None,
        Ok(Some(record)) => {
            let then = match record.then {
                Then::Start => "then starts as for the first time",
                Then::PowerOff => "then turns itself off",
            };
            let mut lines = vec![format!("the next start destroys the data partition, formats it, {then}")];
            lines.push(format!("asked for by {} at second {} since 1970", record.by, record.asked));
            lines.extend(
                record.floors.iter().map(|f| format!("keeps the floor {} of {} {}", f.sequence, f.kind, f.name)),
            );
            let facts = json!({"then": record.then, "by": record.by, "asked": record.asked, "floors": record.floors});
            Some(Section { title, lines, facts })
        }
        Err(problem) => Some(Section { title, lines: vec![problem.to_string()], facts: json!(problem.to_string()) }),
    })
}

fn slot(image: &OpenedImage, label: &str) -> Result<Section> {
    let region = image.region(label)?;
    let (lines, facts) = match image.footer(&region)? {
        Ok(footer) => describe(&footer, &region),
        Err(_) if footer::is_erased(&image.footer_area(&region)?) => (vec!["empty".to_owned()], Value::Null),
        Err(problem) => (vec![problem.to_string()], json!({"footer": problem.to_string()})),
    };
    Ok(Section { title: format!("slot {label}"), lines, facts })
}

/// The manifest as it stands in the footer. Signatures are listed, not checked.
fn describe(footer: &Footer, region: &Region) -> (Vec<String>, Value) {
    let mut lines: Vec<String> = footer.to_string().lines().map(str::to_owned).collect();
    lines.push(format!("partition of {}; signatures listed, not checked: use bulkhead verify", region.size));
    let manifest: Value = serde_json::from_slice(&footer.manifest).unwrap_or(Value::Null);
    let signatures: Value = serde_json::from_slice(&footer.signatures).unwrap_or(Value::Null);
    (lines, json!({"manifest": manifest, "signatures": signatures}))
}

fn esp(image: &OpenedImage) -> Result<Section> {
    let region = image.region("esp")?;
    let mut lines = Vec::new();
    let mut facts = Vec::new();
    let read = esp_files(image, &region, &mut |path, bytes| {
        let content = formats::Digest::of(bytes);
        lines.push(format!("{path}  {} bytes  sha256 {}", bytes.len(), content.short()));
        facts.push(json!({"path": path, "size": bytes.len(), "sha256": content}));
    });
    if let Err(problem) = read {
        lines.push(problem.to_string());
    }
    Ok(Section { title: "esp".into(), lines, facts: Value::Array(facts) })
}

fn record(image: &OpenedImage) -> Result<Section> {
    let title = "image record".to_owned();
    Ok(match image_record::peek(&image.record_area()?) {
        Ok(record) => {
            let mut lines = vec![format!("{} {}, recorded when it was built:", record.product, record.version)];
            for region in &record.regions {
                let (start, size) = (region.start.to_string(), region.size.to_string());
                let mutable = if region.mutable { "  may change in use" } else { "" };
                lines.push(format!("{:<15} {start:>10} {size:>12}  {}{mutable}", region.name, region.digest.short()));
            }
            Section { title, lines, facts: json!(record) }
        }
        Err(problem) => Section { title, lines: vec![problem.to_string()], facts: json!(problem.to_string()) },
    })
}

fn outcome(result: &formats::Result<()>) -> String {
    match result {
        Ok(()) => "good".to_owned(),
        Err(problem) => problem.to_string(),
    }
}
