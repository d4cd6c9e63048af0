//! TOML text to [`Scenario`]: every error names file, line and column, what is wrong there, and what is allowed.

use std::ops::Range;
use std::time::Duration;

use formats::Bytes;
use serde_json::Value;

use super::raw::{self, ACTIONS};
use super::{
    Action, Change, DISK, DepotSpec, DiskSpec, DriveContent, DriveSpec, Fact, Limit, Place, Power, Run, Scenario, Step,
};
use crate::{Error, FirmwareName, Pattern, Result};

/// What is wrong, without the place.
type Wrong = String;

impl Scenario {
    /// Parses and checks `text`; `name` is its file, shown in errors and used (without folder and ending) as the scenario's name.
    ///
    /// # Errors
    /// [`Error::Input`] with file, line, column and what is allowed there.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let file: raw::File = toml::from_str(text).map_err(|error| explain(text, name, &error))?;
        let at = |span: Range<usize>| {
            let place = place(text, name, span.start);
            move |wrong: Wrong| Error::Input(format!("{place}: {wrong}"))
        };
        let mut drives: Vec<DriveSpec> = Vec::new();
        for described in file.drive {
            let span = described.span();
            let drive = drive(described.into_inner()).map_err(at(span.clone()))?;
            if drive.name == DISK || drives.iter().any(|other| other.name == drive.name) {
                return Err(at(span)(format!("there is a drive \"{}\" already; choose another name", drive.name)));
            }
            drives.push(drive);
        }
        let mut steps = Vec::new();
        for written in file.steps {
            let span = written.span();
            let line = line_and_column(text, span.start).0;
            let action = action(written.into_inner()).and_then(|action| known_drive(action, &drives));
            let action = action.and_then(|action| has_depot(action, file.depot.is_some()));
            let action = action.and_then(|action| has_mailbox(action, file.mailbox));
            steps.push(Step { line, action: action.map_err(at(span))? });
        }
        let whole = |wrong: &str| Error::Input(format!("{name}: {wrong}"));
        if steps.is_empty() {
            return Err(whole("there are no steps; the first one is usually { power = \"on\" }"));
        }
        let network = file.network.unwrap_or(true);
        if !network && !file.ports.is_empty() {
            return Err(whole("without a network card no \"ports\" lead to the guest; leave one of the two out"));
        }
        let depot = file.depot.map(|depot| {
            let wrong = "without a network card no depot is reached; leave one of the two out".to_owned();
            if network { Ok(depot.into_inner()) } else { Err(at(depot.span())(wrong)) }
        });
        let depot =
            depot.transpose()?.map(|depot| DepotSpec { folder: depot.folder, rate: depot.rate, https: depot.https });
        if !network && file.mailbox {
            return Err(whole("without a network card no letter is sent; leave \"network\" or \"mailbox\" out"));
        }
        let firmware = file.firmware.unwrap_or_else(|| FirmwareName::ALL.to_vec());
        if firmware.is_empty() {
            return Err(whole("\"firmware\" is an empty list; leave it out for bios, uefi and secure-boot"));
        }
        Ok(Self {
            name: std::path::Path::new(name)
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            title: file.title,
            firmware,
            memory: file.memory.unwrap_or(Bytes::mib(512)),
            ports: file.ports,
            network,
            depot,
            mailbox: file.mailbox,
            oem_strings: file.oem_strings,
            disk: DiskSpec { image: file.disk.image, size: file.disk.size, bus: file.disk.bus },
            drives,
            steps,
        })
    }
}

fn drive(raw: raw::Drive) -> std::result::Result<DriveSpec, Wrong> {
    if raw.partitioned && raw.files.is_none() {
        return Err(format!("drive \"{}\": \"partitioned = true\" goes with \"files\" alone", raw.name));
    }
    let content = match (raw.files, raw.image, raw.twin) {
        (Some(names), None, false) => DriveContent::Files { names, partitioned: raw.partitioned },
        (None, Some(image), false) => DriveContent::Image(image),
        (None, None, true) => DriveContent::Twin,
        (None, None, false) if raw.size.is_some() => DriveContent::Empty,
        _ => {
            return Err(format!(
                "drive \"{}\" needs exactly one of \"files\", \"image\" and \"twin = true\", or only a \"size\"",
                raw.name
            ));
        }
    };
    Ok(DriveSpec { name: raw.name, content, size: raw.size, bus: raw.bus })
}

