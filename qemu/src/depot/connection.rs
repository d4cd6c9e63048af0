//! One connection of a guest to the depot: a request on standard input, the file on standard output, then the end.
//!
//! HTTP/1.1 with `GET` and ranges to the end of the file, as much as clients of depots need. Only plain names below the folder
//! are served. Standard error leads to the guest as well: nothing is ever printed there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{LOG, ORDER, Order, tls};

/// Both directions of a connection.
struct Both<R, W>(R, W);

impl<R: Read, W> Read for Both<R, W> {
    fn read(&mut self, piece: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(piece)
    }
}

impl<R, W: Write> Write for Both<R, W> {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.1.write(piece)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.1.flush()
    }
}

/// Serves one request as the order in `state` says. What fails ends the connection: the guest sees that it broke off.
pub fn serve(state: &Path, input: impl Read, output: impl Write) {
    // The guest sees the same end from its side, and nobody else listens.
    drop(answer(state, &mut Both(input, output)));
}

/// The same, encrypted.
pub fn serve_encrypted(state: &Path, input: impl Read, output: impl Write) {
    let Ok(mut stream) = tls::encrypted(state, Both(input, output)) else { return };
    drop(answer(state, &mut stream));
    stream.conn.send_close_notify();
    drop(stream.flush());
}

fn answer(state: &Path, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    let Some(order) = order(state) else { return Ok(()) };
    let head = head(stream)?;
    let output = stream;
    let Some((path, from)) = request(&head) else { return refuse(output, "400 Bad Request") };
    let authority = tls::AUTHORITIES.into_iter().find(|name| path.strip_prefix('/') == Some(*name));
    let place = authority.map_or_else(|| plain(&order.folder, path), |name| Some(state.join(name)));
    let Some(mut file) = place.and_then(|path| File::open(path).ok()) else {
        return refuse(output, "404 Not Found");
    };
    let length = file.metadata()?.len();
    if from > 0 && from >= length {
        return refuse(output, "416 Range Not Satisfiable");
    }
    file.seek(SeekFrom::Start(from))?;
    let status = if from == 0 {
        "200 OK".to_owned()
    } else {
        format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}", length - 1)
    };
    let rest = length - from;
    write!(output, "HTTP/1.1 {status}\r\nContent-Length: {rest}\r\nConnection: close\r\n\r\n")?;
    let mut log = OpenOptions::new().append(true).create(true).open(state.join(LOG))?;
    let mut note = |bytes: usize| log.write_all(format!("{bytes} {length} {path}\n").as_bytes());
    note(0)?;
    let mut piece = vec![0; PIECE];
    loop {
        // Looked at anew: somebody may have switched the depot off, or made it slower.
        let now = self::order(state).filter(|now| now.breaks == order.breaks);
        let Some(order) = now else { return Ok(()) };
        let most =
            order.rate.map_or(PIECE, |rate| usize::try_from(rate / TURNS).map_or(PIECE, |part| part.clamp(1, PIECE)));
        let read = file.read(&mut piece[..most])?;
        if read == 0 {
            return output.flush();
        }
        output.write_all(&piece[..read])?;
        output.flush()?;
        note(read)?;
        if order.rate.is_some() {
            std::thread::sleep(Duration::from_secs(1) / u32::try_from(TURNS).unwrap_or(1));
        }
    }
}

/// The order, while the depot is on.
fn order(state: &Path) -> Option<Order> {
    let text = std::fs::read(state.join(ORDER)).ok()?;
    serde_json::from_slice::<Order>(&text).ok().filter(|order| order.on)
}

/// What a client says up to the empty line.
fn head(input: &mut impl Read) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD && input.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The path that is asked for, and the first byte that is wanted.
fn request(head: &str) -> Option<(&str, u64)> {
    let (first, fields) = head.split_once("\r\n")?;
    let path = first.strip_prefix("GET ")?.split(' ').next()?;
    let range = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("range").then(|| value.trim())
    });
    let from = range.map_or(Some(0), |range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    Some((path, from?))
}

