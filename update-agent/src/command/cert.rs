//! `cert`: the certificates of the appliance.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::passphrase::Source;
use crate::api::{BindCertificate, ExportCertificate, ImportCertificate, SigningRequest, UnbindCertificate};
use crate::certificates::Place;
use crate::certificates::export::Format;
use crate::certificates::read::MAX_INPUT;
use crate::certificates::request::{KeyKind, Subject};
use crate::error::{Doing, Error, Result};
use crate::plain_file;
use crate::secret::Secret;
use crate::serve::log;
use crate::status::print_json;

/// Options of `cert`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    agent: super::Agent,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the certificates and signing requests, and who sees which
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show all about one certificate
    Show {
        /// First digits of its fingerprint, or "self-signed"
        certificate: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Take in a certificate, its key, or both, with the chain
    Import(Import),
    /// Write a certificate, its key or its chain to a file
    Export(Export),
    /// Make a new key and the request for a certificate
    Csr(Csr),
    /// Show a certificate to clients
    Bind(Bind),
    /// Show the appliance's own certificate again
    Unbind(To),
    /// Remove a certificate with its key, or a signing request
    Delete {
        /// First digits of its fingerprint; the whole id of a request
        certificate: String,
        /// It is a signing request
        #[arg(long)]
        request: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Import {
    /// PEM, DER or PKCS#12; "-" for standard input
    file: PathBuf,
    #[command(flatten)]
    passphrase: Source,
    /// Say whether it is for this name too; may be given several times
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Say what would be imported, and change nothing
    #[arg(long)]
    check: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    /// First digits of its fingerprint, or "self-signed"
    certificate: String,
    /// File to be written, which must not exist; "-" for standard output
    #[arg(short, long, value_name = "FILE|-")]
    output: PathBuf,
    /// Only these parts; by default certificate and chain
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    parts: Vec<Part>,
    /// The form of the file
    #[arg(long, default_value = "pem")]
    format: Format,
    #[command(flatten)]
    passphrase: Source,
    /// Let the key leave unencrypted: the first name of the certificate
    #[arg(long, value_name = "NAME", conflicts_with = "passphrase_file")]
    unencrypted: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Certificate,
    Key,
    Chain,
}

#[derive(Debug, clap::Args)]
struct Csr {
    /// Host names and addresses it is for
    names: Vec<String>,
    /// A certificate whose names are asked for, to renew it
    #[arg(long, value_name = "CERTIFICATE")]
    renew: Option<String>,
    /// The key to be made
    #[arg(long, default_value = "ec-p256")]
    key: KeyKind,
    #[command(flatten)]
    subject: Subject,
}

#[derive(Debug, clap::Args)]
struct Bind {
    /// First digits of its fingerprint
    certificate: String,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, clap::Args)]
struct To {
    /// Only to those who ask for this host name
    #[arg(long, value_name = "NAME", conflicts_with = "address")]
    name: Option<String>,
    /// Only to those who come to this address of the appliance
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
}

impl To {
    fn place(&self) -> Place {
        let name = self.name.clone().map(Place::Name);
        name.or_else(|| self.address.map(Place::Address)).unwrap_or(Place::Default)
    }
}

/// Does what is asked for.
pub fn run(options: &Options) -> Result<()> {
    let agent = &options.agent;
    match &options.verb {
        Verb::List { json } => list(agent, *json),
        Verb::Show { certificate, json } => show(agent, certificate, *json),
        Verb::Import(import) => import.run(agent),
        Verb::Export(export) => export.run(agent),
        Verb::Csr(csr) => csr.run(agent),
        Verb::Bind(bind) => {
            let order = BindCertificate { certificate: bind.certificate.clone(), to: bind.to.place() };
            say(&agent.client()?.post("/v1/certificates/bind", &order)?);
            Ok(())
        }
        Verb::Unbind(to) => {
            say(&agent.client()?.post("/v1/certificates/unbind", &UnbindCertificate { to: to.place() })?);
            Ok(())
        }
        Verb::Delete { certificate, request } => {
            if !certificate.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':')) {
                return Err(Error::Usage("a certificate is named by the digits of its fingerprint".into()));
            }
            let of = if *request { "signing-requests" } else { "certificates" };
            agent.remove(&format!("/v1/{of}/{certificate}"))
        }
    }
}

fn list(agent: &super::Agent, json: bool) -> Result<()> {
    let listing: Value = agent.client()?.get("/v1/certificates")?;
    if json {
        return print_json(&listing);
    }
    texts(&listing, "problems").for_each(log);
    for one in rows(&listing, "certificates") {
        println!("{}", line(one));
        findings(one);
    }
    for request in rows(&listing, "signing-requests") {
        println!("request {}  {}  {}", text(request, "id"), names(request), text(request, "key"));
    }
    Ok(())
}

