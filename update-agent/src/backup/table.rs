//! The one table of what lies on the data partition, and whether a backup has it.
//!
//! Whoever adds a path adds a line; two tests fail without it: one reads the sources, the other looks at what working agents have left
//! behind (`tests/appliance`). What no line knows is named in each backup as left out.

use std::collections::BTreeSet;
use std::path::Path;

use formats::backup::{Reason, Scope};
use formats::depot;

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in, in this part, whose files have this version of their form.
    Part(&'static str, u32),
    /// It is in, unless logged history is left out.
    History(&'static str, u32),
    /// It is in as far as the limits for the file store allow.
    Limited(&'static str, u32),
    /// It is never in; why.
    Never(&'static str),
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Below the data partition: a file, or a folder with everything in it.
    pub path: &'static str,
    /// What it belongs to.
    pub scope: Scope,
    /// What becomes of it.
    pub fate: Fate,
}

const fn row(path: &'static str, fate: Fate) -> Row {
    Row { path, scope: Scope::Appliance, fate }
}

const fn site(path: &'static str, fate: Fate) -> Row {
    Row { path, scope: Scope::Site, fate }
}

/// The table. The longest path that fits counts.
pub const TABLE: &[Row] = &[
    row("bulkhead/network.json", Fate::Part("network", 1)),
    row("bulkhead/depot.json", Fate::Part("depot", 1)),
    row("bulkhead/health.json", Fate::Part("health", 1)),
    row("bulkhead/licences", Fate::Part("licences", 1)),
    row("bulkhead/certificates", Fate::Part("certificates", 1)),
    row("bulkhead/accounts.json", Fate::Part("accounts", 1)),
    row("bulkhead/backup.json", Fate::Part("backups", 1)),
    row(
        "bulkhead/identity",
        Fate::Never(
            "is the key by which depots know this one appliance; another machine with it would be taken for this one",
        ),
    ),
    row("bulkhead/accounts.forgotten", Fate::Never("orders something of this one appliance, once")),
    row("bulkhead/audit", Fate::Never("proves what was done on this machine, and is exported by itself")),
    row("bulkhead/backups", Fate::Never("holds the backups themselves")),
    row("bulkhead/boot-failures.jsonl", Fate::Never("tells of starts of this machine")),
    row(
        "bulkhead/depot",
        Fate::Never("was learnt from the depot and is asked for again; this appliance's name for rollout rings"),
    ),
    row("bulkhead/failed", Fate::Never("tells of releases that failed on this machine")),
    row("bulkhead/journal", Fate::Never("belongs to what is installed in the slots of this machine")),
    row("bulkhead/mail.json", Fate::Never("says what people were told about this appliance")),
    row("bulkhead/uploads", Fate::Never("files on their way to staging or a restore, gone after a day")),
    row("bulkhead/reports", Fate::Never("tells of what was installed on this machine, and is exported by itself")),
    row("bulkhead/restore", Fate::Never("is a restore at work")),
    row("bulkhead/staged", Fate::Never("holds packages, which are fetched or copied again")),
    row("bulkhead/upgrade.json", Fate::Never("is about the slots of this machine")),
    row("lost+found", Fate::Never("belongs to the file system")),
    site("site/history", Fate::History("site-history", 1)),
    site("site/recordings", Fate::Never("holds recordings, which are too large for a backup")),
    site("site/files", Fate::Limited("site-files", 1)),
    site("site", Fate::Part("site", 1)),
];

/// The line of a path.
pub fn line(path: &str) -> Option<&'static Row> {
    line_in(TABLE, path)
}

/// The same in another table.
pub fn line_in<'t>(table: &'t [Row], path: &str) -> Option<&'t Row> {
    let within = |row: &&Row| path == row.path || path.strip_prefix(row.path).is_some_and(|rest| rest.starts_with('/'));
    table.iter().filter(within).max_by_key(|row| row.path.len())
}

/// Why a path is not in that no line knows.
pub fn unknown(path: &str) -> (Reason, &'static str) {
    if Path::new(path).extension().is_some_and(|ending| ending == "new" || ending == "part") {
        return (Reason::Declared, "was left by something that was cut off");
    }
    (Reason::Unknown, "is not known to this version")
}

/// The version of a part's files, as this agent writes them.
pub fn schema(part: &str) -> Option<u32> {
    TABLE.iter().find_map(|row| match row.fate {
        Fate::Part(name, schema) | Fate::History(name, schema) | Fate::Limited(name, schema) if name == part => {
            Some(schema)
        }
        _ => None,
    })
}

/// Brings a file of a part from one version of its form to the next.
pub struct Migration {
    /// The part.
    pub part: &'static str,
    /// The version it brings on by one.
    pub from: u32,
    /// The new content of the file at a path; why there is none.
    pub bring: fn(&str, &[u8]) -> Result<Vec<u8>, String>,
}

/// Every step there is. No part has had a second version yet; whoever raises one in the table adds its step here, and keeps it for good.
pub const MIGRATIONS: &[Migration] = &[];

/// A file of a part of version `from`, as version `to` has it.
pub fn migrated(
    steps: &[Migration],
    part: &str,
    (from, to): (u32, u32),
    path: &str,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, String> {
    (from..to).try_fold(bytes, |bytes, version| {
        let step = steps.iter().find(|step| step.part == part && step.from == version);
        let step = step.ok_or_else(|| format!("no way leads from version {version} of part \"{part}\" to the next"))?;
        (step.bring)(path, &bytes)
    })
}

/// Whether a file may be of this part: by its line, or as one that the settings of the part name, beside them.
pub fn belongs(path: &str, part: &str) -> bool {
    match line(path).map(|row| row.fate) {
        Some(Fate::Part(name, _) | Fate::History(name, _) | Fate::Limited(name, _)) => name == part,
        Some(Fate::Never(_)) => false,
        None => {
            let beside = path.strip_prefix("bulkhead/").is_some_and(|name| !name.contains('/'));
            beside && ["depot", "backups"].contains(&part)
        }
    }
}

/// The names of files beside the settings that belong to them: passwords and certificates of authorities.
pub fn companions(
    depot: Option<&depot::Setting>,
    backup: Option<&formats::backup::setting::Setting>,
) -> BTreeSet<(String, &'static str)> {
    let mail = depot.and_then(|setting| setting.mail.as_ref()?.password_file.as_ref());
    let of_depot =
        depot.into_iter().flat_map(|setting| [setting.proxy_password_file.as_ref(), setting.ca_file.as_ref()]);
    let of_depot = of_depot.chain([mail]).flatten().map(|name| (name.as_str().to_owned(), "depot"));
    let of_backup = backup.and_then(|setting| setting.passphrase_file.as_ref());
    let of_backup = of_backup.map(|name| (name.as_str().to_owned(), "backups"));
    // A setting cannot have a file put in that the table says is never in.
    let named = |name: &(String, &str)| line(&format!("bulkhead/{}", name.0)).is_none();
    of_depot.chain(of_backup).filter(named).collect()
}
