//! Checks of a recipe that need no file: names, sizes, and which keys go together.

use std::ops::RangeInclusive;

use formats::Bytes;
use formats::depot::Setting;
use formats::health::{Check, Trial, check_list};

use super::{Layer, Recipe};

/// Returns the first thing that is wrong, as key path, value and cure.
pub(super) fn validate(recipe: &Recipe) -> Result<(), String> {
    if recipe.recipe != 1 {
        return Err(format!("recipe = {} is not known to this version, which reads recipe = 1", recipe.recipe));
    }
    let product = &recipe.product;
    name("product.name", &product.name)?;
    text("product.title", recipe.title(), 64)?;
    text("product.seed", recipe.seed(), 128)?;
    sequence("product.sequence", product.sequence)?;
    if product.hardware.is_empty() {
        return Err("product.hardware is empty; name at least one, for example \"x86-64-generic\"".into());
    }
    for hardware in &product.hardware {
        name("product.hardware", hardware)?;
    }
    if !(0..=MAX_EPOCH).contains(&product.source_date_epoch) {
        let epoch = product.source_date_epoch;
        return Err(format!("product.source-date-epoch = {epoch} is not between 0 and {MAX_EPOCH} (year 2106)"));
    }
    signers(recipe)?;
    depot(recipe)?;
    pair(recipe)?;
    sizes(recipe)?;
    kernel(recipe)?;
    layers("base.layer", &recipe.base.layers)?;
    health("base", &recipe.base.health, recipe.base.trial)?;
    if let Some(site) = &recipe.site {
        name("site.name", &site.name)?;
        name("site.hostname", &site.hostname)?;
        sequence("site.sequence", site.sequence)?;
        layers("site.layer", &site.layers)?;
        health("site", &site.health, site.trial)?;
    }
    Ok(())
}

fn depot(recipe: &Recipe) -> Result<(), String> {
    let Some(depot) = &recipe.depot else { return Ok(()) };
    let setting = Setting { url: Some(depot.url.clone()), channel: Some(depot.channel.clone()), ..Setting::default() };
    setting.checked().map(drop).map_err(|error| format!("depot: {error}"))
}

/// Base and site of one recipe have to accept each other.
fn pair(recipe: &Recipe) -> Result<(), String> {
    let version = &recipe.product.version;
    if let Some(range) =
        recipe.site.as_ref().and_then(|site| site.requires_base.as_ref()).filter(|range| !range.matches(version))
    {
        return Err(format!("site.requires-base = \"{range}\" does not accept this recipe's own base {version}"));
    }
    let Some(range) = &recipe.product.requires_site else { return Ok(()) };
    match &recipe.site {
        Some(site) if range.matches(&site.version) => Ok(()),
        Some(site) => {
            let version = &site.version;
            Err(format!("product.requires-site = \"{range}\" does not accept this recipe's own site {version}"))
        }
        None => Err(format!(
            "product.requires-site = \"{range}\", and this recipe has no site; its image would not be complete"
        )),
    }
}

fn signers(recipe: &Recipe) -> Result<(), String> {
    let (threshold, signers) = (recipe.keys.threshold, recipe.keys.co_signers.len() + 1);
    if signers > MAX_SIGNERS {
        return Err(format!("keys.co-signers has {} folders; at most {} are allowed", signers - 1, MAX_SIGNERS - 1));
    }
    if threshold == 0 || usize::try_from(threshold).is_ok_and(|threshold| threshold > signers) {
        return Err(format!(
            "keys.threshold = {threshold} is not between 1 and {signers}, the number of signers (keys.directory and keys.co-signers)"
        ));
    }
    Ok(())
}

