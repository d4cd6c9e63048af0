//! `backup`: making, listing, showing, trying, fetching, restoring and removing backups, all by the running agent.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::ValueEnum;
use formats::Bytes;
use formats::age::Recipient;
use formats::backup::Scope;
use serde_json::Value;

use super::backup_set::Set;
use super::passphrase::Source;
use crate::api::{BackupPiece, BackupSource, CreateBackup, Restore, TestBackup};
use crate::error::{Doing, Error, Result};
use crate::secret::Secret;
use crate::status::print_json;

/// Options of `backup`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make one, encrypted
    Create(Create),
    /// List those that are kept on the appliance, and what is set
    List(List),
    /// Say what is in one that is kept, and what was left out and why
    Show(Show),
    /// Read one to its end with its passphrase or key; nothing is restored
    Test(Test),
    /// Copy one that is kept into a file
    Get(Get),
    /// Put one back, all of what is wanted or nothing
    Restore(RestoreOptions),
    /// Remove one that is kept
    Delete(Delete),
    /// Say when and for whom they are made by themselves
    Set(Set),
}

/// What a backup is of.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    Appliance,
    Site,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Only of this; by default of appliance and site
    #[arg(long, value_enum, value_name = "SCOPE")]
    scope: Option<Of>,
    /// Leave logged history out
    #[arg(long)]
    no_history: bool,
    /// Write it into this folder instead of keeping it on the appliance
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Encrypt it for this public key ("age1…") instead of a passphrase; may
    /// be given several times
    #[arg(long, value_name = "KEY")]
    recipient: Vec<Recipient>,
    #[command(flatten)]
    passphrase: Source,
    #[command(flatten)]
    agent: super::Agent,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Its name in the list
    id: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Which backup, and with what it is opened.
#[derive(Debug, clap::Args)]
struct Which {
    /// File, or the name of one that is kept
    #[arg(value_name = "FILE|ID")]
    backup: PathBuf,
    #[command(flatten)]
    passphrase: Source,
    /// File with the private key ("AGE-SECRET-KEY-1…"); - is standard input
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Test {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    agent: super::Agent,
}

#[derive(Debug, clap::Args)]
struct Get {
    /// Its name in the list
    id: String,
    /// The file to write, which must not be there
    file: PathBuf,
    #[command(flatten)]
    agent: super::Agent,
}

#[derive(Debug, clap::Args)]
struct RestoreOptions {
    #[command(flatten)]
    which: Which,
    /// Only what belongs to this
    #[arg(long, value_enum, value_name = "SCOPE")]
    scope: Option<Of>,
    /// Only this part, for example "network"; may be given several times
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    agent: super::Agent,
}

#[derive(Debug, clap::Args)]
struct Delete {
    /// Its name in the list
    id: String,
    #[command(flatten)]
    agent: super::Agent,
}

/// Does what is asked for.
pub fn run(options: &Options) -> Result<()> {
    match &options.verb {
        Verb::Create(options) => options.run(),
        Verb::List(options) => options.run(),
        Verb::Show(options) => options.run(),
        Verb::Test(options) => options.run(),
        Verb::Get(options) => options.run(),
        Verb::Restore(options) => options.run(),
        Verb::Delete(options) => options.agent.remove(&format!("/v1/backups/{}", segment(&options.id)?)),
        Verb::Set(options) => options.run(),
    }
}

impl Of {
    fn scopes(of: Option<Self>) -> Option<BTreeSet<Scope>> {
        let one = of.map(|of| match of {
            Self::Appliance => Scope::Appliance,
            Self::Site => Scope::Site,
        });
        one.map(|one| BTreeSet::from([one]))
    }
}

impl Create {
    fn run(&self) -> Result<()> {
        let client = self.agent.client()?;
        let facts: Value = client.get("/v1/backups")?;
        let set = facts.pointer("/setting/recipients").is_some() || facts.pointer("/setting/passphrase-file").is_some();
        let passphrase = match self.passphrase.named()? {
            None if self.recipient.is_empty() && !set => self.passphrase.new_one()?,
            named => named,
        };
        let to = self.to.as_ref().map(|to| std::path::absolute(to).doing(|| format!("find \"{}\"", to.display())));
        let order = CreateBackup {
            scopes: Of::scopes(self.scope),
            no_history: self.no_history,
            passphrase,
            recipients: self.recipient.clone(),
            to: to.transpose()?,
        };
        self.agent.run("/v1/backups", &order)
    }
}

impl List {
    fn run(&self) -> Result<()> {
        let facts: Value = self.agent.client()?.get("/v1/backups")?;
        if self.json {
            return print_json(&facts);
        }
        for one in facts.get("backups").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or("unknown");
            let number = |name: &str| one.get(name).and_then(Value::as_u64).unwrap_or(0);
            let scopes: Vec<&str> =
                one.get("scopes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            println!(
                "{}  {}  {}, {} files, {} left out; opened with {}; made because: {}",
                text("id"),
                Bytes(number("bytes")),
                scopes.join(" and "),
                number("files"),
                number("excluded"),
                text("locked"),
                text("cause")
            );
        }
        println!("{}", facts.pointer("/standing/sentence").and_then(Value::as_str).unwrap_or_default());
        if let Some(problem) = facts.pointer("/attempt/problem/message").and_then(Value::as_str) {
            println!("the last one that was to be made by itself failed: {problem}");
        }
        Ok(())
    }
}

