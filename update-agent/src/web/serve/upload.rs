//! Files from browsers, on their way to the keeper in constant memory: piece by piece from the script, or in one form from a browser
//! without it.
//!
//! Nothing of a file is read before the keeper said who sends it, and nothing of a form's file before its proof, which therefore stands
//! before it. A form that is cut leaves nothing; what the script sent stays, and goes on.

use std::time::Duration;

use base64::Engine as _;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header;
use hyper::http::request::Parts;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Answered, Ask, Form, PATIENCE, Reader, View, Visit, Wish, html, json, page, problem, to, told};
use crate::api::{BeginUpload, FinishUpload, Problem, UploadKind, UploadPiece};
use crate::code::Code;
use crate::upload::PIECE;
use crate::web::multipart::{Event, Multipart};
use crate::web::route::Page;

/// What is answered instead: status and why.
type Refused = (u16, Problem);
type Taken<T> = Result<T, Refused>;

/// Whether this path takes files.
pub(super) fn takes(path: &str) -> bool {
    path == FORM || path.starts_with("/upload/")
}

impl Visit<'_> {
    /// A file, or a piece of one.
    pub(super) async fn upload(&self, head: &Parts, mut body: Incoming) -> Answered {
        let form = head.uri.path() == FORM;
        // Only where the reader goes on; what the file is, its form says.
        let back = if head.uri.query() == Some("backup") { Page::Backups } else { Page::Updates };
        let who = self.ask(Ask::Who, false).await;
        let reader = self.reader(View::of(&who.body));
        let done = if reader.who.is_none() {
            Err(refused(401, Code::NotSignedIn, "nobody is signed in: the appliance restarted, or the session ended"))
        } else if self.foreign {
            Err(foreign())
        } else if form {
            let done = self.whole(&reader, head, &mut body).await;
            if done.is_err() {
                // A browser that still sends would not see the answer.
                drain(&mut body).await;
            }
            done
        } else {
            self.step(&reader, head, body).await
        };
        match done {
            Ok(_) if form => to(back.path()),
            Ok(told) => json(200, &told),
            Err((status, problem)) if form => {
                let content = page::outcome(&reader, &Err(problem), back.path());
                html(status, &page::plain(&reader, reader.words().title, &content))
            }
            Err((status, problem)) => json(status, &serde_json::to_value(problem).unwrap_or_default()),
        }
    }

    /// What the script asks.
    async fn step(&self, reader: &Reader, head: &Parts, body: Incoming) -> Taken<Value> {
        if head.headers.get("x-proof").and_then(|value| value.to_str().ok()) != Some(reader.proof.as_str()) {
            return Err(foreign());
        }
        let usage = |why: &str| refused(400, Code::Usage, why);
        let fields = Form::parse(head.uri.query().unwrap_or_default().as_bytes()).map_err(|why| usage(&why))?;
        let number = |name: &str| {
            fields.get(name).and_then(|text| text.parse().ok()).ok_or_else(|| usage("a number is missing"))
        };
        let id = fields.text("id").unwrap_or_default();
        let wish = match head.uri.path() {
            "/upload/begin" => Wish::BeginUpload(BeginUpload {
                kind: kind(fields.get("kind")).ok_or_else(|| usage("there is no such kind of file"))?,
                name: fields.text("name").unwrap_or_default(),
                length: number("length")?,
                sha256: None,
                mark: fields.text("mark"),
            }),
            "/upload/piece" => {
                let offset = number("offset")?;
                // So many are in memory at a time; the others wait, where that costs nothing.
                let _room = timeout(WAIT, PIECES.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())?;
                let bytes = collected(body).await?;
                return self.wish(piece(id, offset, &bytes)).await;
            }
            "/upload/finish" => Wish::FinishUpload(FinishUpload { id, length: None, accept_expired: None }),
            _ => return Err(refused(404, Code::NotFound, "there is no such step")),
        };
        self.wish(wish).await
    }

    /// A form with a file, from its first byte to what follows from it.
    async fn whole(&self, reader: &Reader, head: &Parts, body: &mut Incoming) -> Taken<Value> {
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let parser = Multipart::of(text(header::CONTENT_TYPE)).map_err(|why| refused(400, Code::Usage, why))?;
        let most = text(header::CONTENT_LENGTH).parse();
        let most = most.map_err(|_| refused(411, Code::Usage, "a form with a file says how long it is"))?;
        let _room = FORMS.try_acquire().map_err(|_| busy())?;
        let mut arrival = Arrival { most, proof: &reader.proof, fields: Vec::new(), upload: None, held: Vec::new() };
        match self.arrive(&mut arrival, parser, body).await {
            Ok(order) => {
                let id = order.id.clone();
                let done = self.wish(Wish::FinishUpload(order)).await;
                if done.is_err() {
                    drop(self.wish(Wish::DiscardUpload(id)).await);
                }
                done
            }
            Err(refused) => {
                // Nobody could go on with it: a form has no mark to find it by.
                if let Some((id, _)) = arrival.upload {
                    drop(self.wish(Wish::DiscardUpload(id)).await);
                }
                Err(refused)
            }
        }
    }

    async fn arrive(
        &self,
        arrival: &mut Arrival<'_>,
        mut parser: Multipart,
        body: &mut Incoming,
    ) -> Taken<FinishUpload> {
        let usage = |why| refused(400, Code::Usage, why);
        while let Some(bytes) = next(body).await? {
            parser.feed(&bytes).map_err(usage)?;
            while let Some(event) = parser.next().map_err(usage)? {
                match event {
                    Event::Part { name, file: None } => arrival.fields.push((name, Vec::new())),
                    Event::Part { name, file: Some(file) } => {
                        let order = arrival.announced(&name, file)?;
                        let begun = self.wish(Wish::BeginUpload(order)).await?;
                        arrival.upload = Some((View::of(&begun).at("/id").text(), 0));
                    }
                    Event::Bytes(bytes) => {
                        arrival.take(&bytes)?;
                        self.pass_on(arrival, PIECE).await?;
                    }
                    Event::PartEnd => self.pass_on(arrival, 1).await?,
                    Event::End => {}
                }
            }
        }
        parser.finish().map_err(usage)?;
        let (id, length) = arrival.upload.clone().ok_or_else(|| usage("no file was chosen"))?;
        Ok(FinishUpload { id, length: Some(length), accept_expired: None })
    }

    /// Sends what is held to the keeper, once that is at least so much.
    async fn pass_on(&self, arrival: &mut Arrival<'_>, least: usize) -> Taken<()> {
        while let Some((id, offset)) = arrival.upload.clone()
            && arrival.held.len() >= least
        {
            let rest = arrival.held.split_off(PIECE.min(arrival.held.len()));
            let bytes = std::mem::replace(&mut arrival.held, rest);
            self.wish(piece(id.clone(), offset, &bytes)).await?;
            arrival.upload = Some((id, offset.saturating_add(bytes.len() as u64)));
        }
        Ok(())
    }

    async fn wish(&self, wish: Wish) -> Taken<Value> {
        let reply = self.ask(Ask::For(wish), false).await;
        told(&reply).map_err(|problem| (reply.status, problem))
    }
}

