//! One bounded question to a web server of this machine.
//!
//! Our own forty lines instead of a client library: what is needed is a `GET` over HTTP/1.0 to a loopback address, without TLS,
//! redirects, proxies, compression or connection reuse, with one deadline over everything and a limit on what is read. The smallest
//! well-kept client brings eleven crates and no deadline over connecting, sending and reading together.
//!
//! The server may be broken or hostile: nothing of its answer is read beyond the limit or after the deadline, and its text reaches
//! people only through [`super::Finding`], which makes it safe.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use formats::health::LocalUrl;

use super::{Miss, Seen};

/// Asks and compares: the status first, then the text in what is read of the body.
pub fn look(url: &LocalUrl, status: u16, contains: Option<&str>, limit: u64, time: Duration) -> Seen {
    let end = Instant::now().checked_add(time);
    let left = || end.and_then(|end| end.checked_duration_since(Instant::now())).filter(|left| !left.is_zero());
    let late = || Miss::new(format!("no complete answer within {} s", time.as_secs()));
    let mut stream = TcpStream::connect_timeout(&url.address, time)
        .map_err(|problem| Miss::new(format!("cannot connect: {problem}")))?;
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: update-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path, url.address
    );
    let failed = |problem: std::io::Error| match problem.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => late(),
        _ => Miss::new(format!("the connection broke: {problem}")),
    };
    stream.set_write_timeout(Some(left().ok_or_else(late)?)).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Answer::default();
    let mut piece = [0; 4096];
    loop {
        if answer.suffices(status, contains) || answer.len() >= limit {
            break;
        }
        stream.set_read_timeout(Some(left().ok_or_else(late)?)).map_err(failed)?;
        let room = usize::try_from(limit.saturating_sub(answer.len())).unwrap_or(usize::MAX).min(piece.len());
        let read = match stream.read(piece.get_mut(..room).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => read,
            Err(problem) if problem.kind() == ErrorKind::Interrupted => continue,
            // Some servers reset a connection they have answered; what was read decides.
            Err(problem) if problem.kind() == ErrorKind::ConnectionReset && answer.len() > 0 => break,
            Err(problem) => return Err(failed(problem)),
        };
        answer.0.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    answer.judge(status, contains)
}

/// What was read so far.
#[derive(Default)]
struct Answer(Vec<u8>);

impl Answer {
    fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    /// Nothing that could still come changes the judgement.
    fn suffices(&self, status: u16, contains: Option<&str>) -> bool {
        let Some(body) = self.body() else { return false };
        let whole = self.length().is_some_and(|length| body.len() >= length);
        self.status() != Some(status) || whole || contains.is_none_or(|wanted| has(body, wanted))
    }

    fn judge(&self, status: u16, contains: Option<&str>) -> Seen {
        let found = self.status().ok_or_else(|| Miss::new("the answer is not HTTP"))?;
        if found != status {
            return Err(Miss::new(format!("status {found}")));
        }
        match (self.body(), contains) {
            (_, None) => Ok(()),
            (Some(body), Some(wanted)) if has(body, wanted) => Ok(()),
            _ => Err(Miss::new(format!("status {found}, and the text is not in the first {} bytes", self.0.len()))),
        }
    }

    /// `HTTP/1.1 200 ...`
    fn status(&self) -> Option<u16> {
        let line = self.0.split(|byte| *byte == b'\n').next()?;
        let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
        let code = rest.split_ascii_whitespace().nth(1)?;
        (code.len() == 3 && code.bytes().all(|digit| digit.is_ascii_digit())).then(|| code.parse().ok()).flatten()
    }

    /// What follows the empty line, once that is there.
    fn body(&self) -> Option<&[u8]> {
        let at = self.0.windows(4).position(|four| four == b"\r\n\r\n")?;
        self.0.get(at.saturating_add(4)..)
    }

    /// How long the server says its body is.
    fn length(&self) -> Option<usize> {
        let head = self.0.windows(4).position(|four| four == b"\r\n\r\n").and_then(|at| self.0.get(..at))?;
        let head = std::str::from_utf8(head).ok()?;
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
        value.trim().parse().ok()
    }
}

fn has(body: &[u8], wanted: &str) -> bool {
    body.windows(wanted.len().max(1)).any(|part| part == wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    /// A server that sends these pieces, a moment apart, and then waits for the other side to go.
    fn serve(pieces: &[&[u8]]) -> LocalUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            assert!(text.starts_with("GET /page HTTP/1.0\r\nHost: 127.0.0.1:"), "{text}");
            for piece in pieces {
                // The other side may have seen enough.
                if stream.write_all(&piece).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            drop(stream.read(&mut request));
        });
        LocalUrl { address, path: "/page".into() }
    }

    fn ask(pieces: &[&[u8]], contains: Option<&str>) -> Result<(), String> {
        look(&serve(pieces), 200, contains, 4096, Duration::from_secs(1)).map_err(|miss| miss.saw)
    }

    #[test]
    fn a_page_with_the_wanted_status_and_text_is_well_and_the_connection_need_not_end() {
        assert_eq!(ask(&[b"HTTP/1.1 200 OK\r\n\r\nAll is ", b"well here"], Some("is well")), Ok(()));
        assert_eq!(ask(&[b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n"], None), Ok(()));
        assert_eq!(ask(&[b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell"], Some("well")), Ok(()));
    }

    #[test]
    fn every_other_answer_says_what_was_seen() {
        let missing = |text: &str| format!("the text is not in the first {text} bytes");
        for (pieces, expected) in [
            (vec![b"HTTP/1.1 500 Oh no\r\n\r\nAll is well".as_slice()], "status 500".to_owned()),
            (vec![b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad".as_slice()], missing("41")),
            (vec![b"SSH-2.0-dropbear\r\n\r\n".as_slice()], "the answer is not HTTP".to_owned()),
            (vec![b"HTTP/1.1 20 OK\r\n\r\n".as_slice()], "the answer is not HTTP".to_owned()),
            (vec![b"HTTP/1.1 200 OK\r\n\r\nAll".as_slice()], "no complete answer within 1 s".to_owned()),
            (vec![b"".as_slice()], "no complete answer within 1 s".to_owned()),
        ] {
            let seen = ask(&pieces, Some("All is well")).unwrap_err();
            assert!(seen.contains(&expected), "{seen} instead of {expected}");
        }
    }

    #[test]
    fn an_answer_without_end_is_read_up_to_its_limit_and_no_longer() {
        let long = vec![b'x'; 64 << 10];
        let mut pieces = vec![b"HTTP/1.1 200 OK\r\n\r\n".as_slice()];
        pieces.extend(std::iter::repeat_n(long.as_slice(), 16));
        let started = Instant::now();
        assert!(ask(&pieces, Some("well")).unwrap_err().contains("not in the first 4096 bytes"));
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_server_that_trickles_is_given_up_at_the_time_limit() {
        let pieces = vec![b"H".as_slice(); 1000];
        let started = Instant::now();
        assert_eq!(ask(&pieces, None).unwrap_err(), "no complete answer within 1 s");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[test]
    fn nothing_listening_is_said_so() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = LocalUrl { address, path: "/".into() };
        let seen = look(&url, 200, None, 10, Duration::from_secs(1)).unwrap_err();
        assert!(seen.saw.starts_with("cannot connect: "), "{seen:?}");
    }
}
