//! Answers that clients may take in parts: what of it is wanted, whether they have it already, and the bytes.

use std::io::{Cursor, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

/// Answers a request with these headers with `length` bytes that change whenever `tag` does; `start` opens them at a byte.
pub(super) fn answer(
    wishes: &HeaderMap,
    length: u64,
    tag: &str,
    start: impl FnOnce(u64) -> std::io::Result<Box<dyn Read + Send>>,
) -> Response<Part> {
    let text = |name: header::HeaderName| wishes.get(name).and_then(|value| value.to_str().ok());
    let mut response = if text(header::IF_MATCH)
        .is_some_and(|tags| !tags.split(',').map(str::trim).any(|one| one == "*" || one == tag))
    {
        empty(StatusCode::PRECONDITION_FAILED)
    } else if text(header::IF_NONE_MATCH).is_some_and(|tags| matches(tags, tag)) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        // A range of a file that is another one by now is no use to whoever has its beginning.
        let same = text(header::IF_RANGE).is_none_or(|wanted| wanted == tag);
        match text(header::RANGE).filter(|_| same).map_or(Range::All, |range| Range::parse(range, length)) {
            Range::Outside => {
                let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
                set(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
                response
            }
            Range::All => part(start(0), length, StatusCode::OK),
            Range::Of(first, last) => {
                let mut response = part(start(first), last - first + 1, StatusCode::PARTIAL_CONTENT);
                set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
                response
            }
        }
    };
    set(&mut response, header::ETAG, tag);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    // Everything but the timestamp and the next root has its version or digest in its name.
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    response
}

fn part(content: std::io::Result<Box<dyn Read + Send>>, length: u64, status: StatusCode) -> Response<Part> {
    let Ok(content) = content else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
    let mut response = Response::new(Part { content: Some(content), left: length });
    *response.status_mut() = status;
    response
}

/// Whether a list of tags names this one. A weak tag is as good: files do not change under their name but by a rename.
fn matches(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// What of a file is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// All; also where the wish is not understood, or is for several parts.
    All,
    /// From the first to the last of these bytes.
    Of(u64, u64),
    /// Nothing of it is there.
    Outside,
}

impl Range {
    fn parse(text: &str, length: u64) -> Self {
        let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::All;
        };
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let (first, last) = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last),
            (Some(first), None) if last.is_empty() => (first, u64::MAX),
            (None, Some(count)) if first.is_empty() && count > 0 => (length.saturating_sub(count), u64::MAX),
            (None, Some(0)) if first.is_empty() => return Self::Outside,
            _ => return Self::All,
        };
        if first >= length { Self::Outside } else { Self::Of(first, last.min(length - 1)) }
    }
}

pub(super) fn set(response: &mut Response<Part>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

pub(super) fn empty(status: StatusCode) -> Response<Part> {
    let mut response = Response::new(Part { content: None, left: 0 });
    *response.status_mut() = status;
    response
}

/// An answer with this text.
pub(super) fn text(status: StatusCode, text: String) -> Response<Part> {
    let left = text.len() as u64;
    let mut response = Response::new(Part { content: Some(Box::new(Cursor::new(text))), left });
    *response.status_mut() = status;
    response
}

/// Bytes that are read when the client takes them.
pub(super) struct Part {
    content: Option<Box<dyn Read + Send>>,
    left: u64,
}

impl Body for Part {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let wanted = usize::try_from(self.left.min(PIECE)).unwrap_or(0);
        if wanted == 0 {
            return Poll::Ready(None);
        }
        let Some(content) = &mut self.content else { return Poll::Ready(None) };
        let mut buffer = vec![0; wanted];
        let read = content.read_exact(&mut buffer);
        self.left -= wanted as u64;
        Poll::Ready(Some(read.map(|()| Frame::data(buffer.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Read at a time.
const PIECE: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (text, wanted) in [
            ("bytes=0-0", Range::Of(0, 0)),
            ("bytes=5-", Range::Of(5, 9)),
            ("bytes=5-100", Range::Of(5, 9)),
            ("bytes=-3", Range::Of(7, 9)),
            ("bytes=-30", Range::Of(0, 9)),
            ("bytes=10-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=5-4", Range::All),
            ("bytes=0-1,3-4", Range::All),
            ("bytes=+1-2", Range::All),
            ("chunks=1-2", Range::All),
        ] {
            assert_eq!(Range::parse(text, 10), wanted, "{text}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Outside);
    }
}
