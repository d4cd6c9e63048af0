//! Servers on this machine that an appliance meets on its way: certificates, a proxy, and a mail server that keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// An authority, and what it vouches for.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number = hex::encode(&key.public_key_raw()[1..9]);
        parameters.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// A server with this name, whose certificate is good until the end of this year.
    pub fn server(&self, name: &str, until: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(until, 12, 31);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private);
        Arc::new(config.unwrap())
    }
}

/// A connection, encrypted.
pub fn encrypted(stream: TcpStream, config: &Arc<ServerConfig>) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
}

/// An HTTP proxy that passes connections on, and whom it was asked for.
pub struct Proxy {
    pub url: String,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `login`: `user:password` in base64, without which nobody gets anywhere.
    pub fn start(login: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(pass_on(stream.unwrap(), login, &shared)));
            }
        });
        Self { url, asked }
    }
}

fn pass_on(mut stream: TcpStream, login: Option<&str>, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let (mut target, mut known) = (String::new(), login.is_none());
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix("CONNECT ") {
            target = rest.split(' ').next().unwrap_or_default().into();
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("proxy-authorization")
        {
            known |= login.is_some_and(|login| value == format!("Basic {login}"));
        }
        if line.is_empty() {
            break;
        }
    }
    asked.lock().unwrap().push(target.clone());
    if !known {
        return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    let server = TcpStream::connect(&target)?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut up, mut down) = (server.try_clone()?, server);
    std::thread::spawn(move || drop(std::io::copy(&mut input, &mut up)));
    std::io::copy(&mut down, &mut stream).map(drop)
}

/// A letter as a mail server took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    /// Who logged in, `\0user\0password` in base64.
    pub login: Option<String>,
    pub encrypted: bool,
    /// Headers, an empty line, the text; lines end with a line feed.
    pub data: String,
}

impl Taken {
    /// The text, decoded.
    pub fn text(&self) -> String {
        let (head, body) = self.data.split_once("\n\n").unwrap();
        match head {
            _ if head.contains("Content-Transfer-Encoding: quoted-printable") => unquoted(&body.replace("=\n", "")),
            _ if head.contains("Content-Transfer-Encoding: base64") => panic!("no test needs base64: {}", self.data),
            _ => body.to_owned(),
        }
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.data.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }
}

fn unquoted(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('=') {
        bytes.extend(rest[..at].bytes());
        bytes.push(u8::from_str_radix(&rest[at + 1..at + 3], 16).unwrap());
        rest = &rest[at + 3..];
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).unwrap()
}

/// What a mail server does.
#[derive(Clone, Default)]
pub struct Habits {
    /// Encrypts, when it is asked to.
    pub starttls: Option<Arc<ServerConfig>>,
    /// Encrypts from the first byte.
    pub tls: Option<Arc<ServerConfig>>,
    /// Takes mail only of whoever logs in with this.
    pub login: Option<&'static str>,
}

/// A mail server.
pub struct Sink {
    pub port: u16,
    pub taken: Arc<Mutex<Vec<Taken>>>,
    /// Takes nothing for now.
    pub sulks: Arc<Mutex<bool>>,
}

impl Sink {
    pub fn start(habits: Habits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, sulks) = (Arc::<Mutex<Vec<Taken>>>::default(), Arc::<Mutex<bool>>::default());
        let (letters, mood) = (Arc::clone(&taken), Arc::clone(&sulks));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (letters, mood, habits) = (Arc::clone(&letters), Arc::clone(&mood), habits.clone());
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    let talk = Talk { habits: &habits, sulks: *mood.lock().unwrap(), letters: &letters };
                    // A client that went away is its own affair.
                    drop(talk.begin(stream));
                });
            }
        });
        Self { port, taken, sulks }
    }

    pub fn letters(&self) -> Vec<Taken> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }
}

struct Talk<'a> {
    habits: &'a Habits,
    sulks: bool,
    letters: &'a Mutex<Vec<Taken>>,
}

/// How a conversation ended.
enum End {
    Quit,
    /// The client wants to go on encrypted.
    Encrypt,
}

impl Talk<'_> {
    fn begin(&self, stream: TcpStream) -> std::io::Result<()> {
        if let Some(config) = &self.habits.tls {
            let mut stream = BufReader::new(encrypted(stream, config));
            stream.get_mut().write_all(b"220 sink\r\n")?;
            return self.talk(&mut stream, true).map(drop);
        }
        let mut plain = BufReader::new(stream);
        plain.get_mut().write_all(b"220 sink\r\n")?;
        match (self.talk(&mut plain, false)?, &self.habits.starttls) {
            (End::Encrypt, Some(config)) => {
                self.talk(&mut BufReader::new(encrypted(plain.into_inner(), config)), true).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn talk<S: Read + Write>(&self, stream: &mut BufReader<S>, encrypted: bool) -> std::io::Result<End> {
        let mut letter = Taken { from: String::new(), to: Vec::new(), login: None, encrypted, data: String::new() };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(End::Quit);
            }
            let line = line.trim_end().to_owned();
            let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let argument = line.split_once([' ', ':']).map(|(_, rest)| rest.to_owned()).unwrap_or_default();
            let needs_login = self.habits.login.is_some() && letter.login.is_none();
            let answer = match word.as_str() {
                "EHLO" => self.greeting(encrypted),
                "STARTTLS" if self.habits.starttls.is_some() && !encrypted => {
                    stream.get_mut().write_all(b"220 go\r\n")?;
                    return Ok(End::Encrypt);
                }
                "AUTH" => match argument.strip_prefix("PLAIN ").filter(|login| self.habits.login == Some(login)) {
                    Some(login) => {
                        letter.login = Some(login.into());
                        "235 welcome\r\n".into()
                    }
                    None => "535 5.7.8 who are you\r\n".into(),
                },
                "MAIL" if needs_login => "530 5.7.0 log in first\r\n".into(),
                "MAIL" if self.sulks => "451 4.3.0 not in the mood\r\n".into(),
                "MAIL" => {
                    letter.from = argument;
                    "250 ok\r\n".into()
                }
                "RCPT" => {
                    letter.to.push(argument);
                    "250 ok\r\n".into()
                }
                "DATA" => {
                    stream.get_mut().write_all(b"354 go on\r\n")?;
                    letter.data = data(stream)?;
                    self.letters.lock().unwrap().push(letter.clone());
                    "250 taken\r\n".into()
                }
                "QUIT" => {
                    stream.get_mut().write_all(b"221 bye\r\n")?;
                    return Ok(End::Quit);
                }
                _ => "500 what\r\n".into(),
            };
            stream.get_mut().write_all(answer.as_bytes())?;
        }
    }

    fn greeting(&self, encrypted: bool) -> String {
        let mut lines = vec!["sink", "8BITMIME"];
        if self.habits.starttls.is_some() && !encrypted {
            lines.push("STARTTLS");
        }
        if self.habits.login.is_some() && encrypted {
            lines.push("AUTH PLAIN");
        }
        let last = lines.pop().unwrap();
        let more: Vec<String> = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        format!("{}250 {last}\r\n", more.concat())
    }
}

/// The lines up to a single dot, doubled dots taken back.
fn data(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line.trim_end() == "." {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line).trim_end_matches(['\r', '\n']));
        text.push('\n');
    }
}
