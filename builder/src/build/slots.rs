//! Slots: file system and hash tree in one pass, the members of the package from it, then the one signed manifest as footer and package.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use formats::manifest::Member;
use formats::manifest::{Effects, ImageInfo, Kind, Manifest, Requires, SiteInfo};
use formats::{Digest, footer, signature};

use super::boot_files::Contents;
use super::disk::Image;
use super::packages::{self, Members, Texts};
use super::{BuiltSlot, Progress};
use crate::keys::Keys;
use crate::plan::{Plan, SlotPlan};
use crate::recipe::Recipe;
use crate::sbom;
use crate::slot_image::{self, SlotImage, SlotOptions};
use crate::source::deb::Control;
use crate::tree::Tree;
use crate::{Error, Result};

/// What all slots are made from.
pub struct Inputs<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// What was decided.
    pub plan: &'a Plan,
    /// The signing keys.
    pub keys: &'a Keys,
    /// Notes and licence terms.
    pub texts: &'a Texts,
    /// The Debian packages of base and site.
    pub debian: &'a [BTreeSet<Control>; 2],
    /// A folder for unfinished files, on the disk of the results.
    pub scratch: &'a Path,
}

/// A finished slot and its package, still in the scratch folder.
pub struct Written {
    /// The slot.
    pub slot: BuiltSlot,
    /// The file name its package is to get.
    pub package_name: String,
    /// Where the package is now.
    pub package: PathBuf,
}

/// Writes the base slot and, if there is one, the site slot.
pub fn write_all(
    inputs: &Inputs<'_>,
    contents: &Contents,
    image: &mut Image,
    progress: &mut dyn Progress,
) -> Result<Vec<Written>> {
    let mut built = Vec::new();
    for (slot, tree, build_id) in contents.slots(inputs.plan) {
        progress.stage(&format!("writing {} ({} entries)", slot.partition, tree.nodes.len()));
        let written = write_image(inputs, slot, tree, image)?;
        progress.stage(&format!("compressing the package of {}", slot.partition));
        built.push(seal(inputs, slot, tree, &written, build_id, image)?);
    }
    Ok(built)
}

fn write_image(inputs: &Inputs<'_>, slot: &SlotPlan, tree: &Tree, image: &Image) -> Result<SlotImage> {
    let region = inputs.plan.layout.region(slot.partition)?;
    let label = slot.kind.to_string();
    let options = SlotOptions {
        label: &label,
        seed: &slot.seed,
        salt: slot.salt,
        timestamp: inputs.plan.created,
        partition_size: region.size,
        file: image.file(),
        path: image.path(),
        offset: region.start.0,
    };
    slot_image::write_slot(tree, &options)
}

/// Makes the package of a written image, and its footer with the same manifest.
fn seal(
    inputs: &Inputs<'_>,
    slot: &SlotPlan,
    tree: &Tree,
    written: &SlotImage,
    build_id: Digest,
    image: &Image,
) -> Result<Written> {
    let Inputs { recipe, plan, keys, texts, debian: [base, site], scratch } = *inputs;
    let region = plan.layout.region(slot.partition)?;
    let sbom = sbom::bill(plan, slot, tree, if slot.kind == Kind::Site { site } else { base })?;
    let members = Members::make(slot, texts.of(slot.kind), sbom, image, (region.start, written.size), scratch)?;
    let manifest = manifest(recipe, plan, keys, slot, written, build_id, members.list());
    let context = || Error::format(format!("the manifest of {}", slot.partition));
    let text = manifest.encode().map_err(context())?;
    let signatures = signature::sign(&text, &keys.signing(slot.kind.into())).map_err(context())?;
    let package_name = packages::file_name(plan, slot);
    let package = scratch.join(&package_name);
    members.write(&package, &text, &signatures)?;
    let footer = footer::encode(&text, &signatures).map_err(context())?;
    image.write(region.end().0 - footer.len() as u64, &footer)?;
    let slot = BuiltSlot {
        kind: slot.kind,
        name: slot.name.clone(),
        version: slot.version.clone(),
        partition: slot.partition,
        used: written.size,
        capacity: region.size,
        root_hash: written.root_hash,
        build_id,
    };
    Ok(Written { slot, package_name, package })
}

/// The manifest of package and footer.
fn manifest(
    recipe: &Recipe,
    plan: &Plan,
    keys: &Keys,
    slot: &SlotPlan,
    written: &SlotImage,
    build_id: Digest,
    members: BTreeMap<String, Member>,
) -> Manifest {
    let is_site = slot.kind == Kind::Site;
    let site = recipe.site.as_ref().filter(|_| is_site);
    let (health, trial) = site.map_or((&recipe.base.health, recipe.base.trial), |site| (&site.health, site.trial));
    Manifest {
        format: formats::manifest::FORMAT,
        required: if health.is_empty() { Vec::new() } else { vec![formats::health::FEATURE.to_owned()] },
        kind: slot.kind,
        product: plan.product.clone(),
        hardware: recipe.product.hardware.clone(),
        name: slot.name.clone(),
        version: slot.version.clone(),
        build_id,
        sequence: slot.sequence,
        requires: Requires {
            base: site.and_then(|site| site.requires_base.clone()),
            site: recipe.product.requires_site.clone().filter(|_| !is_site),
        },
        effects: Effects {
            reboot: !is_site,
            site_downtime: true,
            client_upgrade: site.is_some_and(|site| site.client_upgrade),
            soak_hours: site.and_then(|site| site.soak_hours),
        },
        image: Some(ImageInfo {
            size: written.size,
            data_blocks: written.data_blocks,
            hash_start: written.hash_start,
            root_hash: written.root_hash,
            salt: written.salt,
            hash_uuid: written.hash_uuid,
        }),
        members,
        created: plan.created,
        support_end: site.map_or(recipe.product.support_end, |site| site.support_end),
        site: site.map(|site| SiteInfo {
            hostname: site.hostname.clone(),
            licences: site.licences,
            expires: site.expires,
            entry_points: BTreeMap::new(),
        }),
        licence: None,
        health: health.clone(),
        trial,
        development: keys.development,
    }
}
