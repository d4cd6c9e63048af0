//! The page on which somebody with a network enters the download key of an appliance without one, sees what the appliance would see, and
//! takes the bundle.
//!
//! Nothing is kept but the ledger: a bundle is made anew from what its line says, each time a client asks for it or for the rest of it. Its
//! address names its content as well: when the depot has changed since, whoever asks for all of it is sent to what it is now, and whoever asks
//! for the rest is told (412), so that nobody puts parts of two bundles together.
//!
//! Known attacks and our defence: scripts and styles from elsewhere (a strict policy; the page has no script, and everything that was not
//! written here is escaped); endless and slow requests (a body has a limit in bytes and seconds, few are worked on at a time); guessed
//! addresses of bundles (they are digests of a ledger's line, which holds the digest of a key that only its owner has); keys and appliances that
//! were made up (what they get is public, the ledger's first key per appliance counts, and new ones are limited); names and paths of this machine in answers
//! (what is not the visitor's to put right goes to standard error).

mod form;
mod page;

use std::io::{Read, Write as _};
use std::sync::Arc;
use std::time::Duration;

use formats::Digest;
use formats::catalogue::PackageId;
use formats::download_key::SignedKey;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::answer::{Hiding, Shelf, read_key};
use super::ledger::{Event, Ledger};
use super::ranged::{self, Part};
use super::state::Depot;
use crate::error::chain;
use crate::{Error, Result};
use form::Form;

/// A portal of one depot.
#[derive(Debug)]
pub struct Portal {
    depot: Depot,
    ledger: Ledger,
    hiding: Hiding,
    clock: fn() -> Result<i64>,
    room: Arc<Semaphore>,
}

/// What is asked for.
enum Wish {
    /// The empty form.
    Form,
    /// The list for a key.
    List(Form),
    /// A bundle for a key.
    Bundle(Form),
    /// The bytes of a bundle that was handed out, and the content its address names.
    File(Digest, String, HeaderMap),
}

/// Why a visitor does not get what they want.
enum Refusal {
    /// They can do something about it.
    Visitor(StatusCode, String),
    /// Only the operator can.
    Operator(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Operator(error)
    }
}

