//! Messages between the process that has the socket and the keeper: four bytes of length (little-endian), then JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Sends one message of at most `limit` bytes.
pub fn send(output: &mut impl Write, message: &impl Serialize, limit: usize) -> io::Result<()> {
    output.write_all(&encode(message, limit)?)
}

/// The bytes of one message.
pub fn encode(message: &impl Serialize, limit: usize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= limit);
    let length = length.ok_or_else(|| invalid(format!("a message of {} bytes", json.len())))?;
    Ok([&length.to_le_bytes(), json.as_slice()].concat())
}

/// Receives one message of at most `limit` bytes; nothing when the other side is gone.
pub fn receive<T: DeserializeOwned>(input: &mut impl Read, limit: usize) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    match input.read_exact(&mut header) {
        Err(problem) if problem.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut json = vec![0; length(header, limit)?];
    input.read_exact(&mut json)?;
    serde_json::from_slice(&json).map(Some).map_err(|problem| invalid(problem.to_string()))
}

/// The length in a header, within its limit.
pub fn length(header: [u8; 4], limit: usize) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length <= limit {
        Ok(length)
    } else {
        Err(invalid(format!("a message of {length} bytes; at most {limit} are allowed")))
    }
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Envelope, MAX_REQUEST, Package, Peer, Request};

    fn envelope(request: Request) -> Envelope {
        Envelope { id: 7, peer: Peer { user: 0, process: 412 }, request }
    }

    #[test]
    fn requests_come_out_as_they_went_in() {
        for request in [Request::Status, Request::Eula(Package::Staged("00ff".into())), Request::Commit] {
            let mut bytes = Vec::new();
            send(&mut bytes, &envelope(request.clone()), MAX_REQUEST).unwrap();
            let back: Envelope = receive(&mut bytes.as_slice(), MAX_REQUEST).unwrap().unwrap();
            assert_eq!(back, envelope(request));
        }
    }

    #[test]
    fn what_is_too_long_cut_or_no_request_is_refused() {
        let received = |bytes: &[u8]| receive::<Envelope>(&mut &bytes[..], MAX_REQUEST);
        assert!(received(b"").unwrap().is_none());
        assert!(received(&[1, 0, 1, 0]).unwrap_err().to_string().contains("65537 bytes; at most 65536"));
        assert!(received(&[0xff; 8]).is_err());
        assert!(received(&[9, 0, 0, 0, b'{']).is_err());
        for json in [
            "{}",
            "[]",
            r#"{"id":1,"peer":{"user":0,"process":1},"request":"format-disk"}"#,
            r#"{"id":1,"peer":{"user":0,"process":1},"request":"install","body":{}}"#,
            r#"{"id":1,"peer":{"user":0,"process":1},"request":"install","body":{"package":{"file":"/x"},"force":true}}"#,
            r#"{"id":-1,"peer":{"user":0,"process":1},"request":"status"}"#,
        ] {
            let bytes = [&u32::try_from(json.len()).unwrap().to_le_bytes(), json.as_bytes()].concat();
            assert!(received(&bytes).is_err(), "{json}");
        }
    }
}