/// A form on its way.
struct Arrival<'a> {
    /// The file is not longer.
    most: u64,
    proof: &'a str,
    /// Those before the file, the last one unfinished.
    fields: Vec<(String, Vec<u8>)>,
    /// Its id, and how much of it the keeper has.
    upload: Option<(String, u64)>,
    /// What it has not.
    held: Vec<u8>,
}

impl Arrival<'_> {
    fn field(&self, wanted: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// What is to be said about a file that begins.
    fn announced(&self, field: &str, file: String) -> Taken<BeginUpload> {
        if self.field("proof") != Some(self.proof) {
            return Err(foreign());
        }
        if field != "file" || self.upload.is_some() || file.is_empty() {
            return Err(refused(400, Code::Usage, "one file is chosen"));
        }
        let kind =
            kind(self.field("kind")).ok_or_else(|| refused(400, Code::Usage, "there is no such kind of file"))?;
        Ok(BeginUpload { kind, name: file, length: self.most, sha256: None, mark: None })
    }

    fn take(&mut self, bytes: &[u8]) -> Taken<()> {
        if self.upload.is_some() {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        let Some((_, value)) = self.fields.last_mut() else { return Ok(()) };
        value.extend_from_slice(bytes);
        if value.len() > FIELD { Err(refused(413, Code::Usage, "a field before the file is too long")) } else { Ok(()) }
    }
}

/// What arrives next; nothing: all did.
async fn next(body: &mut Incoming) -> Taken<Option<Bytes>> {
    loop {
        match timeout(PATIENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
            Ok(Some(Err(_))) => return Err(refused(400, Code::Usage, "the connection was cut")),
            Ok(None) => return Ok(None),
            Err(_) => return Err(refused(408, Code::Usage, "the file did not arrive in time")),
        }
    }
}

async fn collected(mut body: Incoming) -> Taken<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = next(&mut body).await? {
        if all.len().saturating_add(bytes.len()) > PIECE {
            return Err(refused(413, Code::Usage, "a piece has at most 512 KiB"));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

async fn drain(body: &mut Incoming) {
    let mut seen = 0_usize;
    while let Ok(Ok(Some(bytes))) = timeout(DRAINING, next(body)).await {
        seen = seen.saturating_add(bytes.len());
        if seen > DRAINED {
            return;
        }
    }
}

fn piece(id: String, offset: u64, bytes: &[u8]) -> Wish {
    Wish::UploadPiece(UploadPiece { id, offset, bytes: base64::engine::general_purpose::STANDARD.encode(bytes) })
}

fn kind(word: Option<&str>) -> Option<UploadKind> {
    match word {
        Some("package") => Some(UploadKind::Package),
        Some("backup") => Some(UploadKind::Backup),
        _ => None,
    }
}

fn refused(status: u16, code: Code, why: &str) -> Refused {
    (status, problem(code, why.into()))
}

fn foreign() -> Refused {
    let why = "this file does not come from a page of this session: load the page again and choose the file again";
    refused(403, Code::NotAllowed, why)
}

fn busy() -> Refused {
    refused(503, Code::Busy, "other files are being uploaded; try again when they are here")
}

/// Where a form with a file is sent.
const FORM: &str = "/upload";
/// Longest field of a form before its file, in bytes.
const FIELD: usize = 1024;
/// So much of what a refused browser still sends is read, so that it sees why.
const DRAINED: usize = 64 << 20;
/// How long it may pause.
const DRAINING: Duration = Duration::from_secs(1);
/// For a place in memory.
const WAIT: Duration = Duration::from_secs(30);
/// Pieces in memory at a time.
static PIECES: Semaphore = Semaphore::const_new(3);
/// Forms with files at a time.
static FORMS: Semaphore = Semaphore::const_new(2);