impl Portal {
    /// A portal; `clock` returns seconds since 1970.
    pub fn new(depot: Depot, ledger: Ledger, hiding: Hiding, clock: fn() -> Result<i64>) -> Self {
        Self { depot, ledger, hiding, clock, room: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Whether this path is the portal's.
    pub(super) fn is_for(path: &str) -> bool {
        path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Part> {
        let wish = match wish(request).await {
            Ok(wish) => wish,
            Err((status, problem)) => return page::problem(status, problem),
        };
        let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
            return page::problem(StatusCode::SERVICE_UNAVAILABLE, BUSY);
        };
        let portal = Arc::clone(&self);
        // Reading and verifying takes a while; files are served meanwhile.
        let work = tokio::task::spawn_blocking(move || {
            // Held until the work is done: a visitor who hangs up ends the wait for it, and not the work.
            let _permit = permit;
            portal.fulfil(wish)
        });
        let work = work.await;
        match work {
            Ok(Ok(response)) => response,
            Ok(Err(Refusal::Visitor(status, problem))) => page::problem(status, &problem),
            Ok(Err(Refusal::Operator(error))) => {
                // Nobody may be reading it; the visitor gets an answer all the same.
                drop(writeln!(std::io::stderr(), "bulkhead: the portal cannot answer: {}", chain(&error)));
                page::problem(StatusCode::SERVICE_UNAVAILABLE, BROKEN)
            }
            Err(_) => page::problem(StatusCode::INTERNAL_SERVER_ERROR, BROKEN),
        }
    }

    fn fulfil(&self, wish: Wish) -> Result<Response<Part>, Refusal> {
        let now = (self.clock)()?;
        let depot = Shelf::open(&self.depot, now)?;
        match wish {
            Wish::Form => Ok(page::form(&depot)),
            Wish::List(form) => self.list(&depot, &form),
            Wish::Bundle(form) => self.bundle(&depot, &form, now),
            Wish::File(id, content, headers) => self.file(&depot, id, &content, &headers, now),
        }
    }

    fn list(&self, depot: &Shelf<'_>, form: &Form) -> Result<Response<Part>, Refusal> {
        let signed = accepted(depot, form)?;
        let inventory = &signed.key().inventory;
        let account = self.ledger.account(&inventory.appliance)?;
        let offers = depot.marked(inventory, Some(&account), self.hiding)?;
        let plan = depot.bringing(inventory, None);
        let plan = plan.map_err(|error| error.to_string());
        Ok(page::list(&signed, &form.key, &offers, &plan, self.ledger.reissues))
    }

    /// Writes down what is handed out, and sends the visitor to it.
    fn bundle(&self, depot: &Shelf<'_>, form: &Form, now: i64) -> Result<Response<Part>, Refusal> {
        let signed = accepted(depot, form)?;
        let inventory = &signed.key().inventory;
        let to = match form.to.as_str() {
            "" => None,
            text => {
                let id = text.parse::<PackageId>();
                Some(id.map_err(|error| Refusal::Visitor(StatusCode::BAD_REQUEST, error.to_string()))?)
            }
        };
        let plan = depot.bringing(inventory, to.as_ref()).map_err(visitor)?;
        let order = plan.order();
        if order.is_empty() {
            return Err(Refusal::Visitor(StatusCode::CONFLICT, plan.sentences().concat()));
        }
        // Whether the depot has it all is found out before it is counted.
        let contents = depot.bundle(&inventory.appliance, order.clone(), now)?;
        self.ledger.admit(&self.ledger.lines()?, &inventory.appliance, now).map_err(|error| match error {
            Error::Refused(problem) => Refusal::Visitor(StatusCode::TOO_MANY_REQUESTS, problem),
            error => error.into(),
        })?;
        let id = self.ledger.issue(&signed, &order, now).map_err(visitor)?;
        Ok(moved(id, &contents.tag(), &inventory.product))
    }

    fn file(
        &self,
        depot: &Shelf<'_>,
        id: Digest,
        content: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Response<Part>, Refusal> {
        let gone = || {
            let problem = "this download is not there, or its day is over: enter the download key again";
            Refusal::Visitor(StatusCode::NOT_FOUND, problem.into())
        };
        let line = self.ledger.find(id)?.filter(|line| now.saturating_sub(line.time) <= LIFETIME).ok_or_else(gone)?;
        let Event::Issued { packages, .. } = line.event else { return Err(gone()) };
        let contents = depot.bundle(&line.appliance, packages, line.time)?;
        if contents.tag() != content {
            if [header::RANGE, header::IF_MATCH].iter().any(|name| headers.contains_key(name)) {
                return Err(Refusal::Visitor(StatusCode::PRECONDITION_FAILED, CHANGED.into()));
            }
            return Ok(moved(id, &contents.tag(), &depot.catalogue().index().product));
        }
        let tag = format!("\"{content}\"");
        let start = |first| Ok(Box::new(contents.stream(first)?) as Box<dyn Read + Send>);
        let mut response = ranged::answer(headers, contents.size().0, &tag, start);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = line.appliance.chars().map(plain).collect();
        let name = format!("attachment; filename=\"{name}.path\"");
        ranged::set(&mut response, header::CONTENT_DISPOSITION, &name);
        ranged::set(&mut response, header::CONTENT_TYPE, "application/x-tar");
        ranged::set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// Sends the visitor to a bundle.
fn moved(id: Digest, content: &str, product: &str) -> Response<Part> {
    let place = format!("{PATH}/bundle/{id}/{content}/{product}.path");
    let mut response = page::moved(&place);
    ranged::set(&mut response, header::LOCATION, &place);
    response
}

/// The key in a form, when this depot answers it.
fn accepted(depot: &Shelf<'_>, form: &Form) -> Result<SignedKey, Refusal> {
    let signed = read_key(&form.key).map_err(|error| Refusal::Visitor(StatusCode::BAD_REQUEST, chain(&error)))?;
    depot.judge(&signed).map_err(visitor)?;
    Ok(signed)
}

/// A refusal is told; anything else is not the visitor's to put right.
fn visitor(error: Error) -> Refusal {
    match error {
        Error::Refused(problem) => Refusal::Visitor(StatusCode::CONFLICT, problem),
        error => Refusal::Operator(error),
    }
}

/// What a request wants; else the answer it gets.
async fn wish(request: Request<Incoming>) -> Result<Wish, (StatusCode, &'static str)> {
    let path = request.uri().path().strip_prefix(PATH).unwrap_or_default().trim_end_matches('/').to_owned();
    let method = request.method().clone();
    let read = [Method::GET, Method::HEAD].contains(&method);
    if let Some(place) = path.strip_prefix("/bundle/") {
        let mut parts = place.split('/');
        let id = parts.next().unwrap_or_default().parse().map_err(|_| (StatusCode::NOT_FOUND, NOT_HERE))?;
        return if read {
            Ok(Wish::File(id, parts.next().unwrap_or_default().to_owned(), request.headers().clone()))
        } else {
            Err((StatusCode::METHOD_NOT_ALLOWED, METHOD))
        };
    }
    match (path.as_str(), method) {
        ("", _) if read => Ok(Wish::Form),
        ("", Method::POST) => Ok(Wish::List(body(request).await?)),
        ("/bundle", Method::POST) => Ok(Wish::Bundle(body(request).await?)),
        ("" | "/bundle", _) => Err((StatusCode::METHOD_NOT_ALLOWED, METHOD)),
        _ => Err((StatusCode::NOT_FOUND, NOT_HERE)),
    }
}

async fn body(request: Request<Incoming>) -> Result<Form, (StatusCode, &'static str)> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(request.into_body(), MAX_BODY).collect()).await;
    let collected =
        collected.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the form did not arrive in time: send it again"))?;
    let bytes =
        collected.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, "that is longer than any download key"))?.to_bytes();
    Form::parse(&bytes).ok_or((StatusCode::BAD_REQUEST, "that is no form of this page: begin again with it"))
}

/// Where the portal is.
const PATH: &str = "/portal";
const BROKEN: &str =
    "this depot cannot answer now; tell its operator, who finds the reason in the output of the server";
const BUSY: &str = "this depot is about to end";
const CHANGED: &str = "the depot has changed since this download began, so its rest would not fit: delete what you have of it, and \
                       download it again from the beginning; it is not counted again";
const NOT_HERE: &str = "there is no such page; begin at /portal";
const METHOD: &str = "this page cannot be asked that way";
/// Longest form in bytes.
const MAX_BODY: usize = 24 << 10;
/// How long a form may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests that are worked on at a time.
const AT_A_TIME: usize = 4;
/// How long a download can be begun, or gone on with, after it was counted: a day, in seconds.
const LIFETIME: i64 = 86_400;
