//! Many connections at the same time: what they cost, and that nobody is kept out by them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::web_console::Console;

#[test]
fn a_thousand_idle_and_two_hundred_active_connections_take_at_most_64_mib() {
    let console = Console::new();
    console.claim();
    let session = console.session();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(4096), most).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answered = runtime.block_on(async {
        let mut idle = Vec::new();
        for number in 0..IDLE {
            idle.push(connect(console.address, 2 + number / 50).await);
        }
        let mut active = Vec::new();
        for number in 0..ACTIVE {
            // A session is good from the address it was begun at; the others are sent to sign in.
            let client = connect(console.address, if number < ACTIVE / 2 { 1 } else { 200 }).await;
            active.push(tokio::spawn(look_twice(client, session.clone())));
        }
        let mut answered = 0;
        for one in active {
            answered += one.await.unwrap();
        }
        // None of those who said nothing was hung up on.
        let last = idle.pop().unwrap();
        assert_eq!(look_twice(last, session.clone()).await, 2);
        answered
    });
    assert_eq!(answered, 2 * ACTIVE);
    let peak = peak_kib(console.process());
    println!("{IDLE} idle and {ACTIVE} active connections: the process of the console took {peak} KiB at most");
    assert!((4 << 10..=64 << 10).contains(&peak), "{peak} KiB");
}

#[test]
fn one_address_cannot_take_every_connection_from_the_others() {
    let console = Console::new();
    let idle: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(console.address).unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answered = runtime.block_on(async {
        let other = connect(console.address, 9).await;
        look_twice(other, String::new()).await
    });
    assert_eq!(answered, 2, "from elsewhere");
    assert!(console.try_curl(&["/sign-in"]).is_none(), "from the same address");
    drop(idle);
    let again = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        console.try_curl(&["/sign-in"]).is_some()
    });
    assert!(again, "the address is welcome again");
}

/// A connection after its handshake, from `127.0.0.HOST`.
async fn connect(to: SocketAddr, host: usize) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    let host = u8::try_from(host).unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 0)).unwrap();
    let stream = socket.connect(to).await.unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("appliance.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Asks for a page, twice on the same connection, and counts the answers that are whole.
async fn look_twice(mut stream: TlsStream<TcpStream>, session: String) -> usize {
    let mut answered = 0;
    for last in [false, true] {
        let close = if last { "close" } else { "keep-alive" };
        let question = format!(
            "GET /network HTTP/1.1\r\nHost: appliance.example\r\nCookie: __Host-session={session}\r\nConnection: {close}\r\n\r\n"
        );
        stream.write_all(question.as_bytes()).await.unwrap();
        answered += usize::from(timeout(PATIENCE, one_answer(&mut stream)).await.unwrap());
    }
    answered
}

/// Whether a whole answer came.
async fn one_answer(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_some_and(|length| body.len() >= length.parse().unwrap()) {
                return head.starts_with("http/1.1 200") || head.starts_with("http/1.1 303");
            }
        }
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend(&piece[..read]),
            _ => return false,
        }
    }
}

fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Believes every certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

const IDLE: usize = 1000;
const ACTIVE: usize = 200;
/// For one answer among many.
const PATIENCE: Duration = Duration::from_mins(1);
