//! Which field of a download key means what.

use semver::{Version, VersionReq};

use super::record::{Fault, Reader, Writer, text};
use super::{DownloadKey, MAX_FLOORS, MAX_LICENCES, MAX_MODELS, Nonce};
use crate::Digest;
use crate::journal::Floor;
use crate::manifest::{Date, Kind, MAX_UNIX, Requires, appliance_rule, check_name};
use crate::plan::{FORMAT, Installed, Inventory};

/// The fields of a key. The text says which rule it breaks.
pub(super) fn encode(key: &DownloadKey) -> Result<Vec<u8>, String> {
    check(key)?;
    let inventory = &key.inventory;
    let mut fields = Writer::default();
    fields.put(NONCE, &key.nonce)?;
    fields.number(MADE, second(key.made)?)?;
    fields.number(EXPIRES, second(key.expires)?)?;
    fields.number(ROOT, key.root)?;
    fields.text(PRODUCT, &inventory.product)?;
    match raw_name(&inventory.appliance) {
        Some(raw) => fields.put(APPLIANCE_RAW, &raw)?,
        None => fields.text(APPLIANCE, &inventory.appliance)?,
    }
    inventory.hardware.iter().try_for_each(|model| fields.text(HARDWARE, model))?;
    fields.put(BASE, &installed(&inventory.base)?)?;
    if let Some(site) = &inventory.site {
        fields.put(SITE, &installed(site)?)?;
    }
    for floor in &inventory.floors {
        fields.put(FLOOR, &encode_floor(floor)?)?;
    }
    fields.text(CHANNEL, &inventory.channel)?;
    if let Some(ring) = &inventory.ring {
        fields.text(RING, ring)?;
    }
    if let Some(day) = inventory.entitled_until {
        fields.text(ENTITLED, &day.to_string())?;
    }
    inventory.licences.iter().try_for_each(|id| fields.put(LICENCE, &id.0))?;
    Ok(fields.finish())
}

/// The key with these fields, its rules checked.
pub(super) fn decode(bytes: &[u8]) -> Result<DownloadKey, Fault> {
    let fields = Reader::new(bytes, &KNOWN)?;
    let appliance = if fields.has(APPLIANCE_RAW) {
        hex::encode(fields.array::<16>(APPLIANCE_RAW)?)
    } else {
        fields.text(APPLIANCE)?.to_owned()
    };
    let floors = fields.many(FLOOR, MAX_FLOORS)?.iter().map(|value| decode_floor(value)).collect::<Result<_, _>>()?;
    let licence = |value: &&[u8]| Ok(Digest((*value).try_into().map_err(|_| bad("a licence is not a SHA-256"))?));
    let entitled = fields.maybe_text(ENTITLED)?.map(str::parse::<Date>).transpose();
    let inventory = Inventory {
        format: FORMAT,
        appliance,
        product: fields.text(PRODUCT)?.into(),
        hardware: fields.texts(HARDWARE, MAX_MODELS)?.into_iter().map(str::to_owned).collect(),
        base: decode_installed(fields.one(BASE)?)?,
        site: fields.maybe(SITE)?.map(decode_installed).transpose()?,
        floors,
        channel: fields.text(CHANNEL)?.into(),
        ring: fields.maybe_text(RING)?.map(str::to_owned),
        entitled_until: entitled.map_err(|error| bad(error.to_string()))?,
        licences: fields.many(LICENCE, MAX_LICENCES)?.iter().map(licence).collect::<Result<_, _>>()?,
    };
    let nonce: Nonce = fields.array(NONCE)?;
    let seconds =
        |number| i64::try_from(fields.number(number)?).map_err(|_| bad("a time is not before the year 10000"));
    let (made, expires, root) = (seconds(MADE)?, seconds(EXPIRES)?, fields.number(ROOT)?);
    let key = DownloadKey { inventory, root, nonce, made, expires };
    check(&key).map_err(Fault::Damaged)?;
    Ok(key)
}

/// The rules that hold for a key whoever made it.
fn check(key: &DownloadKey) -> Result<(), String> {
    let inventory = &key.inventory;
    let named = |what: &str, name: &str| check_name(what, name).map_err(|error| error.to_string());
    named("product", &inventory.product)?;
    named("channel", &inventory.channel)?;
    inventory.ring.iter().try_for_each(|ring| named("ring", ring))?;
    inventory.hardware.iter().try_for_each(|model| named("hardware", model))?;
    inventory.floors.iter().try_for_each(|floor| named("package name", &floor.name))?;
    for installed in [Some(&inventory.base), inventory.site.as_ref()].into_iter().flatten() {
        named("package name", &installed.name)?;
        installed.hostname.iter().try_for_each(|name| named("hostname", name))?;
    }
    appliance_rule(&inventory.appliance)?;
    for (what, has, most) in [
        ("hardware models", inventory.hardware.len(), MAX_MODELS),
        ("floors", inventory.floors.len(), MAX_FLOORS),
        ("licences", inventory.licences.len(), MAX_LICENCES),
    ] {
        if has > most {
            return Err(format!("it has {has} {what}; at most {most} are allowed"));
        }
    }
    second(key.made)?;
    second(key.expires)?;
    if key.expires <= key.made || key.expires.saturating_sub(key.made) > super::MAX_LIFETIME {
        return Err("it is not good for a time between a second and 90 days".into());
    }
    Ok(())
}

