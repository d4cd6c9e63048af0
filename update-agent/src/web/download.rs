//! Files that leave through the console: what a browser is told about them, and bodies that are longer than memory should be.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use crate::api::Request;
use crate::certificates::export::Format;

use super::view::View;

/// What an answer holds: all of it, or pieces as they come.
#[derive(Debug)]
pub enum Content {
    /// All of it; nothing when it is empty or was sent.
    Whole(Option<Bytes>),
    /// Pieces, and how many bytes are missing.
    Pieces(mpsc::Receiver<Bytes>, u64),
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces, missing) => pieces.poll_recv(context).map(|piece| {
                let taken = piece.as_ref().map_or(0, |piece| u64::try_from(piece.len()).unwrap_or(u64::MAX));
                let before = *missing;
                *missing = before.saturating_sub(taken);
                match piece {
                    Some(piece) if taken <= before => Some(Ok(Frame::data(piece))),
                    None if before == 0 => None,
                    // The connection ends, so that nobody takes a part for the whole.
                    _ => Some(Err(io::Error::other("the file ended early or changed"))),
                }
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Pieces(_, 0))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Pieces(_, missing) => *missing,
        })
    }
}

/// How a file is called, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    kind: &'static str,
    name: String,
}

impl Label {
    /// Of a kept backup.
    pub fn backup(id: &str) -> Self {
        Self { kind: "application/octet-stream", name: format!("{id}.{}", formats::backup::EXTENSION) }
    }

    /// Of the report of an installation.
    pub fn report(id: &str) -> Self {
        Self { kind: "application/json", name: format!("report-{id}.json") }
    }

    /// Of a signing request.
    pub fn signing_request(id: &str) -> Self {
        Self { kind: "application/x-pem-file", name: format!("request-{}.csr", short(id)) }
    }

    /// Of the file that is the answer to a request; nothing when the answer is none.
    pub fn of(request: &Request) -> Option<Self> {
        let wanted = match request {
            Request::ExportCertificate(wanted) => wanted,
            Request::CreateSupport => {
                return Some(Self {
                    kind: "application/zstd",
                    name: format!("support.{}", crate::support::bundle::EXTENSION),
                });
            }
            _ => return None,
        };
        let (kind, ending) = match wanted.format {
            Format::Pem => ("application/x-pem-file", "pem"),
            Format::Pkcs12 => ("application/x-pkcs12", "p12"),
        };
        Some(Self { kind, name: format!("certificate-{}.{ending}", short(&wanted.of)) })
    }

    /// The same with the name the answer has for it, if it has one.
    #[must_use]
    pub fn named(self, name: Option<String>) -> Self {
        Self { name: name.unwrap_or(self.name), ..self }
    }

    /// An answer the browser saves under its name.
    pub fn answer(&self, content: Content) -> Response<Content> {
        let mut answer = Response::new(content);
        *answer.status_mut() = StatusCode::OK;
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        // Part of it came from an address: only what needs no quoting stays.
        let plain = |one: char| if one.is_ascii_alphanumeric() || "-.".contains(one) { one } else { '_' };
        let name: String = self.name.chars().take(MAX_NAME).map(plain).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            answer.headers_mut().insert(header::CONTENT_DISPOSITION, value);
        }
        answer
    }
}

/// The bytes of a part of an answer in base64; nothing when it has none.
pub fn bytes(view: View<'_>) -> Option<Bytes> {
    STANDARD.decode(view.some()?).ok().map(Bytes::from)
}

fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

const MAX_NAME: usize = 80;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn next(content: &mut Content) -> Poll<Option<io::Result<Bytes>>> {
        let frame = Pin::new(content).poll_frame(&mut Context::from_waker(Waker::noop()));
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())))
    }

    #[test]
    fn a_file_that_ends_early_or_is_longer_than_it_said_is_an_error_and_no_end() {
        for (sent, said, fits) in [(6, 6, true), (5, 6, false), (7, 6, false)] {
            let (sender, receiver) = mpsc::channel(2);
            let mut content = Content::Pieces(receiver, said);
            assert_eq!(content.size_hint().exact(), Some(said));
            assert!(next(&mut content).is_pending());
            sender.try_send(Bytes::from_static(b"abc")).unwrap();
            assert!(matches!(next(&mut content), Poll::Ready(Some(Ok(bytes))) if bytes.len() == 3));
            sender.try_send(vec![0; sent - 3].into()).unwrap();
            drop(sender);
            let ends = [next(&mut content), next(&mut content)];
            assert_eq!(ends.iter().all(|one| !matches!(one, Poll::Ready(Some(Err(_))))), fits, "{sent} of {said}");
        }
    }

    #[test]
    fn a_name_from_an_address_is_nothing_but_a_name() {
        let answer = Label::backup("../\"x\"\r\nset-cookie: a").answer(Content::from(Bytes::new()));
        let told = answer.headers().get(header::CONTENT_DISPOSITION).unwrap();
        assert_eq!(told, "attachment; filename=\"..__x___set-cookie__a.backup.age\"");
    }
}