fn sizes(recipe: &Recipe) -> Result<(), String> {
    let disk = &recipe.disk;
    let limits = [
        ("disk.esp", disk.esp, Bytes::mib(34)),
        ("disk.base-slot", disk.base_slot, Bytes::mib(8)),
        ("disk.site-slot", disk.site_slot, Bytes::mib(8)),
        ("disk.data", disk.data, Bytes::mib(16)),
    ];
    for (key, size, least) in limits {
        if size < least {
            return Err(format!("{key} = \"{size}\" is too small; at least {least}"));
        }
        if size > MAX_PARTITION {
            return Err(format!("{key} = \"{size}\" is too large; at most {MAX_PARTITION}"));
        }
        if !size.is_multiple_of(Bytes::MIB) {
            return Err(format!("{key} = \"{size}\" is not a multiple of 1 MiB"));
        }
    }
    Ok(())
}

fn kernel(recipe: &Recipe) -> Result<(), String> {
    let kernel = &recipe.kernel;
    text("kernel.command-line", &kernel.command_line, 700)?;
    for word in kernel.command_line.split_ascii_whitespace() {
        let key = word.split('=').next().unwrap_or(word);
        if RESERVED_WORDS.contains(&key) {
            return Err(format!(
                "kernel.command-line has \"{word}\"; \"{key}\" is set by the boot chain itself, remove it"
            ));
        }
    }
    if !WATCHDOG_SECONDS.contains(&kernel.watchdog_seconds) {
        return Err(format!("kernel.watchdog-seconds = {} is not between 30 and 600", kernel.watchdog_seconds));
    }
    Ok(())
}