fn installed(installed: &Installed) -> Result<Vec<u8>, String> {
    let mut fields = Writer::default();
    fields.text(1, &installed.name)?;
    fields.text(2, &installed.version.to_string())?;
    fields.put(3, &installed.build_id.0)?;
    fields.number(4, installed.sequence)?;
    for (number, range) in [(5, &installed.requires.base), (6, &installed.requires.site)] {
        range.iter().try_for_each(|range| fields.text(number, &range.to_string()))?;
    }
    installed.hostname.iter().try_for_each(|name| fields.text(7, name))?;
    if let Some(until) = installed.soaks_until {
        fields.number(8, second(until)?)?;
    }
    Ok(fields.finish())
}

fn decode_installed(bytes: &[u8]) -> Result<Installed, Fault> {
    let fields = Reader::new(bytes, &[1, 2, 3, 4, 5, 6, 7, 8])?;
    let version = fields.text(2)?.parse::<Version>().map_err(|_| bad("a version is none"))?;
    let range = |number| {
        let text = fields.maybe_text(number)?;
        text.map(|text| text.parse::<VersionReq>().map_err(|_| bad("a range of versions is none"))).transpose()
    };
    let until = if fields.has(8) {
        Some(i64::try_from(fields.number(8)?).ok().filter(|until| *until <= MAX_UNIX))
    } else {
        None
    };
    Ok(Installed {
        name: fields.text(1)?.into(),
        version,
        build_id: Digest(fields.array(3)?),
        sequence: fields.number(4)?,
        requires: Requires { base: range(5)?, site: range(6)? },
        hostname: fields.maybe_text(7)?.map(str::to_owned),
        soaks_until: until.map(|until| until.ok_or_else(|| bad("a time is not before the year 10000"))).transpose()?,
    })
}

fn encode_floor(floor: &Floor) -> Result<Vec<u8>, String> {
    let mut fields = Writer::default();
    fields.text(1, &floor.kind.to_string())?;
    fields.text(2, &floor.name)?;
    fields.number(3, floor.sequence)?;
    Ok(fields.finish())
}

fn decode_floor(bytes: &[u8]) -> Result<Floor, Fault> {
    let fields = Reader::new(bytes, &[1, 2, 3])?;
    let kind = Kind::named(text(fields.one(1)?)?).ok_or_else(|| bad("a floor is of no kind of package"))?;
    Ok(Floor { kind, name: fields.text(2)?.into(), sequence: fields.number(3)? })
}

/// The name appliances draw for themselves, in half its length.
fn raw_name(name: &str) -> Option<[u8; 16]> {
    let mut raw = [0; 16];
    hex::decode_to_slice(name, &mut raw).ok()?;
    (hex::encode(raw) == name).then_some(raw)
}

fn second(time: i64) -> Result<u64, String> {
    let valid = u64::try_from(time).ok().filter(|_| time <= MAX_UNIX);
    valid.ok_or_else(|| format!("second {time} is not between 1970 and 9999"))
}

fn bad(problem: impl Into<String>) -> Fault {
    Fault::Damaged(problem.into())
}

const NONCE: u8 = 1;
const MADE: u8 = 2;
const EXPIRES: u8 = 3;
const ROOT: u8 = 4;
const PRODUCT: u8 = 5;
const APPLIANCE_RAW: u8 = 6;
const APPLIANCE: u8 = 7;
const HARDWARE: u8 = 8;
const BASE: u8 = 9;
const SITE: u8 = 10;
const FLOOR: u8 = 11;
const CHANNEL: u8 = 12;
const RING: u8 = 13;
const ENTITLED: u8 = 14;
const LICENCE: u8 = 15;
const KNOWN: [u8; 15] = [
    NONCE,
    MADE,
    EXPIRES,
    ROOT,
    PRODUCT,
    APPLIANCE_RAW,
    APPLIANCE,
    HARDWARE,
    BASE,
    SITE,
    FLOOR,
    CHANNEL,
    RING,
    ENTITLED,
    LICENCE,
];