/// The one action of a step, with the further keys that belong to it.
fn action(step: raw::Step) -> std::result::Result<Action, Wrong> {
    let name = one_action(&step)?;
    let within = step.within.as_deref().map(limit).transpose()?;
    let soon = within.unwrap_or(Limit::Boots(1));
    let when = step.when.map(pattern).transpose()?;
    if name == "answer" && step.drive.as_deref().is_none_or(|drive| drive == DISK) {
        return Err("\"answer\" needs \"drive\", the name of a [[drive]] that becomes the stick".to_owned());
    }
    let drive = step.drive.unwrap_or_else(|| DISK.to_owned());
    let text = |value: Option<String>| value.unwrap_or_default();
    let change = |change| Action::Change { drive: drive.clone(), change };
    Ok(match name {
        "power" => Action::Power(power(&text(step.power), when, within, step.after.as_deref(), step.clock.as_deref())?),
        "expect" => Action::Expect {
            wanted: pattern(step.expect.ok_or("\"expect\" is missing")?)?,
            not_before: patterns(step.not_before)?,
            within: soon,
        },
        "run" => Action::Run(Run {
            command: text(step.run),
            exit_code: step.exit_code.unwrap_or(0),
            prints: patterns(step.prints)?,
            prints_not: patterns(step.prints_not)?,
            within: soon,
        }),
        "until" => Action::Until { command: text(step.until), within: soon },
        "type" => Action::Type(text(step.typed)),
        "status" => {
            let facts = step.status.unwrap_or_default();
            let facts = facts.into_iter().map(|(pointer, value)| Ok((checked_pointer(pointer)?, fact(value)?)));
            Action::Status { facts: facts.collect::<std::result::Result<_, Wrong>>()?, within }
        }
        "freeze" => Action::Freeze {
            drive: text(step.freeze),
            when,
            within: soon,
            reset_within: step.reset_within.as_deref().map(limit).transpose()?.unwrap_or(Limit::Boots(5)),
        },
        "http" => {
            let (port, path) = address(&text(step.http))?;
            let (status, prints) = (step.http_status.unwrap_or(200), patterns(step.prints)?);
            Action::Http { port, path, status, prints, within: soon }
        }
        "depot" => Action::Depot { on: on(&text(step.depot))?, rate: step.rate },
        "sent" => {
            let percent = step.percent.filter(|(from, to)| from <= to);
            let percent = percent.ok_or("\"sent\" needs \"percent\", the least and the most, such as [100, 102]")?;
            Action::Sent { path: pattern(step.sent.ok_or("\"sent\" is missing")?)?, percent, within }
        }
        "answer" => Action::Answer { depot: text(step.answer), drive },
        "mail" => Action::Mail { letters: step.mail.unwrap_or_default(), prints: patterns(step.prints)?, within },
        "flip-byte" => change(Change::FlipByte(spot(text(step.flip_byte), step.offset)?)),
        "zero" => {
            let length = step.length.ok_or("\"zero\" needs a \"length\", such as \"64KiB\"")?;
            change(Change::Zero(spot(text(step.zero), step.offset)?, length))
        }
        "copy-partition" => {
            let to = step.to.ok_or("\"copy-partition\" needs \"to\", the label of the partition to write over")?;
            change(Change::CopyPartition { from: text(step.copy_partition), to })
        }
        "destroy-boot-state" => {
            Action::Change { drive: text(step.destroy_boot_state), change: Change::DestroyBootState }
        }
        "exchange" => Action::Exchange(text(step.exchange)),
        _ => Action::Unchanged(text(step.unchanged)),
    })
}