impl Show {
    fn run(&self) -> Result<()> {
        let facts: Value = self.agent.client()?.get(&format!("/v1/backups/{}", segment(&self.id)?))?;
        if self.json {
            return print_json(&facts);
        }
        let lines = |name: &str| facts.pointer(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let line = |sign: &str, one: &Value| {
            let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let bytes = Bytes(one.get("bytes").and_then(Value::as_u64).unwrap_or(0));
            println!("{sign} {} ({bytes}) {}", text("path"), text("sentence"));
        };
        let (files, excluded) = (lines("/contents/files"), lines("/contents/excluded"));
        for (sign, one) in files.iter().map(|one| ("+", one)).chain(excluded.iter().map(|one| ("-", one))) {
            line(sign, one);
        }
        let of = |name: &str| facts.get(name).and_then(Value::as_u64).unwrap_or(0);
        println!("{} files are in it (+), {} things were left out (-)", of("files"), of("excluded"));
        if of("files") > files.len() as u64 || of("excluded") > excluded.len() as u64 {
            println!("not all are shown; \"backup.json\" inside names each");
        }
        Ok(())
    }
}

impl Which {
    fn source(&self) -> Result<BackupSource> {
        if let Some(id) = self.backup.to_str().filter(|id| segment(id).is_ok() && !self.backup.exists()) {
            return Ok(BackupSource::Kept(id.into()));
        }
        let path = std::path::absolute(&self.backup).doing(|| format!("find \"{}\"", self.backup.display()))?;
        Ok(BackupSource::File(path))
    }

    /// Passphrase or key.
    fn key(&self) -> Result<(Option<Secret>, Option<Secret>)> {
        match &self.identity {
            Some(file) => Ok((self.passphrase.named()?, Some(text(file)?))),
            None => Ok((self.passphrase.asked("Passphrase of the backup: ")?, None)),
        }
    }
}

impl Test {
    fn run(&self) -> Result<()> {
        let backup = self.which.source()?;
        let (passphrase, identity) = self.which.key()?;
        self.agent.run("/v1/backup-test", &TestBackup { backup, passphrase, identity })
    }
}

impl Get {
    fn run(&self) -> Result<()> {
        let doing = || format!("write \"{}\"", self.file.display());
        let client = self.agent.client()?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file).doing(doing)?;
        let mut offset = 0_u64;
        loop {
            let piece: Value = client.post("/v1/backup-piece", &BackupPiece { id: self.id.clone(), offset })?;
            let bytes = piece.get("bytes").and_then(Value::as_str).unwrap_or_default();
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(bytes).map_err(std::io::Error::other).doing(doing)?;
            file.write_all(&bytes).doing(doing)?;
            offset = offset.saturating_add(bytes.len() as u64);
            let of = piece.get("of").and_then(Value::as_u64).unwrap_or(0);
            if bytes.is_empty() || offset >= of {
                break;
            }
        }
        file.sync_all().doing(doing)
    }
}

impl RestoreOptions {
    fn run(&self) -> Result<()> {
        let backup = self.which.source()?;
        let (passphrase, identity) = self.which.key()?;
        let only = (!self.only.is_empty()).then(|| self.only.iter().cloned().collect());
        let order =
            Restore { backup, passphrase, identity, scopes: Of::scopes(self.scope), only, dry_run: self.dry_run };
        self.agent.run("/v1/restore", &order)
    }
}

/// A small file, or standard input for `-`.
fn text(path: &Path) -> Result<Secret> {
    let doing = || format!("read \"{}\"", path.display());
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(LONGEST).read_to_string(&mut text).doing(doing)?;
    } else {
        std::fs::File::open(path).doing(doing)?.take(LONGEST).read_to_string(&mut text).doing(doing)?;
    }
    Ok(Secret::new(text))
}

/// Bytes of a key file.
const LONGEST: u64 = 16 << 10;

/// A name that can stand in an address.
fn segment(id: &str) -> Result<&str> {
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if plain {
        Ok(id)
    } else {
        Err(Error::Usage(format!("\"{}\" is not the name of a backup", Path::new(id).display())))
    }
}
