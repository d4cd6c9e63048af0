//! The rules a manifest keeps beyond the types of its fields.

use semver::VersionReq;

use super::date::MAX_UNIX;
use super::{Effects, FORMAT, ImageInfo, KNOWN_FEATURES, Kind, LicenceInfo, Manifest, Requires, SiteInfo};
use crate::health::{self, Trial};
use crate::json::shown;
use crate::verity::Layout;

type Checked = std::result::Result<(), String>;

/// True rules for names that become file names, host names and console text: 1 to 64 of `a-z 0-9 . -`, first and last a letter or
/// digit, no two dots in a row. The error tells `what` (for example `product`) and the rule.
pub fn check_name(what: &str, name: &str) -> crate::Result<()> {
    name_rule(what, name).map_err(|problem| crate::Error::invalid("name", problem))
}

/// The rule for the name of an appliance among all: 1 to 128 printable ASCII characters, no space. The error tells the rule.
pub(crate) fn appliance_rule(name: &str) -> Checked {
    if (1..=MAX_APPLIANCE).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("the name of the appliance is not 1 to {MAX_APPLIANCE} printable characters"))
}

/// The rule for short titles shown to people: 1 to 64 printable ASCII characters, no space at either end.
pub fn check_title(what: &str, title: &str) -> crate::Result<()> {
    let printable = title.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if printable && (1..=MAX_NAME).contains(&title.len()) && title.trim() == title {
        return Ok(());
    }
    Err(crate::Error::invalid(
        "title",
        format!("{what} \"{}\" is not 1 to 64 printable ASCII characters", shown(title)),
    ))
}

pub(super) fn check(manifest: &Manifest) -> Checked {
    if manifest.format != FORMAT {
        return Err(format!("format {}; this version writes {FORMAT}", manifest.format));
    }
    if let Some(feature) = manifest.required.iter().find(|f| !KNOWN_FEATURES.contains(&f.as_str())) {
        return Err(format!("it requires \"{}\", which this version does not know", shown(feature)));
    }
    names(manifest)?;
    numbers(manifest)?;
    requires(&manifest.requires)?;
    parts(manifest)?;
    health_checks(manifest)
}

fn names(manifest: &Manifest) -> Checked {
    name_rule("product", &manifest.product)?;
    name_rule("name", &manifest.name)?;
    count("hardware models", manifest.hardware.len())?;
    manifest.hardware.iter().try_for_each(|model| name_rule("hardware", model))?;
    count("members", manifest.members.len())?;
    manifest.members.keys().try_for_each(|member| name_rule("member", member))
}

pub(super) fn name_rule(what: &str, name: &str) -> Checked {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    let good =
        bytes.len() <= MAX_NAME && bytes.iter().all(|b| allowed(*b)) && edge(bytes.first()) && edge(bytes.last());
    if good && !name.contains("..") {
        return Ok(());
    }
    Err(format!(
        "{what} \"{}\" is not 1 to {MAX_NAME} of a-z, 0-9, \".\" and \"-\" between letters or digits",
        shown(name)
    ))
}

fn numbers(manifest: &Manifest) -> Checked {
    if manifest.sequence > MAX_EXACT {
        return Err(format!(
            "sequence {} is above {MAX_EXACT}, which not every JSON reader keeps exact",
            manifest.sequence
        ));
    }
    if !(0..=MAX_UNIX).contains(&manifest.created) {
        return Err(format!("created {} is not a second of the years 1970 to 9999", manifest.created));
    }
    let version = manifest.version.to_string();
    if version.len() > MAX_NAME {
        return Err(format!("version \"{}\" is longer than {MAX_NAME} characters", shown(&version)));
    }
    match manifest.members.iter().find(|(_, member)| member.size.0 > MAX_EXACT) {
        Some((name, member)) => Err(format!("member \"{name}\" is {} long, above {MAX_EXACT} bytes", member.size)),
        None => Ok(()),
    }
}

