//! The network card of a machine: host ports forwarded to the guest, always on 127.0.0.1, what answers the guest, and the small HTTP
//! client that asks what the guest answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// A network card, and what can be reached through it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Card {
    /// The host's network too.
    pub outside: bool,
    /// Options for addresses at which programs answer.
    answers: Vec<String>,
}

impl Card {
    /// Starts `command` for each connection of the guest to `address`.
    pub fn answer(&mut self, address: &str, command: &[String]) {
        // Taken apart by the emulator as a shell would; its own options end at a single comma.
        let words = command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''").replace(',', ",,")));
        let command = words.collect::<Vec<_>>().join(" ");
        self.answers.push(format!(",guestfwd=tcp:{address}-cmd:{command}"));
    }

    /// The emulator's arguments.
    pub fn arguments(&self, forwards: &[Forward]) -> Vec<String> {
        let ports: String = forwards.iter().map(|forward| forward.argument()).collect();
        let restrict = if self.outside { "off" } else { "on" };
        let network = format!("user,id=net0,restrict={restrict}{ports}{}", self.answers.concat());
        // no option ROM: nothing boots from the network
        ["-netdev", &network, "-device", "virtio-net-pci,netdev=net0,romfile="].map(str::to_owned).to_vec()
    }
}

/// A TCP port of the guest reachable on the host's loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port on 127.0.0.1; 0 asks for a free one at each start.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

impl Forward {
    /// With a free host port chosen when nothing else was asked for. Another program may take it before the emulator does:
    /// the caller then starts again.
    pub(crate) fn resolve(self) -> Result<Self> {
        if self.host != 0 {
            return Ok(self);
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| Error::Environment(format!("cannot find a free port on 127.0.0.1: {error}")))?;
        Ok(Self { host: free.port(), ..self })
    }

    pub(crate) fn argument(self) -> String {
        format!(",hostfwd=tcp:127.0.0.1:{}-:{}", self.host, self.guest)
    }
}

impl std::str::FromStr for Forward {
    type Err = String;

    /// `HOST:GUEST`, or `GUEST` alone for a free host port.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (host, guest) = text.split_once(':').unwrap_or(("0", text));
        let port = |text: &str| text.parse::<u16>().map_err(|_| format!("\"{text}\" is not a port from 0 to 65535"));
        let (host, guest) = (port(host)?, port(guest)?);
        if guest == 0 {
            return Err("the guest's port cannot be 0; give HOST:GUEST, such as 8080:80".to_owned());
        }
        Ok(Self { host, guest })
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Everything after the header.
    pub body: String,
}

/// Asks `http://127.0.0.1:port/path` (HTTP/1.0, RFC 1945) until it answers, or says why it did not.
///
/// The emulator accepts connections before the guest listens and closes them again, so one try proves nothing.
pub(crate) fn http_get(port: u16, path: &str, timeout: Duration) -> std::result::Result<Response, String> {
    let deadline = Instant::now() + timeout;
    loop {
        let error = match try_get(port, path) {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(format!(
                "no answer from http://127.0.0.1:{port}{path} within {} s: {error}",
                timeout.as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn try_get(port: u16, path: &str) -> std::result::Result<Response, String> {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into();
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(text)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").map_err(text)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(text)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| format!("{} bytes that are no HTTP answer", answer.len()))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, body: body.to_owned() })
}

const MAX_ANSWER: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_parse_with_and_without_a_host_port() {
        assert_eq!("8080:80".parse(), Ok(Forward { host: 8080, guest: 80 }));
        assert_eq!("443".parse(), Ok(Forward { host: 0, guest: 443 }));
        for text in ["", "x:80", "80:", "0", "8080:0", "70000:80", "1:2:3"] {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_free_port_is_chosen_only_when_none_was_given() {
        assert_ne!(Forward { host: 0, guest: 80 }.resolve().unwrap().host, 0);
        assert_eq!(Forward { host: 8080, guest: 80 }.resolve().unwrap().host, 8080);
    }

    #[test]
    fn http_answers_are_read_and_other_bytes_refused() {
        let response = parse("HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello").unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, "hello"));
        for answer in ["", "hello", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(parse(answer), None, "{answer}");
        }
    }

    #[test]
    fn a_closed_port_is_reported_with_its_address() {
        let port = Forward { host: 0, guest: 80 }.resolve().unwrap().host;
        let error = http_get(port, "/status", Duration::ZERO).unwrap_err();
        assert!(error.contains(&format!("http://127.0.0.1:{port}/status")), "{error}");
    }
}
