//! One request of a browser or program, from HTTP to an answer.

mod answers;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use formats::Digest;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use maud::Markup;
use serde_json::Value;
use tokio::time::timeout;

pub(super) use self::answers::html;
use self::answers::{guard, json, text, to, with_cookie};
use super::action::{self, Action};
use super::child::Shared;
use super::download::{self, Content, Label};
use super::export;
use super::form::{Form, cookie, language};
use super::page::{self, Answer, Reader};
use super::route::{Page, Query};
use super::view::View;
use super::words::Language;
use super::{Ask, Envelope, MAX_QUESTION};
use crate::account::Role;
use crate::account::book::TOKEN_PREFIX;
use crate::account::password::Password;
use crate::api::child::{KEEPER_PATIENCE, PATIENCE};
use crate::api::route::{self, problem};
use crate::api::{Package, Reply, Request as Wish};
use crate::code::Code;
use crate::secret::Secret;

type Answered = Response<Content>;

/// Answers it. Whatever the answer is, it has the headers that protect its reader.
pub(super) async fn answer(request: Request<Incoming>, source: IpAddr, shared: &Arc<Shared>) -> Answered {
    let mut answer = unguarded(request, source, shared).await;
    guard(&mut answer);
    answer
}

async fn unguarded(request: Request<Incoming>, source: IpAddr, shared: &Arc<Shared>) -> Answered {
    let (head, body) = request.into_parts();
    let visit = Visit::new(&head, source, shared);
    if head.method == Method::POST && upload::takes(head.uri.path()) {
        return visit.upload(&head, body).await;
    }
    let limit = visit.room(&head).await;
    let _room = if limit > MAX_BODY { shared.files.acquire().await.ok() } else { None };
    let body = match timeout(PATIENCE, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return text(413, "text/plain; charset=utf-8", "a body that is too long\n"),
        Err(_) => return text(408, "text/plain; charset=utf-8", "the body did not arrive in time\n"),
    };
    match head.uri.path() {
        "/static/console.css" => text(200, "text/css; charset=utf-8", page::STYLE),
        "/static/console.js" => text(200, "text/javascript; charset=utf-8", page::SCRIPT),
        path if path.starts_with("/v1/") => visit.program(&head, &body).await,
        path if head.method == Method::GET => visit.look(path, head.uri.query().unwrap_or_default()).await,
        path if head.method == Method::POST => visit.send(path, &head.headers, &body).await,
        _ => text(405, "text/plain; charset=utf-8", "this is looked at or sent\n"),
    }
}

/// Somebody's request: who they say they are and how they want it.
pub(super) struct Visit<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) source: IpAddr,
    pub(super) secret: Option<Secret>,
    language: Language,
    theme: &'static str,
    /// The browser says that the request comes from a page of somebody else.
    foreign: bool,
}

impl<'a> Visit<'a> {
    fn new(head: &Parts, source: IpAddr, shared: &'a Arc<Shared>) -> Self {
        let value = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let cookies = value(header::COOKIE);
        let chosen = cookie(cookies, LANGUAGE).and_then(Language::of_tag);
        let theme = cookie(cookies, THEME).unwrap_or_default();
        Self {
            shared,
            source,
            secret: cookie(cookies, SESSION).map(|secret| Secret::new(secret.into())),
            language: chosen.unwrap_or_else(|| language(value(header::ACCEPT_LANGUAGE))),
            theme: ["light", "dark"].into_iter().find(|one| *one == theme).unwrap_or_default(),
            foreign: foreign(&head.headers),
        }
    }

    /// How long its body may be: a question or form, or a file where somebody who may bring one does. Before it is known who that is, nobody
    /// gets room.
    async fn room(&self, head: &Parts) -> usize {
        let (method, path) = (&head.method, head.uri.path());
        let (secret, limit, least) = if path.starts_with("/v1/") {
            let token = bearer(head).filter(|token| token.starts_with(TOKEN_PREFIX));
            (token.map(|token| Secret::new(token.into())), route::limit(method.as_str(), path), Role::Viewer)
        } else if *method == Method::POST
            && path.strip_prefix("/do/") == Some(action::certificates::IMPORT)
            && Form::brings_files(content_type(&head.headers))
        {
            (self.secret.clone(), MAX_FILE_FORM, Role::Administrator)
        } else {
            return MAX_BODY;
        };
        if limit <= MAX_BODY || secret.is_none() {
            return MAX_BODY;
        }
        let who = self.ask_as(secret, Ask::Who, false).await;
        let may = signed_in(View::of(&who.body)).is_some_and(|(_, role)| role >= least);
        if may { limit } else { MAX_BODY }
    }