fn requires(requires: &Requires) -> Checked {
    let ranges = [("base", &requires.base), ("site", &requires.site)];
    for (what, range) in ranges.iter().filter_map(|(what, range)| range.as_ref().map(|range| (what, range))) {
        if VersionReq::to_string(range).len() > MAX_RANGE {
            return Err(format!("the required range of {what} versions is longer than {MAX_RANGE} characters"));
        }
    }
    Ok(())
}

/// An agent without checks has to refuse a release that counts on them.
fn health_checks(manifest: &Manifest) -> Checked {
    if manifest.kind == Kind::Licence && (!manifest.health.is_empty() || manifest.trial.is_some()) {
        return Err("a licence package has no part \"health\" or \"trial\"".into());
    }
    let required = manifest.required.iter().any(|feature| feature == health::FEATURE);
    if !manifest.health.is_empty() && !required {
        return Err(format!("it has health checks and does not require the feature \"{}\"", health::FEATURE));
    }
    health::check_list(&manifest.health)?;
    manifest.trial.map_or(Ok(()), Trial::check)
}

/// Which parts a kind has.
fn parts(manifest: &Manifest) -> Checked {
    let kind = manifest.kind;
    match (kind, &manifest.image) {
        (Kind::Base | Kind::Site, Some(image)) => check_image(image)?,
        (Kind::Base | Kind::Site, None) => return Err(format!("a {kind} package needs an image")),
        (Kind::Licence, None) => {}
        (Kind::Licence, Some(_)) => return Err("a licence package has no image".into()),
    }
    match (kind, &manifest.site) {
        (Kind::Site, Some(site)) => check_site(site)?,
        (Kind::Site, None) => return Err("a site package needs the part \"site\"".into()),
        (_, None) => {}
        (_, Some(_)) => return Err(format!("a {kind} package has no part \"site\"")),
    }
    match (kind, &manifest.licence) {
        (Kind::Licence, Some(licence)) => check_licence(licence, manifest.effects),
        (Kind::Licence, None) => Err("a licence package needs the part \"licence\"".into()),
        (_, None) => Ok(()),
        (_, Some(_)) => Err(format!("a {kind} package has no part \"licence\"")),
    }
}

fn check_image(image: &ImageInfo) -> Checked {
    let layout = Layout::new(image.data_blocks).map_err(|error| error.to_string())?;
    if image.hash_start != layout.hash_start() {
        let wanted = layout.hash_start();
        return Err(format!("its tree starts at block {}; {wanted} follows from its data blocks", image.hash_start));
    }
    if image.size != layout.size() {
        return Err(format!("its image is {} long; {} follows from its data blocks", image.size, layout.size()));
    }
    Ok(())
}

/// Who says that an installation does nothing to anybody has to mean it.
fn check_licence(licence: &LicenceInfo, effects: Effects) -> Checked {
    if effects != Effects::default() {
        return Err(format!("a licence package has no effects on users; it names {effects}"));
    }
    licence.check()
}

fn check_site(site: &SiteInfo) -> Checked {
    name_rule("hostname", &site.hostname)?;
    count("entry points", site.entry_points.len())?;
    for (name, path) in &site.entry_points {
        name_rule("entry point", name)?;
        if !path.starts_with('/') || path.len() > MAX_RANGE || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("entry point \"{name}\" has the path \"{}\", which is not \"/...\"", shown(path)));
        }
    }
    Ok(())
}

fn count(what: &str, number: usize) -> Checked {
    if number <= MAX_ITEMS {
        return Ok(());
    }
    Err(format!("{number} {what}; at most {MAX_ITEMS} are allowed"))
}

const MAX_APPLIANCE: usize = 128;
const MAX_NAME: usize = 64;
const MAX_RANGE: usize = 128;
const MAX_ITEMS: usize = 64;
/// The largest whole number every JSON reader keeps exact: 2^53 - 1 (RFC 8259, section 6).
const MAX_EXACT: u64 = (1 << 53) - 1;
