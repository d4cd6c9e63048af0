//! Files by HTTP and HTTPS.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Instant;

use ureq::http::Response;
use ureq::http::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use ureq::{Agent, ProxyProtocol};

use super::pace::Pace;
use super::tls::{self, Authorities};
use super::wire::{Answer, End, MAX_MESSAGE, MAX_PIECE, Means, Proxy};
use super::{PATIENCE, TEXT};
use crate::api::channel;

/// Where files come from.
pub(super) struct Web {
    agent: Agent,
    pace: Option<Pace>,
    /// What the pace counts from.
    started: Instant,
}

/// What is wanted of a file.
pub(super) struct Part {
    /// First byte that is wanted.
    pub(super) from: u64,
    /// The first byte that is not wanted any more.
    pub(super) until: u64,
}

impl Web {
    /// The same for all files of a process.
    pub(super) fn new(means: &Means, authorities: &Authorities) -> Result<Self, String> {
        let proxy = means.proxy.as_ref().map(proxy).transpose().map_err(|problem| format!("the proxy: {problem}"))?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(proxy)
            .tls_config(authorities.for_web())
            .max_redirects(3)
            .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(16 << 10)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE));
        let pace = means.bandwidth.map(Pace::new);
        Ok(Self { agent: config.build().new_agent(), pace, started: Instant::now() })
    }

    /// One file. Fails only when nobody listens.
    pub(super) fn serve(&mut self, url: &str, part: &Part, output: &mut impl Write) -> io::Result<()> {
        let (answer, response) = self.asked(url, part);
        channel::send(output, &answer, MAX_MESSAGE)?;
        let Some(response) = response else { return Ok(()) };
        let mut body = response.into_body().into_reader();
        let from = if let Answer::Found { from } = answer { from } else { 0 };
        let end = self.hand_over(&mut body, part.until.saturating_sub(from), output)?;
        output.write_all(&0_u32.to_le_bytes())?;
        channel::send(output, &end, MAX_MESSAGE)
    }

    fn asked(&self, url: &str, part: &Part) -> (Answer, Option<Response<ureq::Body>>) {
        // What began encrypted never goes on without.
        let encrypted = url.starts_with("https://");
        let request = self.agent.get(url).config().https_only(encrypted).build();
        let mut request = request.header(ACCEPT_ENCODING, "identity");
        if part.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.from));
        }
        let failed = |why: String| (Answer::Failed { why: why.chars().take(TEXT).collect() }, None);
        let response = match request.call() {
            Ok(response) => response,
            Err(problem) => return failed(told(&problem)),
        };
        match response.status().as_u16() {
            200 => (Answer::Found { from: 0 }, Some(response)),
            206 => match first_byte(&response) {
                Some(from) if from == part.from => (Answer::Found { from }, Some(response)),
                _ => failed("it sends another part of the file than was asked for".into()),
            },
            404 | 410 => (Answer::Missing, None),
            status => failed(format!("HTTP status {status}")),
        }
    }

    fn hand_over(&mut self, body: &mut impl Read, limit: u64, output: &mut impl Write) -> io::Result<End> {
        let most = usize::try_from(MAX_PIECE).unwrap_or_default();
        let mut piece = vec![0; self.pace.as_ref().map_or(most, |pace| pace.piece(MAX_PIECE))];
        let mut sent = 0_u64;
        loop {
            let read = match body.read(&mut piece) {
                Ok(0) => return Ok(End::Complete),
                Ok(read) => read,
                Err(problem) if problem.kind() == io::ErrorKind::Interrupted => continue,
                Err(problem) => return Ok(End::Cut { why: problem.to_string().chars().take(TEXT).collect() }),
            };
            let left = limit.saturating_sub(sent);
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(read);
            let bytes = piece.get(..wanted).unwrap_or_default();
            if !bytes.is_empty() {
                output.write_all(&u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes())?;
                output.write_all(bytes)?;
                sent = sent.saturating_add(bytes.len() as u64);
            }
            if wanted < read {
                return Ok(End::TooLong);
            }
            if let Some(pace) = &mut self.pace {
                thread::sleep(pace.passed(self.started.elapsed(), bytes.len() as u64));
            }
        }
    }
}

fn proxy(proxy: &Proxy) -> Result<ureq::Proxy, ureq::Error> {
    let Some(login) = &proxy.login else { return ureq::Proxy::new(&proxy.url) };
    let plain = ureq::Proxy::new(&proxy.url)?;
    ureq::Proxy::builder(ProxyProtocol::Http)
        .host(plain.host())
        .port(plain.port())
        .username(&login.user)
        .password(&login.password.0)
        .build()
}

/// The first byte of `Content-Range: bytes 100-199/200`.
fn first_byte(response: &Response<ureq::Body>) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn told(problem: &ureq::Error) -> String {
    let unknown_name = "its name is not found; check the name and the appliance's name servers";
    match problem {
        ureq::Error::HostNotFound => unknown_name.into(),
        ureq::Error::RequireHttpsOnly(url) => format!("it leads from https:// to \"{url}\", which is not encrypted"),
        ureq::Error::ConnectProxyFailed(why) if why.contains("407") => {
            "the proxy wants to know who asks: set \"proxy-user\" and \"proxy-password-file\" in depot.json".into()
        }
        ureq::Error::ConnectProxyFailed(why) => {
            format!("the proxy does not pass it on ({why}); ask whoever runs it to allow CONNECT")
        }
        ureq::Error::Rustls(problem) => tls::words(problem).unwrap_or_else(|| problem.to_string()),
        ureq::Error::Io(problem) => tls::words(problem).unwrap_or_else(|| problem.to_string()),
        problem => problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn web(bandwidth: Option<u64>) -> Web {
        let means = Means { bandwidth, ..Means::default() };
        Web::new(&means, &Authorities::new(None).unwrap()).unwrap()
    }

    #[test]
    fn no_more_than_what_is_wanted_is_handed_over() {
        let handed = |limit| {
            let mut output = Vec::new();
            (web(None).hand_over(&mut &[7_u8; 10][..], limit, &mut output).unwrap(), output.len())
        };
        assert_eq!(handed(10), (End::Complete, 14));
        assert_eq!(handed(9), (End::TooLong, 13));
        assert_eq!(handed(0), (End::TooLong, 0));
    }

    #[test]
    fn a_cap_on_the_bandwidth_is_kept_over_one_file_and_the_next() {
        let mut web = web(Some(1 << 20));
        let begun = Instant::now();
        for _ in 0..2 {
            web.hand_over(&mut &vec![0; 256 << 10][..], 1 << 20, &mut Vec::new()).unwrap();
        }
        // Half a second, less the last piece.
        assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    }
}