    /// What a program asks, with a token.
    async fn program(&self, head: &Parts, body: &[u8]) -> Answered {
        let Some(token) = bearer(head) else {
            let told = problem(Code::NotSignedIn, "send a token: Authorization: Bearer …".into());
            return json(401, &serde_json::to_value(told).unwrap_or_default());
        };
        let wish = match route::request(head.method.as_str(), head.uri.path(), body) {
            Ok(wish) => wish,
            Err((status, problem)) => return json(status, &serde_json::to_value(problem).unwrap_or_default()),
        };
        let reply = self.ask_as(Some(Secret::new(token.into())), Ask::For(wish), false).await;
        json(reply.status, &reply.body)
    }

    /// A page.
    async fn look(&self, path: &str, query: &str) -> Answered {
        let idle = path == "/live";
        let who = self.ask(Ask::Who, idle).await;
        if who.status != 200 {
            let content = page::outcome(&self.reader(View::of(&Value::Null)), &told(&who), "/");
            return html(
                who.status,
                &page::plain(&self.reader(View::of(&Value::Null)), self.language.words().title, &content),
            );
        }
        let view = View::of(&who.body);
        let reader = self.reader(view);
        match (path, &reader.who) {
            ("/live", None) => text(401, "text/plain; charset=utf-8", ""),
            ("/live", Some(_)) => html(200, &self.live(&reader).await),
            ("/claim", None) if !view.at("/claimed").yes() => html(200, &claim_page(&reader, None)),
            ("/sign-in", None) if view.at("/claimed").yes() => {
                let fields = Form::parse(query.as_bytes()).unwrap_or_default();
                html(200, &sign_in_page(&reader, None, fields.get("back").unwrap_or_default()))
            }
            (_, None) if !view.at("/claimed").yes() => to("/claim"),
            (_, None) => to(&format!("/sign-in?back={}", Page::at(path).unwrap_or(Page::Status).path())),
            ("/" | "/sign-in" | "/claim", Some(_)) => to(Page::Status.path()),
            (path, Some(_)) if path.starts_with("/download/") => export::file(self, &reader, path).await,
            (path, Some((_, role))) => match Page::at(path) {
                Some(page) => self.page(page, &reader, *role, query).await,
                None => html(404, &page::plain(&reader, "404", &page::outcome(&reader, &not_found(), "/"))),
            },
        }
    }

    async fn page(&self, page: Page, reader: &Reader, role: Role, query: &str) -> Answered {
        let query = Query::parse(query);
        let mut answers = Vec::new();
        for wish in page.asks(&query, role) {
            answers.push(told(&self.ask(Ask::For(wish), false).await));
        }
        if let (Page::Way, Some(Ok(notes))) = (page, answers.get(1)) {
            let open: Vec<String> = page::open_terms(View::of(notes)).take(MAX_TERMS).collect();
            for id in open.into_iter().filter_map(|id| serde_json::from_value(Value::String(id)).ok()) {
                answers.push(told(&self.ask(Ask::For(Wish::Eula(Package::Depot(id))), false).await));
            }
        }
        let content = page::content(page, reader, &answers, &query);
        let live = self.live(reader).await;
        html(200, &page::frame(reader, page, &live, &content))
    }

    /// What is being done now.
    async fn live(&self, reader: &Reader) -> Markup {
        let job = self.ask(Ask::For(Wish::Job), true).await.body;
        let upgrade = self.ask(Ask::For(Wish::UpgradeOutlook), true).await.body;
        page::live(reader, View::of(&job), View::of(&upgrade))
    }