fn show(agent: &super::Agent, wanted: &str, json: bool) -> Result<()> {
    let listing: Value = agent.client()?.get("/v1/certificates")?;
    let digits: String = wanted.to_ascii_lowercase().replace(':', "");
    let is_wanted = |one: &&Value| {
        let own = wanted == "self-signed" && one.get("own") == Some(&json!(true));
        own || (digits.len() >= 4 && text(one, "fingerprint").starts_with(&digits))
    };
    let mut fitting = rows(&listing, "certificates").filter(is_wanted);
    let (Some(one), None) = (fitting.next(), fitting.next()) else {
        return Err(crate::certificates::Trouble::None(format!("\"{}\"", wanted.escape_debug())).into());
    };
    if json {
        return print_json(one);
    }
    println!("{}", line(one));
    for (name, field) in [("subject", "subject"), ("issuer", "issuer"), ("key", "key"), ("signature", "signature")] {
        println!("  {name}: {}", text(one, field));
    }
    println!("  fingerprint (SHA-256): {}", text(one, "fingerprint"));
    println!("  good: {} to {}", day(one, "not-before"), day(one, "not-after"));
    println!("  private key: {}", if one.get("has-key") == Some(&json!(true)) { "here" } else { "not here" });
    let above = rows(one, "above").map(|above| text(above, "subject")).collect::<Vec<_>>();
    println!(
        "  chain: {}, {}",
        one.pointer("/chain/state").and_then(Value::as_str).unwrap_or_default(),
        above.join(" > ")
    );
    findings(one);
    Ok(())
}

impl Import {
    fn run(&self, agent: &super::Agent) -> Result<()> {
        let file = Secret::new(STANDARD.encode(&*self.bytes()?));
        let mut order = ImportCertificate {
            file,
            passphrase: self.passphrase.named()?,
            names: self.name.clone(),
            check_only: self.check,
        };
        let client = agent.client()?;
        let mut answer = client.post::<Value>("/v1/certificates", &order);
        if order.passphrase.is_none() && answer.as_ref().is_err_and(|problem| problem.code() == "wrong-passphrase") {
            order.passphrase = self.passphrase.asked("Passphrase of the file: ")?;
            if order.passphrase.is_some() {
                answer = client.post("/v1/certificates", &order);
            }
        }
        say(&answer?);
        Ok(())
    }

    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let doing = || format!("read \"{}\"", self.file.display());
        let limit = u64::try_from(MAX_INPUT).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::new());
        if self.file == Path::new("-") {
            io::stdin().take(limit).read_to_end(&mut bytes).doing(doing)?;
        } else {
            File::open(&self.file).doing(doing)?.take(limit).read_to_end(&mut bytes).doing(doing)?;
        }
        if bytes.len() > MAX_INPUT {
            return Err(Error::Usage(format!("\"{}\" is longer than {MAX_INPUT} bytes", self.file.display())));
        }
        Ok(bytes)
    }
}

impl Export {
    fn run(&self, agent: &super::Agent) -> Result<()> {
        let has = |part| if self.parts.is_empty() { part != Part::Key } else { self.parts.contains(&part) };
        let locked = has(Part::Key) || self.format == Format::Pkcs12;
        let order = ExportCertificate {
            of: self.certificate.clone(),
            certificate: has(Part::Certificate),
            key: has(Part::Key),
            chain: has(Part::Chain),
            format: self.format,
            passphrase: if locked && self.unencrypted.is_none() { self.passphrase.new_one()? } else { None },
            confirm_unencrypted: self.unencrypted.clone(),
        };
        let answer: Value = agent.client()?.post("/v1/certificates/export", &order)?;
        let file = STANDARD.decode(text(&answer, "file")).map(Zeroizing::new);
        let file = file.map_err(|_| Error::Bug("the agent's answer is no base64".into()))?;
        let doing = || format!("write \"{}\"", self.output.display());
        if self.output == Path::new("-") {
            if self.format == Format::Pkcs12 && io::stdout().is_terminal() {
                return Err(Error::Usage("PKCS#12 is nothing for a terminal; name a file".into()));
            }
            return io::stdout().write_all(&file).doing(doing);
        }
        // Never over something that is there, and readable for nobody else.
        plain_file::write_new(&self.output, &file, 0o600).doing(doing)
    }
}

impl Csr {
    fn run(&self, agent: &super::Agent) -> Result<()> {
        let order = SigningRequest {
            names: self.names.clone(),
            renew: self.renew.clone(),
            key: self.key,
            subject: self.subject.clone(),
        };
        let answer: Value = agent.client()?.post("/v1/signing-requests", &order)?;
        print!("{}", text(&answer, "pem"));
        eprintln!(
            "have this signed by your authority, and import the certificate here: its key stays on the appliance"
        );
        Ok(())
    }
}

/// Steps and findings of an answer.
fn say(answer: &Value) {
    super::say_answer(answer);
    findings(answer);
}

fn findings(of: &Value) {
    for finding in rows(of, "findings") {
        println!("  {}: {} [{}]", text(finding, "text"), text(finding, "cure"), text(finding, "code"));
    }
}

fn line(one: &Value) -> String {
    let short: String = text(one, "fingerprint").chars().take(16).collect();
    let own = if one.get("own") == Some(&json!(true)) { ", the appliance's own" } else { "" };
    let bound: Vec<String> = rows(one, "bound").map(place).collect();
    let shown = if bound.is_empty() { "nobody".into() } else { bound.join(", ") };
    format!("{short}  {}  until {}  shown to {shown}{own}", names(one), day(one, "not-after"))
}

fn place(place: &Value) -> String {
    serde_json::from_value::<Place>(place.clone()).map(|place| place.to_string()).unwrap_or_default()
}

fn names(one: &Value) -> String {
    let all: Vec<&str> = texts(one, "names").chain(texts(one, "addresses")).collect();
    if all.is_empty() { text(one, "subject").to_owned() } else { all.join(", ") }
}

fn day(one: &Value, field: &str) -> String {
    formats::manifest::Date::shown(one.get(field).and_then(Value::as_i64).unwrap_or_default())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    rows(value, field).filter_map(Value::as_str)
}

fn rows<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}
