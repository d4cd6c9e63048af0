//! The keeper, seen from a process that serves clients: many ask at the same time, each gets the reply to its own question.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use super::{MAX_ANSWER, Reply, channel};

/// The keeper, and who waits for its replies.
pub struct Correspondent {
    output: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    replies: BTreeMap<u64, oneshot::Sender<Reply>>,
}

impl Correspondent {
    /// At the other end of this stream; what it sends is for [`Self::distribute`].
    pub fn new(stream: UnixStream) -> (Self, OwnedReadHalf) {
        let (input, output) = stream.into_split();
        (Self { output: Arc::new(tokio::sync::Mutex::new(output)), waiting: Mutex::default() }, input)
    }

    /// Asks and waits. `envelope` puts the number into the question, which has at most `limit` bytes. Nothing when the keeper is gone.
    pub async fn ask<E: Serialize>(&self, limit: usize, envelope: impl FnOnce(u64) -> E) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.last = waiting.last.wrapping_add(1);
            let id = waiting.last;
            waiting.replies.insert(id, sender);
            id
        };
        // A client that hangs up must not leave its place in the list behind.
        let _place = Place { keeper: self, id };
        let message = channel::encode(&envelope(id), limit).ok()?;
        // In a task of its own, which goes on when the client hangs up: half a message would be read together with the next one.
        let output = Arc::clone(&self.output);
        tokio::spawn(async move { output.lock().await.write_all(&message).await }).await.ok()?.ok()?;
        receiver.await.ok()
    }

    /// Hands replies to those who wait for them until the keeper is gone, and news, which nobody asked for, to `news`.
    pub async fn distribute(&self, mut input: OwnedReadHalf, mut news: impl FnMut(Value)) -> io::Result<()> {
        loop {
            let mut header = [0; 4];
            if input.read_exact(&mut header).await.is_err() {
                return Ok(());
            }
            let mut json = vec![0; channel::length(header, MAX_ANSWER)?];
            input.read_exact(&mut json).await?;
            let reply: Reply = serde_json::from_slice(&json)?;
            if reply.id == Reply::NEWS {
                news(reply.body);
            } else if let Some(waiting) = self.take(reply.id) {
                // Whoever asked may have hung up meanwhile.
                drop(waiting.send(reply));
            }
        }
    }

    fn take(&self, id: u64) -> Option<oneshot::Sender<Reply>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).replies.remove(&id)
    }
}

struct Place<'a> {
    keeper: &'a Correspondent,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        drop(self.keeper.take(self.id));
    }
}
