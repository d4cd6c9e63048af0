//! The bill of materials of one slot: `CycloneDX` 1.5 (ECMA-424), JSON, the same bytes for the same build.
//!
//! Lists every Debian package that was laid into the slot and every one that a dpkg database inside it calls installed, and our own
//! programs. It says what was put in, not what was removed again with `exclude`. Files that came from directories and tar archives
//! are only counted: nobody told us where they come from.

use std::collections::{BTreeMap, BTreeSet};

use formats::Guid;
use formats::manifest::{Date, Kind};
use serde_json::{Value, json};

use crate::plan::{Plan, SlotPlan};
use crate::source::deb::Control;
use crate::tree::{self, Tree};
use crate::{Error, Result};

/// The document for a slot with this final tree, made with these packages.
pub fn bill(plan: &Plan, slot: &SlotPlan, tree: &Tree, packages: &BTreeSet<Control>) -> Result<Vec<u8>> {
    let mut all = packages.clone();
    if let Some(database) = tree.file(DPKG_STATUS) {
        let text = database.read_all(DPKG_STATUS, STATUS_LIMIT)?;
        all.extend(installed(&String::from_utf8_lossy(&text)));
    }
    let mut components: Vec<Value> = all.iter().map(component).collect();
    if slot.kind == Kind::Base {
        components.extend(["bulkhead-init", "update-agent"].map(ours));
    }
    let files = tree.nodes.values().filter(|node| matches!(node.kind, tree::Kind::File(_))).count();
    let version = slot.version.to_string();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", Guid::derive(&slot.seed, "sbom")),
        "version": 1,
        "metadata": {
            "timestamp": timestamp(plan.created),
            "tools": {"components": [ours("bulkhead")]},
            "component": {
                "type": if slot.kind == Kind::Base { "operating-system" } else { "application" },
                "bom-ref": format!("{}-{}-{version}", slot.name, slot.kind),
                "name": slot.name,
                "version": version,
                "properties": [{"name": "bulkhead:files", "value": files.to_string()}],
            },
        },
        "components": components,
    });
    let mut bytes =
        serde_json::to_vec_pretty(&document).map_err(|error| Error::Bug(format!("bill of materials: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Names and versions listed in a bill of materials, escaped for a console; nothing from one that is not readable. Several versions
/// of one name are listed together.
pub fn components(bytes: &[u8]) -> BTreeMap<String, String> {
    let document: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for one in document["components"].as_array().into_iter().flatten() {
        let text = |key: &str| one[key].as_str().unwrap_or("?").escape_default().to_string();
        found
            .entry(text("name"))
            .and_modify(|known| *known = format!("{known}, {}", text("version")))
            .or_insert(text("version"));
    }
    found
}

fn component(package: &Control) -> Value {
    let Control { package: name, version, architecture } = package;
    let purl = format!("pkg:deb/debian/{}@{}?arch={}", escaped(name), escaped(version), escaped(architecture));
    json!({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
}

fn ours(name: &str) -> Value {
    json!({"type": "application", "bom-ref": name, "name": name, "version": env!("CARGO_PKG_VERSION")})
}

/// Percent-encoding as package URLs want it: everything but letters, digits and `-._~`.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// RFC 3339, in UTC.
fn timestamp(seconds: i64) -> String {
    let day = Date::of_unix(seconds).map(|day| day.to_string()).unwrap_or_default();
    let time = seconds.rem_euclid(86_400);
    format!("{day}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

/// The packages a dpkg database (dpkg-query(1), `/var/lib/dpkg/status`) calls installed.
fn installed(status: &str) -> Vec<Control> {
    let mut found = Vec::new();
    for paragraph in status.split("\n\n") {
        let field = |name: &str| {
            paragraph
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(|text| text.trim().to_owned())
        };
        let is_installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if let (true, Some(package), Some(version), Some(architecture)) =
            (is_installed, field("Package"), field("Version"), field("Architecture"))
        {
            found.push(Control { package, version, architecture });
        }
    }
    found
}

const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// Far above the database of any appliance; bounds memory.
const STATUS_LIMIT: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::recipe::Recipe;
    use crate::tree::Node;

    fn control(package: &str, version: &str) -> Control {
        Control { package: package.into(), version: version.into(), architecture: "amd64".into() }
    }

    #[test]
    fn lists_packages_laid_in_and_packages_a_database_knows() {
        let recipe = Recipe::from_text(include_str!("../tests/data/plan.toml"), "plan.toml", Path::new(".")).unwrap();
        let plan = Plan::new(&recipe).unwrap();
        let mut tree = Tree::new(0);
        let status = "Package: libstdc++6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2.0-14\n\n\
            Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n";
        tree.insert(DPKG_STATUS, Node::file(status, 0o644, 0));
        let packages = BTreeSet::from([control("busybox-static", "1:1.35.0-4+b3"), control("libstdc++6", "12.2.0-14")]);
        let bytes = bill(&plan, &plan.base, &tree, &packages).unwrap();
        assert_eq!(bytes, bill(&plan, &plan.base, &tree, &packages).unwrap());
        let bom: Value = serde_json::from_slice(&bytes).unwrap();
        let purls: Vec<&str> =
            bom["components"].as_array().unwrap().iter().filter_map(|one| one["purl"].as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:deb/debian/busybox-static@1%3A1.35.0-4%2Bb3?arch=amd64",
                "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64"
            ]
        );
        assert_eq!(bom["metadata"]["timestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(bom["metadata"]["component"]["properties"][0]["value"], "1");
        assert_eq!(bom["specVersion"], "1.5");
        assert_eq!(components(&bytes)["libstdc++6"], "12.2.0-14");
        assert!(components(b"{").is_empty());
    }
}
