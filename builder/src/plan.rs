//! What a build would do, as data: every size, identifier, name and source, and nothing read yet.
//!
//! Same recipe, same plan, anywhere. Time and identity enter here and nowhere later: the writers take all of them from the plan.

use std::fmt;

use formats::manifest::Kind;
use formats::{Digest, Guid};
use serde_json::{Value, json};

use crate::layout::Layout;
use crate::recipe::{Layer, Recipe};
use crate::{Result, slot_image};

/// A decided build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `<product>-<version>`, the stem of every output.
    pub stem: String,
    /// Product name, and name for people.
    pub product: String,
    /// Name for people.
    pub title: String,
    /// Timestamp of everything in the image, in seconds since 1970.
    pub created: i64,
    /// The disk.
    pub layout: Layout,
    /// The base slot.
    pub base: SlotPlan,
    /// The site slot, if the image has one.
    pub site: Option<SlotPlan>,
    /// The complete kernel command line, without the `slot=` GRUB adds on BIOS.
    pub command_line: String,
    /// Volume serial number of the EFI system partition.
    pub esp_serial: u32,
    /// UUID of the data file system.
    pub data_uuid: Guid,
}

/// One slot to be written.
#[derive(Debug, Clone)]
pub struct SlotPlan {
    /// Base or site.
    pub kind: Kind,
    /// Name, version and anti-rollback sequence of its package.
    pub name: String,
    /// Version of its package.
    pub version: semver::Version,
    /// Anti-rollback number.
    pub sequence: u64,
    /// Label of the partition it goes to.
    pub partition: &'static str,
    /// Seed of its identifiers: another version has others, so no block of one release can stand in for one of another.
    pub seed: String,
    /// Salt of the hash tree.
    pub salt: [u8; 32],
    /// Its sources, bottom to top, as a person would say them.
    pub sources: Vec<String>,
}

impl Plan {
    /// Decides everything that `recipe` determines.
    pub fn new(recipe: &Recipe) -> Result<Self> {
        let product = &recipe.product;
        let seed = recipe.seed();
        let base = slot_plan(seed, Kind::Base, &product.name, &product.version, product.sequence, &recipe.base.layers);
        let site = recipe
            .site
            .as_ref()
            .map(|site| slot_plan(seed, Kind::Site, &site.name, &site.version, site.sequence, &site.layers));
        let serial = Digest::of_parts([seed.as_bytes(), b"\0esp-serial"]);
        Ok(Self {
            stem: format!("{}-{}", product.name, product.version),
            product: product.name.clone(),
            title: recipe.title().to_owned(),
            created: product.source_date_epoch,
            layout: Layout::new(&recipe.disk, seed)?,
            base,
            site,
            command_line: format!("{} {ALWAYS_ON}", recipe.kernel.command_line.trim()).trim().to_owned(),
            esp_serial: u32::from_be_bytes(*serial.0.first_chunk::<4>().unwrap_or(&[0; 4])),
            data_uuid: Guid::derive(seed, "data:filesystem"),
        })
    }

    /// The plan for machines.
    pub fn to_json(&self) -> Value {
        let regions: Vec<Value> = self
            .layout
            .regions
            .iter()
            .map(|region| {
                json!({"name": region.name, "number": region.number, "start": region.start, "size": region.size})
            })
            .collect();
        json!({
            "format": 1,
            "image": format!("{}.img", self.stem),
            "product": self.product,
            "created": self.created,
            "disk": {"guid": self.layout.gpt.disk_guid(), "size": self.layout.size, "regions": regions},
            "command-line": self.command_line,
            "slots": self.slots().map(SlotPlan::to_json).collect::<Vec<_>>(),
        })
    }

    /// The slots to be written.
    pub fn slots(&self) -> impl Iterator<Item = &SlotPlan> {
        std::iter::once(&self.base).chain(&self.site)
    }
}

impl SlotPlan {
    fn to_json(&self) -> Value {
        json!({
            "kind": self.kind, "name": self.name, "version": self.version, "sequence": self.sequence,
            "partition": self.partition, "seed": self.seed, "salt": hex::encode(self.salt),
            "sources": self.sources,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "image {}.img: {}", self.stem, self.title)?;
        write!(f, "{}", self.layout)?;
        for slot in self.slots() {
            let (kind, name) = (slot.kind, &slot.name);
            writeln!(f, "{kind} {name} {} (sequence {}) -> {}", slot.version, slot.sequence, slot.partition)?;
            for source in &slot.sources {
                writeln!(f, "  + {source}")?;
            }
        }
        writeln!(f, "kernel command line: {}", self.command_line)
    }
}

fn slot_plan(
    seed: &str,
    kind: Kind,
    name: &str,
    version: &semver::Version,
    sequence: u64,
    layers: &[Layer],
) -> SlotPlan {
    let partition = if kind == Kind::Site { "site-a" } else { "base-a" };
    let seed = format!("{seed}/{kind}/{name}/{version}");
    SlotPlan {
        kind,
        name: name.to_owned(),
        version: version.clone(),
        sequence,
        partition,
        salt: slot_image::salt(&seed, &kind.to_string()),
        seed,
        sources: layers.iter().map(describe).collect(),
    }
}

fn describe(layer: &Layer) -> String {
    let mut text = if let Some(path) = &layer.directory {
        format!("directory {}", path.display())
    } else if let Some(path) = &layer.tar {
        format!("tar {}", path.display())
    } else if let (Some(names), Some(from)) = (&layer.packages, &layer.from) {
        format!("Debian packages {} from {}", names.join(", "), from.display())
    } else if let Some(system) = &layer.mmdebstrap {
        format!("mmdebstrap {} {} +{}", system.suite, system.variant, system.include.join(" +"))
    } else {
        "nothing".to_owned()
    };
    if !layer.exclude.is_empty() {
        text.push_str(" without ");
        text.push_str(&layer.exclude.join(", "));
    }
    text
}

/// Panics restart the machine so that the boot loader counts them; `gpt` makes Linux use the backup table when the primary is torn.
const ALWAYS_ON: &str = "panic=5 gpt oops=panic";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const RECIPE: &str = include_str!("../tests/data/plan.toml");

    fn plan() -> Plan {
        Plan::new(&Recipe::from_text(RECIPE, "plan.toml", Path::new(".")).unwrap()).unwrap()
    }

    #[test]
    fn a_plan_prints_as_the_golden_text() {
        assert_eq!(plan().to_string(), include_str!("../tests/data/plan.txt"));
    }

    #[test]
    fn base_and_site_never_share_an_identifier() {
        let plan = plan();
        let site = plan.site.unwrap();
        assert_ne!(plan.base.salt, site.salt);
        assert_ne!(plan.base.seed, site.seed);
    }
}