/// The name of the action; refuses none, several, and keys that do not belong to it.
fn one_action(step: &raw::Step) -> std::result::Result<&'static str, Wrong> {
    let keys = toml::Table::try_from(step).map_err(|error| error.to_string())?;
    let named: Vec<_> = ACTIONS.iter().filter(|(action, _)| keys.contains_key(*action)).collect();
    let all = || ACTIONS.map(|(action, _)| action).join(", ");
    let [(name, further)] = named.as_slice() else {
        let found = named.iter().map(|(action, _)| format!("\"{action}\"")).collect::<Vec<_>>().join(" and ");
        return Err(if named.is_empty() {
            format!("this step says nothing to do; give it one of: {}", all())
        } else {
            format!("this step has {found}; a step does one thing, so make it several")
        });
    };
    if let Some(key) = keys.keys().find(|key| key != name && !further.contains(&key.as_str())) {
        let allowed = if further.is_empty() { "nothing else".to_owned() } else { further.join(", ") };
        return Err(format!("\"{key}\" does not go with \"{name}\", which may have: {allowed}"));
    }
    Ok(name)
}

fn power(
    what: &str,
    when: Option<Pattern>,
    within: Option<Limit>,
    after: Option<&str>,
    clock: Option<&str>,
) -> std::result::Result<Power, Wrong> {
    let limit = within.unwrap_or(Limit::Boots(1));
    if what != "cut" && (when.is_some() || after.is_some()) {
        return Err(format!("\"when\" and \"after\" go with power = \"cut\", not with \"{what}\""));
    }
    if what != "on" && clock.is_some() {
        return Err(format!("\"clock\" goes with power = \"on\", not with \"{what}\""));
    }
    match what {
        "on" => Ok(Power::On { clock: clock.map(str::parse).transpose()? }),
        "reset" => Ok(Power::Reset),
        "button" => Ok(Power::Button(limit)),
        "off" => Ok(Power::Off(limit)),
        "cut" => {
            let after = after.map(duration).transpose()?.unwrap_or_default();
            Ok(Power::Cut { when: when.map(|when| (when, limit)), after })
        }
        other => {
            Err(format!("power = \"{other}\" is unknown; it is \"on\", \"off\", \"cut\", \"reset\" or \"button\""))
        }
    }
}

fn on(what: &str) -> std::result::Result<bool, Wrong> {
    match what {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("depot = \"{other}\" is unknown; it is \"on\" or \"off\"")),
    }
}

/// Refuses steps about a depot that the file does not describe.
fn has_depot(action: Action, depot: bool) -> std::result::Result<Action, Wrong> {
    match action {
        Action::Depot { .. } | Action::Sent { .. } if !depot => {
            Err("there is no depot; describe it with [depot] and its \"folder\"".to_owned())
        }
        action => Ok(action),
    }
}

/// Refuses steps about letters that nobody takes.
fn has_mailbox(action: Action, mailbox: bool) -> std::result::Result<Action, Wrong> {
    match action {
        Action::Mail { .. } if !mailbox => Err("nobody takes letters; say mailbox = true".to_owned()),
        action => Ok(action),
    }
}

/// Refuses drives that the file does not describe.
fn known_drive(action: Action, drives: &[DriveSpec]) -> std::result::Result<Action, Wrong> {
    let named = match &action {
        Action::Freeze { drive, .. }
        | Action::Answer { drive, .. }
        | Action::Change { drive, .. }
        | Action::Exchange(drive)
        | Action::Unchanged(drive) => Some(drive),
        _ => None,
    };
    match named.filter(|name| *name != DISK && drives.iter().all(|drive| drive.name != **name)) {
        Some(name) => {
            let known: Vec<_> = std::iter::once(DISK).chain(drives.iter().map(|drive| drive.name.as_str())).collect();
            Err(format!("there is no drive \"{name}\"; there are: {}", known.join(", ")))
        }
        None => Ok(action),
    }
}