fn layers(key: &str, layers: &[Layer]) -> Result<(), String> {
    if layers.is_empty() {
        return Err(format!("there is no [[{key}]]; a slot needs at least one source"));
    }
    for (index, layer) in layers.iter().enumerate() {
        let given: Vec<&str> = [
            ("directory", layer.directory.is_some()),
            ("tar", layer.tar.is_some()),
            ("packages", layer.packages.is_some()),
            ("mmdebstrap", layer.mmdebstrap.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        let which = format!("[[{key}]] number {}", index + 1);
        match given.as_slice() {
            [] => return Err(format!("{which} has no source; give one of directory, tar, packages, mmdebstrap")),
            [_] => {}
            several => return Err(format!("{which} has {}; give exactly one of them", several.join(" and "))),
        }
        if layer.packages.is_some() != layer.from.is_some() {
            return Err(format!("{which}: \"packages\" and \"from\" (the folder of .deb files) go together"));
        }
    }
    Ok(())
}

/// What concerns one check alone was refused with its place when it was read.
fn health(part: &str, checks: &[Check], trial: Option<Trial>) -> Result<(), String> {
    check_list(checks).map_err(|problem| format!("[[{part}.health]]: {problem}"))?;
    trial.map_or(Ok(()), Trial::check).map_err(|problem| format!("[{part}.trial]: {problem}"))
}

fn name(key: &str, value: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    if value.is_empty() || value.len() > 64 || !value.chars().all(allowed) || value.starts_with(['.', '-']) {
        return Err(format!(
            "{key} = \"{}\" is not a name: 1 to 64 of a-z, 0-9, \".\" and \"-\", beginning with a letter or digit",
            value.escape_debug()
        ));
    }
    Ok(())
}

fn text(key: &str, value: &str, limit: usize) -> Result<(), String> {
    if value.len() > limit {
        return Err(format!("{key} is {} bytes long; at most {limit}", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("{key} = \"{}\" has control characters", value.escape_debug()));
    }
    Ok(())
}

fn sequence(key: &str, value: u64) -> Result<(), String> {
    if value == 0 || value > MAX_SEQUENCE {
        return Err(format!("{key} = {value} is not between 1 and {MAX_SEQUENCE}"));
    }
    Ok(())
}

/// ext4 timestamps without the epoch extension end in 2106.
/// As many signatures as a package holds.
const MAX_SIGNERS: usize = 16;
const MAX_EPOCH: i64 = u32::MAX as i64;
/// What every reader of JSON holds exactly, and a manifest accepts.
const MAX_SEQUENCE: u64 = (1 << 53) - 1;
/// Our ext4 writer uses 32-bit block numbers; far above any slot.
const MAX_PARTITION: Bytes = Bytes(1 << 42);
/// The watchdog runs from the start of the initramfs program, which waits up to 20 seconds for a slow disk.
const WATCHDOG_SECONDS: RangeInclusive<u32> = 30..=600;
/// Words of the kernel command line that belong to the boot chain.
/// `--` would hand everything after it, what the boot chain adds included, to init instead of the kernel.
const RESERVED_WORDS: [&str; 8] = ["slot", "panic", "gpt", "oops", "init", "rdinit", "root", "--"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const GOOD: &str = r#"
        recipe = 1
        [product]
        name = "demo"
        version = "1.0.0"
        sequence = 1
        hardware = ["x86-64-generic"]
        source-date-epoch = 1767225600
        [keys]
        directory = "keys"
        [kernel]
        initramfs-modules = ["virtio_blk"]
        [[base.layer]]
        directory = "overlay"
    "#;

    fn outcome(from: &str, to: &str) -> Result<(), String> {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        Recipe::from_text(&text, "r.toml", Path::new(".")).map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn accepts_a_minimal_recipe() {
        assert_eq!(outcome("demo", "demo"), Ok(()));
    }

    #[test]
    fn refuses_each_wrong_value_with_its_key() {
        let cases = [
            ("recipe = 1", "recipe = 2", "recipe = 2 is not known"),
            ("\"demo\"", "\"De mo\"", "product.name = \"De mo\" is not a name"),
            ("\"demo\"", "\"../x\"", "is not a name"),
            ("sequence = 1", "sequence = 0", "product.sequence = 0"),
            ("[\"x86-64-generic\"]", "[]", "product.hardware is empty"),
            ("1767225600", "-5", "product.source-date-epoch = -5"),
            ("[keys]", "[disk]\nesp = \"8MiB\"\n[keys]", "disk.esp = \"8 MiB\" is too small; at least 34 MiB"),
            ("[keys]", "[disk]\ndata = \"20000KiB\"\n[keys]", "not a multiple of 1 MiB"),
            ("[kernel]", "[kernel]\ncommand-line = \"quiet slot=b\"", "\"slot\" is set by the boot chain itself"),
            ("[kernel]", "[kernel]\ncommand-line = \"quiet -- x\"", "\"--\" is set by the boot chain itself"),
            ("sequence = 1", "sequence = 9007199254740992", "product.sequence = 9007199254740992"),
            ("[kernel]", "[kernel]\nwatchdog-seconds = 29", "not between 30 and 600"),
            ("directory = \"overlay\"", "exclude = []", "[[base.layer]] number 1 has no source"),
            ("directory = \"overlay\"", "directory = \"a\"\ntar = \"b\"", "directory and tar; give exactly one"),
            ("directory = \"overlay\"", "packages = [\"x\"]", "\"packages\" and \"from\""),
            (
                "[[base.layer]]",
                "[[base.health]]\nname=\"x\"\ntcp=1\n[[base.health]]\nname=\"x\"\ntcp=2\n[[base.layer]]",
                "[[base.health]]: health check \"x\" is there twice",
            ),
            ("[[base.layer]]", "[base.trial]\nsettle = 0\n[[base.layer]]", "[base.trial]: the trial's settle = 0"),
            (
                "[[base.layer]]",
                "[site]\nname=\"s\"\nversion=\"1.0.0\"\nsequence=1\nhostname=\"h\"\nrequires-base=\">=2\"\n[[site.layer]]\ndirectory=\"s\"\n[[base.layer]]",
                "does not accept this recipe's own base 1.0.0",
            ),
        ];
        let more = [
            ("[kernel]", "[depot]\nurl=\"ftp://x\"\nroot=\"r\"\n[kernel]", "like http://depot.example/demo"),
            ("[kernel]", "[depot]\nurl=\"http://x\"\nchannel=\"A b\"\nroot=\"r\"\n[kernel]", "depot: "),
            ("sequence = 1", "sequence = 1\nrequires-site = \">=2\"", "this recipe has no site"),
        ];
        for (from, to, expected) in cases.into_iter().chain(more) {
            let error = outcome(from, to).expect_err(to);
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