/// The file of a path with plain names only.
fn plain(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut place = folder.to_owned();
    for name in path.strip_prefix('/')?.split('/') {
        if name.is_empty() || name.starts_with('.') || name.contains(['%', '\0', '\\']) {
            return None;
        }
        place.push(name);
    }
    place.is_file().then_some(place)
}

fn refuse(output: &mut impl Write, status: &str) -> std::io::Result<()> {
    write!(output, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    output.flush()
}

/// Sent at a time, without a rate.
const PIECE: usize = 64 << 10;
/// With a rate: so many pieces each second.
const TURNS: u64 = 20;
const LONGEST_HEAD: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::{Depot, Sent};
    use formats::Bytes;

    fn depot(rate: Option<Bytes>) -> (TempDir, Depot) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("targets")).unwrap();
        std::fs::write(folder.path().join("targets/a.pkg"), vec![7; 1000]).unwrap();
        let depot = Depot::new(folder.path(), rate).unwrap();
        (folder, depot)
    }

    use tempfile::TempDir;

    fn ask(depot: &Depot, head: &str) -> String {
        let mut output = Vec::new();
        serve(depot.state.path(), head.as_bytes(), &mut output);
        String::from_utf8_lossy(&output).into_owned()
    }

    #[test]
    fn a_file_comes_whole_or_from_a_byte_on_and_is_counted() {
        let (_folder, depot) = depot(None);
        let whole = ask(&depot, "GET /targets/a.pkg HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(whole.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n") && whole.len() > 1000, "{whole}");
        let rest = ask(&depot, "GET /targets/a.pkg HTTP/1.1\r\nRange: bytes=990-\r\n\r\n");
        assert!(rest.contains("206 Partial Content\r\nContent-Range: bytes 990-999/1000\r\n"), "{rest}");
        assert!(rest.ends_with("\r\n\r\n\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}"), "{rest}");
        assert_eq!(depot.sent(&"a.pkg".into()).unwrap(), Sent { bytes: 1010, length: 1000, requests: 2 });
        assert!(ask(&depot, "GET /targets/a.pkg HTTP/1.1\r\nRange: bytes=1000-\r\n\r\n").contains(" 416 "));
    }

    #[test]
    fn what_is_no_plain_name_in_the_folder_is_not_there() {
        let (folder, depot) = depot(None);
        std::fs::write(folder.path().join(".lock"), "x").unwrap();
        for path in
            ["/", "/targets", "/.lock", "/targets/../targets/a.pkg", "/targets/%61.pkg", "//targets/a.pkg", "/b"]
        {
            let answer = ask(&depot, &format!("GET {path} HTTP/1.1\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        }
        assert!(ask(&depot, "POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(ask(&depot, "rubbish").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn one_that_is_off_says_nothing_and_a_rate_is_kept() {
        let (_folder, mut depot) = depot(Some(Bytes(4000)));
        let begun = std::time::Instant::now();
        assert!(ask(&depot, "GET /targets/a.pkg HTTP/1.1\r\n\r\n").len() > 1000);
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
        depot.switch(false, None).unwrap();
        assert_eq!(ask(&depot, "GET /targets/a.pkg HTTP/1.1\r\n\r\n"), "");
        depot.switch(true, None).unwrap();
        assert!(ask(&depot, "GET /targets/a.pkg HTTP/1.1\r\n\r\n").len() > 1000);
    }

    #[test]
    fn one_that_is_switched_off_ends_what_it_was_sending() {
        let (folder, mut depot) = depot(Some(Bytes(2000)));
        let state = depot.state.path().to_owned();
        let sending = std::thread::spawn(move || {
            let mut output = Vec::new();
            serve(&state, "GET /targets/a.pkg HTTP/1.1\r\n\r\n".as_bytes(), &mut output);
            output.len()
        });
        while depot.sent(&"a.pkg".into()).unwrap().bytes == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Faster than it looks.
        depot.switch(false, None).unwrap();
        depot.switch(true, None).unwrap();
        let sent = sending.join().unwrap();
        assert!(sent > 0 && sent < 900, "{sent} bytes");
        drop(folder);
    }
}
