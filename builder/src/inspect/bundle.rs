//! What is inside a path bundle: what it says of itself, its metadata, its files.

use serde_json::{Value, json};

use super::Section;
use crate::bundle_file::BundleFile;

/// Nothing is verified; digests in names are what names say.
pub(super) fn sections(file: &BundleFile) -> Vec<Section> {
    let (bundle, label) = (&file.bundle, &file.bundle.label);
    let mut lines = vec![
        format!("for appliance {} of product {}", label.appliance, label.product),
        format!("made at second {} since 1970", label.created),
        format!("file of {}; nothing here is verified: use bulkhead verify", file.size()),
    ];
    lines.extend((1..).zip(&label.order).map(|(number, id)| format!("step {number}: {id}")));
    let mut sections = vec![Section { title: "path bundle".into(), lines, facts: json!(label) }];
    let lines = bundle.metadata.iter().map(|(name, bytes)| format!("{name}  {} bytes", bytes.len())).collect();
    let facts: Value =
        bundle.metadata.iter().map(|(name, bytes)| (name.clone(), json!({"size": bytes.len()}))).collect();
    sections.push(Section { title: "metadata".into(), lines, facts });
    let lines = bundle.targets.iter().map(|(path, span)| format!("{path}  {} bytes", span.size.0)).collect();
    let facts: Value = bundle
        .targets
        .iter()
        .map(|(path, span)| (path.clone(), json!({"offset": span.offset.0, "size": span.size.0})))
        .collect();
    sections.push(Section { title: "targets".into(), lines, facts });
    sections
}
