//! The process itself: the asking program on file descriptor 1, servers on the network.
//!
//! Known attacks and our defence: a server that sends without end (a limit for each file), that says nothing (seconds for each step),
//! that sends a head without end (16 KiB), that leads elsewhere (three redirects at most, and where the bytes come from does not matter to
//! whoever verifies them), that unpacks to more than it sends (nothing is unpacked), that takes this process over (nothing to gain but
//! bytes that have to be signed).

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Response;
use ureq::http::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};

use super::wire::{Answer, End, MAX_MESSAGE, MAX_PIECE, Order, Speed};
use crate::api::channel;
use crate::error::{Doing, Error, Result};
use crate::reader::confine::{Limits, close_inherited, confine};

/// The user this process becomes: its own, so that neither a reader of packages nor the process that serves clients can touch it.
pub const USER: u32 = 65_532;

/// Gives away every right but the network, then fetches until nobody asks any more.
pub fn run() -> Result<()> {
    close_inherited();
    let stream = io::stdout().as_fd().try_clone_to_owned().map(UnixStream::from);
    let mut stream = stream.doing(|| "use file descriptor 1".into())?;
    if stream.peer_addr().is_err() {
        return Err(Error::Usage("\"fetch\" is started by update-agent itself, with a socket to hand bytes to".into()));
    }
    let unconfined =
        confine(&Limits { user: USER, memory: MEMORY, open_files: OPEN_FILES, processes: 0, network: true })?;
    let talking = || "talk to the program that asks".to_owned();
    channel::send(&mut stream, &unconfined, MAX_MESSAGE).doing(talking)?;
    let Some(speed) = channel::receive::<Speed>(&mut stream, MAX_MESSAGE).doing(talking)? else { return Ok(()) };
    let agent = agent(speed.proxy.as_deref());
    while let Some(order) = channel::receive::<Order>(&mut stream, MAX_MESSAGE).doing(talking)? {
        match &agent {
            Ok(agent) => serve(agent, &order, speed.bandwidth, &mut stream).doing(talking)?,
            Err(why) => {
                channel::send(&mut stream, &Answer::Failed { why: why.clone() }, MAX_MESSAGE).doing(talking)?;
            }
        }
    }
    Ok(())
}

fn agent(proxy: Option<&str>) -> std::result::Result<Agent, String> {
    let proxy = proxy.map(ureq::Proxy::new).transpose().map_err(|problem| format!("the proxy: {problem}"))?;
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(proxy)
        .max_redirects(3)
        .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(16 << 10)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .timeout_per_write(Some(PATIENCE));
    Ok(config.build().new_agent())
}

/// One file. Fails only when nobody listens.
fn serve(agent: &Agent, order: &Order, bandwidth: Option<u64>, output: &mut impl Write) -> io::Result<()> {
    let (answer, response) = asked(agent, order);
    channel::send(output, &answer, MAX_MESSAGE)?;
    let Some(response) = response else { return Ok(()) };
    let mut body = response.into_body().into_reader();
    let from = if let Answer::Found { from } = answer { from } else { 0 };
    let end = hand_over(&mut body, order.until.saturating_sub(from), bandwidth, output)?;
    output.write_all(&0_u32.to_le_bytes())?;
    channel::send(output, &end, MAX_MESSAGE)
}

fn asked(agent: &Agent, order: &Order) -> (Answer, Option<Response<ureq::Body>>) {
    let mut request = agent.get(&order.url).header(ACCEPT_ENCODING, "identity");
    if order.from > 0 {
        request = request.header(RANGE, format!("bytes={}-", order.from));
    }
    let failed = |why: String| (Answer::Failed { why: why.chars().take(TEXT).collect() }, None);
    let response = match request.call() {
        Ok(response) => response,
        Err(problem) => return failed(told(&problem)),
    };
    match response.status().as_u16() {
        200 => (Answer::Found { from: 0 }, Some(response)),
        206 => match first_byte(&response) {
            Some(from) if from == order.from => (Answer::Found { from }, Some(response)),
            _ => failed("it sends another part of the file than was asked for".into()),
        },
        404 | 410 => (Answer::Missing, None),
        status => failed(format!("HTTP status {status}")),
    }
}

/// The first byte of `Content-Range: bytes 100-199/200`.
fn first_byte(response: &Response<ureq::Body>) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn hand_over(body: &mut impl Read, limit: u64, bandwidth: Option<u64>, output: &mut impl Write) -> io::Result<End> {
    let begun = Instant::now();
    // Slowly means small pieces, not long silence.
    let longest = bandwidth.map_or(u64::from(MAX_PIECE), |bandwidth| bandwidth.min(MAX_PIECE.into()));
    let mut piece = vec![0; usize::try_from(longest).unwrap_or_default().max(1)];
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
        if let Some(bandwidth) = bandwidth {
            let due = sent.saturating_mul(1000).checked_div(bandwidth).map_or(Duration::ZERO, Duration::from_millis);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
}

fn told(problem: &ureq::Error) -> String {
    match problem {
        ureq::Error::HostNotFound => "its name is not found; check the name and the appliance's name servers".into(),
        ureq::Error::TlsRequired => "this agent has no TLS; depots are signed, name it with http://".into(),
        ureq::Error::Io(problem) => problem.to_string(),
        problem => problem.to_string(),
    }
}

const MEMORY: u64 = 256 << 20;
const OPEN_FILES: u64 = 32;
const PATIENCE: Duration = Duration::from_secs(30);
/// Characters of a reason.
const TEXT: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_what_is_wanted_is_handed_over() {
        let handed = |limit| {
            let mut output = Vec::new();
            (hand_over(&mut &[7_u8; 10][..], limit, None, &mut output).unwrap(), output.len())
        };
        assert_eq!(handed(10), (End::Complete, 14));
        assert_eq!(handed(9), (End::TooLong, 13));
        assert_eq!(handed(0), (End::TooLong, 0));
    }

    #[test]
    fn a_cap_on_the_bandwidth_is_kept() {
        let begun = Instant::now();
        hand_over(&mut &vec![0; 256 << 10][..], 1 << 20, Some(1 << 20), &mut Vec::new()).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(240), "{:?}", begun.elapsed());
    }
}