fn pattern(raw: raw::Pattern) -> std::result::Result<Pattern, Wrong> {
    let empty = || "an empty text is in every line; say what to look for".to_owned();
    match raw {
        raw::Pattern::Regex(expression) => Pattern::regex(&expression.regex).map_err(|error| error.to_string()),
        raw::Pattern::Word(word) if word.is_empty() => Err(empty()),
        raw::Pattern::Words(words) if words.is_empty() || words.iter().any(String::is_empty) => Err(empty()),
        raw::Pattern::Word(word) => Ok(Pattern::from(&word)),
        raw::Pattern::Words(words) => Ok(Pattern::from(words)),
    }
}

fn patterns(raw: Option<Vec<raw::Pattern>>) -> std::result::Result<Vec<Pattern>, Wrong> {
    raw.unwrap_or_default().into_iter().map(pattern).collect()
}

fn spot(partition: String, offset: Option<raw::Offset>) -> std::result::Result<Place, Wrong> {
    let offset = match offset {
        Some(raw::Offset::Byte(byte)) => Some(byte),
        Some(raw::Offset::Name(name)) if name == "footer" => None,
        _ => return Err("\"offset\" is a number of bytes from the start of the partition, or \"footer\"".to_owned()),
    };
    Ok(Place { partition, offset })
}

fn checked_pointer(pointer: String) -> std::result::Result<String, Wrong> {
    if pointer.starts_with('/') {
        return Ok(pointer);
    }
    Err(format!("\"{pointer}\" is no JSON pointer; it begins with \"/\", such as \"/lifecycle/running/slot\""))
}

fn fact(value: toml::Value) -> std::result::Result<Fact, Wrong> {
    let allowed = "a fact is a value, { contains = \"text\" } or { absent = true }";
    let toml::Value::Table(table) = value else {
        let json: Value = serde_json::to_value(value).map_err(|error| error.to_string())?;
        return Ok(Fact::Is(json));
    };
    match (table.len(), table.get("contains"), table.get("absent")) {
        (1, Some(toml::Value::String(text)), None) => Ok(Fact::Contains(text.clone())),
        (1, None, Some(toml::Value::Boolean(true))) => Ok(Fact::Absent),
        _ => Err(allowed.to_owned()),
    }
}

/// `80/status.json` or `80/`.
fn address(text: &str) -> std::result::Result<(u16, String), Wrong> {
    let (port, path) = text.split_once('/').ok_or("\"http\" is PORT/PATH, such as \"80/\"")?;
    let port = port.parse().map_err(|_| format!("\"{port}\" is not a port from 1 to 65535"))?;
    Ok((port, format!("/{path}")))
}

fn limit(text: &str) -> std::result::Result<Limit, Wrong> {
    match text.split_once(' ') {
        Some((count, "boot" | "boots")) => {
            count.parse().map(Limit::Boots).map_err(|_| format!("\"{count}\" is not a number of boots"))
        }
        _ => duration(text).map(Limit::Quiet).map_err(|wrong| format!("{wrong}, or \"3 boots\"")),
    }
}

fn duration(text: &str) -> std::result::Result<Duration, Wrong> {
    let wrong = || format!("\"{text}\" is no time; write \"500 ms\", \"20 s\" or \"2 min\"");
    let (count, unit) = text.split_once(' ').ok_or_else(wrong)?;
    let count: u32 = count.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(count.into())),
        "s" => Ok(Duration::from_secs(count.into())),
        "min" => Ok(Duration::from_secs(u64::from(count) * 60)),
        _ => Err(wrong()),
    }
}

/// What the TOML reader says, with the place, and in the words of this program.
fn explain(text: &str, name: &str, error: &toml::de::Error) -> Error {
    let place = error.span().map_or_else(|| name.to_owned(), |span| place(text, name, span.start));
    let message = error.message().trim_end().replace('\n', "; ").replace('`', "\"");
    let message = match message.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected ")) {
        Some((key, valid)) => {
            let valid = valid.trim_start_matches("one of ").replace('"', "");
            format!("unknown key {key}; valid keys here: {valid}")
        }
        None => message,
    };
    Error::Input(format!("{place}: {message}"))
}

fn place(text: &str, name: &str, offset: usize) -> String {
    let (line, column) = line_and_column(text, offset);
    format!("{name}:{line}:{column}")
}

/// 1-based line and column (in characters) of a byte offset.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
