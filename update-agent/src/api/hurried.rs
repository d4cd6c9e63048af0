//! A client's connection on which every answer has to be taken in time.
//!
//! Without it a client that never reads would keep its connection, and sixteen of them everybody else out. The time runs from the first
//! byte of an answer until all of it is taken: one that reads a byte now and then gains nothing by it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The connection.
pub struct Hurried<S> {
    stream: S,
    patience: Duration,
    /// While an answer is on its way: when it has to have been taken.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Hurried<S> {
    /// Gives the other side so long to take an answer.
    pub const fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: None }
    }

    /// An error when the time is up; else whoever polls is woken when it is.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hurried<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hurried<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// All of the answer was written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.deadline = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    fn block_on(work: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }

    #[test]
    fn an_answer_that_nobody_takes_fails_in_time_and_so_does_one_that_is_taken_byte_by_byte() {
        for drop_by_drop in [false, true] {
            block_on(async {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let mut hurried = Hurried::new(ours, Duration::from_millis(300));
                let reader = tokio::spawn(async move {
                    while drop_by_drop && theirs.read_u8().await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    tokio::time::sleep(Duration::from_secs(20)).await;
                });
                let started = Instant::now();
                let problem = hurried.write_all(&vec![7; 8 << 20]).await.unwrap_err();
                assert_eq!(problem.kind(), io::ErrorKind::TimedOut);
                assert!(started.elapsed() < Duration::from_secs(15));
                reader.abort();
            });
        }
    }

    #[test]
    fn the_time_counts_anew_for_each_answer() {
        block_on(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut hurried = Hurried::new(ours, Duration::from_millis(500));
            for _ in 0..3 {
                hurried.write_all(b"answer").await.unwrap();
                hurried.flush().await.unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
                theirs.read_exact(&mut [0; 6]).await.unwrap();
            }
        });
    }
}