    /// A form.
    async fn send(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Answered {
        let who = self.ask(Ask::Who, false).await;
        let reader = self.reader(View::of(&who.body));
        let form = match Form::read(content_type(headers), body) {
            Ok(form) => form,
            Err(why) => return refused(&reader, 400, Code::Usage, why),
        };
        if self.foreign || form.get("proof") != Some(reader.proof.as_str()) {
            let why = "this form does not come from a page of this session: the appliance restarted, or you signed in elsewhere; go back, \
                       load the page again and send it again";
            return refused(&reader, 403, Code::NotAllowed, why.into());
        }
        let secret = |field: &str| Password::new(form.get(field).unwrap_or_default().into());
        let name = form.text("name").unwrap_or_default();
        match path {
            "/look" => self.chosen(&form),
            "/sign-out" => {
                drop(self.ask(Ask::SignOut, false).await);
                with_cookie(to("/sign-in"), SESSION, "", 0)
            }
            "/sign-in" => {
                let reply = self.ask(Ask::SignIn { name, password: secret("password") }, false).await;
                let back = form.get("back").and_then(Page::at).unwrap_or(Page::Status);
                begun(&reply, back, |failed| sign_in_page(&reader, Some(failed), back.path()))
            }
            "/claim" => {
                let code = form.text("code").unwrap_or_default();
                let reply = self.ask(Ask::Claim { code, name, password: secret("password") }, false).await;
                begun(&reply, Page::Status, |failed| claim_page(&reader, Some(failed)))
            }
            path => match path.strip_prefix("/do/").and_then(|name| action::action(name, &form)) {
                Some(Ok(action)) => self.act(&reader, action).await,
                Some(Err(why)) => refused(&reader, 400, Code::Usage, why),
                None => refused(&reader, 404, Code::NotFound, "there is no such form".into()),
            },
        }
    }

    /// Does what a form asks for. What takes long goes on while the reader is back on the page.
    async fn act(&self, reader: &Reader, action: Action) -> Answered {
        let label = Label::of(&action.request);
        let reply = self.ask(Ask::For(action.request), false).await;
        let back = action.back;
        if let (200, Some(label), Some(file)) =
            (reply.status, label, download::bytes(View::of(&reply.body).at("/file")))
        {
            return label.named(View::of(&reply.body).at("/name").some()).answer(file.into());
        }
        if reply.status == 202 || (reply.status == 200 && !action.shown) {
            return to(back.path());
        }
        let key = View::of(&reply.body).at("/key").some().filter(|_| reply.status == 200);
        let content = match key {
            Some(key) => page::download_key(reader, &key, back.path()),
            None if reply.status == 200 && View::of(&reply.body).at("/certificate").there() => {
                page::examined(reader, View::of(&reply.body), back.path())
            }
            None => page::outcome(reader, &told(&reply), back.path()),
        };
        html(reply.status, &page::frame(reader, back, &maud::html! {}, &content))
    }

    /// Language and colours.
    fn chosen(&self, form: &Form) -> Answered {
        let language = form.get("language").and_then(Language::of_tag).unwrap_or(self.language);
        let theme = form.get("theme").filter(|theme| ["light", "dark"].contains(theme)).unwrap_or_default();
        let back = form.get("back").and_then(Page::at).map_or("/", Page::path);
        with_cookie(with_cookie(to(back), LANGUAGE, language.tag(), YEAR), THEME, theme, YEAR)
    }

    /// Whom the keeper knows this visitor as, or nobody.
    fn reader(&self, known: View<'_>) -> Reader {
        let who = signed_in(known);
        // Nobody else can make it: it is made from the secret of the session, which only browser and appliance have. Before there is a
        // session there is nothing to protect but the language.
        let secret = self.secret.as_ref().filter(|_| who.is_some()).map_or("", Secret::reveal);
        let proof = Digest::of(format!("form of {secret}").as_bytes()).to_string();
        Reader { language: self.language, theme: self.theme, who, appliance: known.at("/appliance").some(), proof }
    }

    pub(super) async fn ask(&self, ask: Ask, idle: bool) -> Reply {
        self.ask_as(self.secret.clone(), ask, idle).await
    }

    async fn ask_as(&self, secret: Option<Secret>, ask: Ask, idle: bool) -> Reply {
        question(self.shared, self.source, secret, ask, idle).await
    }
}

/// Asks the keeper, when it is this question's turn.
pub(super) async fn question(shared: &Shared, source: IpAddr, secret: Option<Secret>, ask: Ask, idle: bool) -> Reply {
    let none = |status, message: &str| {
        let told = problem(Code::NoAgent, message.into());
        Reply { id: 0, status, body: serde_json::to_value(told).unwrap_or_default() }
    };
    let Ok(turn) = Arc::clone(&shared.turns).acquire_owned().await else {
        return none(503, "the update agent is gone");
    };
    let asking = shared.keeper.ask(MAX_QUESTION, Some(turn), |id| Envelope { id, source, secret, idle, ask });
    match timeout(KEEPER_PATIENCE, asking).await {
        Ok(Some(reply)) => reply,
        Ok(None) => none(503, "the update agent is gone; ask again in a moment"),
        Err(_) => none(504, "the update agent does not answer in time; ask again in a moment"),
    }
}

/// A session that began, or the page that says why not.
fn begun(reply: &Reply, back: Page, failed: impl FnOnce(&Answer) -> Markup) -> Answered {
    match View::of(&reply.body).at("/session").some().filter(|_| reply.status == 200) {
        Some(secret) => with_cookie(to(back.path()), SESSION, &secret, SESSION_SECONDS),
        None => html(reply.status, &failed(&told(reply))),
    }
}

pub(super) fn refused(reader: &Reader, status: u16, code: Code, why: String) -> Answered {
    let content = page::outcome(reader, &Err(problem(code, why)), "/");
    html(status, &page::plain(reader, reader.words().title, &content))
}

/// Whether a browser says that a request was caused by a page of another site: with `Sec-Fetch-Site`, as all do since 2023, or else with the
/// origin of that page, which older ones send with every form. Who says neither is no browser, and sends cookies only on purpose.
fn foreign(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (value("sec-fetch-site"), value("origin"), value("host")) {
        (Some(site), ..) => !["same-origin", "none"].contains(&site),
        (None, Some(origin), host) => origin.strip_prefix("https://") != host,
        (None, None, _) => false,
    }
}

/// The token a program sends.
fn bearer(head: &Parts) -> Option<&str> {
    head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn signed_in(who: View<'_>) -> Option<(String, Role)> {
    let role = Role::ALL.into_iter().find(|role| role.word() == who.at("/role").text())?;
    Some((who.at("/name").some()?, role))
}

fn sign_in_page(reader: &Reader, failed: Option<&Answer>, back: &str) -> Markup {
    page::plain(reader, reader.words().sign_in, &page::sign_in(reader, failed, back))
}

fn claim_page(reader: &Reader, failed: Option<&Answer>) -> Markup {
    page::plain(reader, reader.words().claim, &page::claim(reader, failed))
}

/// A reply as pages take it.
pub(super) fn told(reply: &Reply) -> Answer {
    if (200..300).contains(&reply.status) {
        return Ok(reply.body.clone());
    }
    let unknown = || problem(Code::Bug, format!("the agent answered with status {}", reply.status));
    Err(serde_json::from_value(reply.body.clone()).unwrap_or_else(|_| unknown()))
}

fn not_found() -> Answer {
    Err(problem(Code::NotFound, "there is no such page".into()))
}

/// Sent back over TLS only, to this host only, to no script.
const SESSION: &str = "__Host-session";
const LANGUAGE: &str = "language";
const THEME: &str = "theme";
/// Longer than any session: the keeper ends them.
const SESSION_SECONDS: u64 = 24 * 60 * 60;
const YEAR: u64 = Duration::from_hours(365 * 24).as_secs();
/// Longest form.
const MAX_BODY: usize = 64 << 10;
/// Longest form that brings a file, which has at most 1 MiB.
const MAX_FILE_FORM: usize = (1 << 20) + MAX_BODY;
/// Packages whose terms are shown on one page.
const MAX_TERMS: usize = 8;
