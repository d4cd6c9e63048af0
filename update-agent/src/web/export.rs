//! Files that somebody downloads: signing requests, reports, and backups, which may be longer than the memory of the process that gives them out.

use std::future::Future;
use std::sync::Arc;

use hyper::Response;
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::Ask;
use super::download::{self, Content, Label};
use super::page::{self, Reader};
use super::route::Page;
use super::serve::{Visit, html, question, refused, told};
use super::view::View;
use crate::api::{BackupPiece, Request};
use crate::code::Code;

/// The file at a path below `/download/`.
pub(super) async fn file(visit: &Visit<'_>, reader: &Reader, path: &str) -> Response<Content> {
    if let Some(id) = path.strip_prefix("/download/backup/") {
        return backup(visit, reader, id).await;
    }
    if let Some(id) = path.strip_prefix("/download/signing-request/") {
        let reply = visit.ask(Ask::For(Request::Certificates), false).await;
        let waiting = View::of(&reply.body).at("/signing-requests").list().find(|one| one.at("/id").text() == id);
        if let Some(pem) = waiting.map(|one| one.at("/pem").text()) {
            return Label::signing_request(id).answer(Bytes::from(pem).into());
        }
    }
    if let Some(id) = path.strip_prefix("/download/report/") {
        let reply = visit.ask(Ask::For(Request::Reports), false).await;
        let all = reply.body.as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(report) = all.iter().find(|one| View::of(one).at("/id").text() == id) {
            return Label::report(id).answer(Bytes::from(format!("{report:#}\n")).into());
        }
    }
    refused(reader, 404, Code::NotFound, "there is no such file".into())
}

/// A backup, in the pieces the keeper gives. Who may have it is asked again for each, so a session that ends, ends it too.
async fn backup(visit: &Visit<'_>, reader: &Reader, id: &str) -> Response<Content> {
    let Ok(turn) = Arc::clone(&visit.shared.downloads).try_acquire_owned() else {
        return refused(reader, 503, Code::Busy, "too much is downloaded at the moment; try again in a while".into());
    };
    let (shared, source, secret, id) = (Arc::clone(visit.shared), visit.source, visit.secret.clone(), id.to_owned());
    let label = Label::backup(&id);
    let piece = move |offset| {
        let (shared, secret, id) = (Arc::clone(&shared), secret.clone(), id.clone());
        let wish = Request::BackupPiece(BackupPiece { id, offset });
        async move { question(&shared, source, secret, Ask::For(wish), false).await }
    };
    let first = piece(0).await;
    let (view, of) = (View::of(&first.body), View::of(&first.body).at("/of").number());
    let Some(bytes) = download::bytes(view.at("/bytes")).filter(|_| first.status == 200) else {
        let content = page::outcome(reader, &told(&first), Page::Backups.path());
        return html(first.status, &page::frame(reader, Page::Backups, &maud::html! {}, &content));
    };
    label.answer(pieces(bytes, of, move |offset| {
        // Given back when the last piece was sent, or the browser hung up.
        let _turn = &turn;
        let reply = piece(offset);
        async move {
            let reply = reply.await;
            download::bytes(View::of(&reply.body).at("/bytes")).filter(|_| reply.status == 200)
        }
    }))
}

/// A body of `of` bytes that begins with `first`; `next` has those from an offset on, or nothing when there are none any more. One piece is
/// held, and asked for when the one before was taken.
fn pieces<F: Future<Output = Option<Bytes>> + Send>(
    first: Bytes,
    of: u64,
    next: impl Fn(u64) -> F + Send + Sync + 'static,
) -> Content {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut piece, mut offset) = (Some(first), 0_u64);
        while let Some(mut bytes) = piece.filter(|bytes| !bytes.is_empty()) {
            offset = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            while !bytes.is_empty() {
                // Each part has the whole time an answer has to be taken in, so that slow lines are enough.
                if sender.send(bytes.split_to(PART.min(bytes.len()))).await.is_err() {
                    return;
                }
            }
            piece = if offset < of { next(offset).await } else { None };
        }
    });
    Content::Pieces(receiver, of)
}

/// What is written at once.
const PART: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt as _;

    use super::*;

    /// What arrives of a file of `of` bytes that is `there` long.
    fn sent(of: u64, there: usize) -> Result<usize, std::io::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let next = move |offset: u64| {
                let left = there.saturating_sub(usize::try_from(offset).unwrap()).min(100_000);
                async move { Some(Bytes::from(vec![7; left])) }
            };
            pieces(vec![7; 100_000].into(), of, next).collect().await.map(|body| body.to_bytes().len())
        })
    }

    #[test]
    fn a_file_arrives_whole_and_a_part_is_never_taken_for_it() {
        assert_eq!(sent(100_000, 100_000).unwrap(), 100_000);
        assert_eq!(sent(1_234_567, 1_234_567).unwrap(), 1_234_567);
        assert!(sent(1_234_567, 700_000).is_err());
        assert!(sent(150_000, 300_000).is_err());
    }

    #[test]
    fn nothing_is_asked_for_ahead_of_who_takes_it_and_nothing_after_they_hung_up() {
        let asked = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let counted = Arc::clone(&asked);
            let next = move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { Some(Bytes::from(vec![7; PART])) }
            };
            let body = pieces(vec![7; PART].into(), u64::MAX, next);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            drop(body);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
