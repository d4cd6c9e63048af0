//! Slots: file system and hash tree in one pass, then the signed manifest as footer.

use std::collections::BTreeMap;

use formats::manifest::{Effects, ImageInfo, Kind, Manifest, Requires, SiteInfo};
use formats::{Digest, footer, signature};

use super::boot_files::Contents;
use super::disk::Image;
use super::{BuiltSlot, Progress};
use crate::keys::Keys;
use crate::plan::{Plan, SlotPlan};
use crate::recipe::Recipe;
use crate::slot_image::{self, SlotImage, SlotOptions};
use crate::tree::Tree;
use crate::{Error, Result};

/// Writes the base slot and, if there is one, the site slot.
pub fn write_all(
    recipe: &Recipe,
    plan: &Plan,
    keys: &Keys,
    contents: &Contents,
    image: &mut Image,
    progress: &mut dyn Progress,
) -> Result<Vec<BuiltSlot>> {
    let mut built = Vec::new();
    for (slot, tree, build_id) in contents.slots(plan) {
        progress.stage(&format!("writing {} ({} entries)", slot.partition, tree.nodes.len()));
        built.push(write(recipe, plan, keys, slot, tree, build_id, image)?);
    }
    Ok(built)
}

fn write(
    recipe: &Recipe,
    plan: &Plan,
    keys: &Keys,
    slot: &SlotPlan,
    tree: &Tree,
    build_id: Digest,
    image: &mut Image,
) -> Result<BuiltSlot> {
    let region = plan.layout.region(slot.partition)?;
    let label = slot.kind.to_string();
    let options = SlotOptions {
        label: &label,
        seed: &slot.seed,
        salt: slot.salt,
        timestamp: plan.created,
        partition_size: region.size,
        file: image.file(),
        path: image.path(),
        offset: region.start.0,
    };
    let written = slot_image::write_slot(tree, &options)?;
    let manifest = manifest(recipe, plan, keys, slot, &written, build_id);
    let key = if slot.kind == Kind::Site { &keys.site } else { &keys.base };
    let footer = manifest
        .encode()
        .and_then(|text| footer::encode(&text, &signature::sign(&text, std::slice::from_ref(key))?))
        .map_err(Error::format(format!("the footer of {}", slot.partition)))?;
    image.write(region.end().0 - footer.len() as u64, &footer)?;
    Ok(BuiltSlot {
        kind: slot.kind,
        name: slot.name.clone(),
        version: slot.version.clone(),
        partition: slot.partition,
        used: written.size,
        capacity: region.size,
        root_hash: written.root_hash,
        build_id,
    })
}

/// What the footer says: the same manifest a package of this slot would carry, without members of a package file.
fn manifest(
    recipe: &Recipe,
    plan: &Plan,
    keys: &Keys,
    slot: &SlotPlan,
    written: &SlotImage,
    build_id: Digest,
) -> Manifest {
    let is_site = slot.kind == Kind::Site;
    let site = recipe.site.as_ref().filter(|_| is_site);
    Manifest {
        format: formats::manifest::FORMAT,
        required: Vec::new(),
        kind: slot.kind,
        product: plan.product.clone(),
        hardware: recipe.product.hardware.clone(),
        name: slot.name.clone(),
        version: slot.version.clone(),
        build_id,
        sequence: slot.sequence,
        requires: Requires { base: site.and_then(|site| site.requires_base.clone()), site: None },
        effects: Effects { reboot: !is_site, site_downtime: true, client_upgrade: false, soak_hours: None },
        image: Some(ImageInfo {
            size: written.size,
            data_blocks: written.data_blocks,
            hash_start: written.hash_start,
            root_hash: written.root_hash,
            salt: written.salt,
            hash_uuid: written.hash_uuid,
        }),
        members: BTreeMap::new(),
        created: plan.created,
        support_end: None,
        site: site.map(|site| SiteInfo {
            hostname: site.hostname.clone(),
            licences: None,
            expires: None,
            entry_points: BTreeMap::new(),
        }),
        development: keys.development,
    }
}
