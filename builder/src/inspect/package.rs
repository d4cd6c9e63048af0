//! What is inside a package: manifest, keys said to have signed it, documents, chunks.

use serde_json::{Value, json};

use super::Section;
use crate::package::PackageFile;
use crate::{Result, sbom};

/// Reads everything in front of the image. Signatures are listed, not checked; documents match the manifest that lists them.
pub(super) fn sections(package: &PackageFile) -> Result<Vec<Section>> {
    let claims = package.claims()?;
    let manifest = &claims.manifest;
    let mut lines: Vec<String> = manifest.to_string().lines().map(str::to_owned).collect();
    lines.push(format!("file of {}; signatures listed, not checked: use bulkhead verify", package.size));
    let facts: Value = serde_json::from_slice(&claims.manifest_bytes).unwrap_or(Value::Null);
    let mut sections = vec![Section { title: "package".into(), lines, facts }];

    let ids: Vec<String> = claims.signatures.signatures().iter().map(|one| one.key_id.to_string()).collect();
    let lines = ids.iter().map(|id| format!("by key {id}")).collect();
    sections.push(Section { title: "signatures".into(), lines, facts: json!(ids) });
    for (title, text) in [("notes", Some(&claims.documents.notes)), ("licence terms", claims.documents.eula.as_ref())] {
        if let Some(text) = text {
            let lines = text.lines().map(str::to_owned).collect();
            sections.push(Section { title: title.into(), lines, facts: json!(text) });
        }
    }
    if let Some(bytes) = &claims.documents.sbom {
        let components = sbom::components(bytes);
        let lines = components.iter().map(|(name, version)| format!("{name} {version}")).collect();
        sections.push(Section { title: "components".into(), lines, facts: json!(components) });
    }
    let index = &claims.documents.index;
    if !index.chunks().is_empty() {
        let (count, image, frames) = (index.chunks().len(), index.image_size(), index.frames_size());
        let percent = frames.0.saturating_mul(100) / image.0.max(1);
        let line = format!("{count} chunks, {} MiB in {} MiB ({percent} %)", image.0 >> 20, frames.0 >> 20);
        let facts = json!({"count": count, "image-size": image, "compressed-size": frames});
        sections.push(Section { title: "chunks".into(), lines: vec![line], facts });
    }
    Ok(sections)
}
