//! The keeper, seen from a process that serves clients: many ask at the same time, each gets the reply to its own question.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{MAX_ANSWER, Reply, channel};

/// The keeper, and who waits for its replies.
pub struct Correspondent {
    output: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    replies: BTreeMap<u64, (oneshot::Sender<Reply>, Turn)>,
}

/// One of so many questions at a time; nothing where something else bounds them.
pub type Turn = Option<OwnedSemaphorePermit>;

impl Correspondent {
    /// At the other end of this stream; what it sends is for [`Self::distribute`].
    pub fn new(stream: UnixStream) -> (Self, OwnedReadHalf) {
        let (input, output) = stream.into_split();
        (Self { output: Arc::new(tokio::sync::Mutex::new(output)), waiting: Mutex::default() }, input)
    }

    /// Asks and waits. `envelope` puts the number into the question, which has at most `limit` bytes. Nothing when the keeper is gone.
    ///
    /// The keeper works on although a client hangs up, so `turn` ends with the reply and not with the client.
    pub async fn ask<E: Serialize>(&self, limit: usize, turn: Turn, envelope: impl FnOnce(u64) -> E) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut waiting = self.waiting();
            waiting.last = waiting.last.wrapping_add(1);
            waiting.last
        };
        let message = channel::encode(&envelope(id), limit).ok()?;
        self.waiting().replies.insert(id, (sender, turn));
        // In a task of its own, which goes on when the client hangs up: half a message would be read together with the next one.
        let output = Arc::clone(&self.output);
        let sent = tokio::spawn(async move { output.lock().await.write_all(&message).await });
        sent.await.ok()?.ok()?;
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
            } else if let Some((waiting, _turn)) = self.waiting().replies.remove(&reply.id) {
                // Whoever asked may have hung up meanwhile.
                drop(waiting.send(reply));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_client_that_hangs_up_keeps_its_turn_until_the_keeper_has_answered() {
        let (ours, mut keeper) = UnixStream::pair().unwrap();
        let (correspondent, from_keeper) = Correspondent::new(ours);
        let turns = Arc::new(Semaphore::new(1));
        let turn = || async { Some(Arc::clone(&turns).acquire_owned().await.unwrap()) };
        let hurried = correspondent.ask(100, turn().await, |id| json!({ "id": id }));
        assert!(timeout(Duration::from_millis(20), hurried).await.is_err(), "nobody answered");
        assert_eq!(turns.available_permits(), 0, "the keeper is still at it");

        let mut question = vec![0; 4];
        keeper.read_exact(&mut question).await.unwrap();
        let reply = Reply { id: 1, status: 200, body: Value::Null };
        keeper.write_all(&channel::encode(&reply, 100).unwrap()).await.unwrap();
        let listen = correspondent.distribute(from_keeper, |_| ());
        assert!(timeout(Duration::from_millis(20), listen).await.is_err(), "it listens on");
        assert_eq!(turns.available_permits(), 1);
        assert!(correspondent.waiting().replies.is_empty());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_question_that_is_too_long_leaves_nothing_behind() {
        let (ours, _keeper) = UnixStream::pair().unwrap();
        let (correspondent, _from_keeper) = Correspondent::new(ours);
        assert!(correspondent.ask(10, None, |id| json!({ "id": id, "more": "than ten bytes" })).await.is_none());
        assert!(correspondent.waiting().replies.is_empty());
    }
}
