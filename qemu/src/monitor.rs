//! A minimal client of the QEMU Machine Protocol (QMP specification 2.1 in QEMU's `docs/interop/qmp-spec`): JSON lines over a
//! Unix socket that the emulator connects to. Knows how to run a command and to count resets and the reason of the end.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A connected monitor.
#[derive(Debug)]
pub struct Monitor {
    writer: UnixStream,
    events: Arc<(Mutex<Events>, Condvar)>,
}

#[derive(Debug, Default)]
struct Events {
    resets: u32,
    /// Time of the last reset on the host's clock, in microseconds.
    last_reset: Option<u64>,
    shutdown: Option<String>,
    /// Answers to commands, in order.
    answers: Vec<Value>,
    closed: bool,
}

impl Monitor {
    /// Takes the emulator's greeting and leaves negotiation mode. The error is a plain text: the caller knows why QEMU ended.
    pub fn connect(stream: UnixStream, timeout: Duration) -> Result<Self, String> {
        let reader = BufReader::new(stream.try_clone().map_err(|error| error.to_string())?);
        let events = Arc::new((Mutex::new(Events::default()), Condvar::new()));
        let shared = Arc::clone(&events);
        std::thread::spawn(move || {
            // QMP messages are short; a line that is no JSON ends the conversation.
            for line in reader.lines().map_while(Result::ok) {
                let Ok(message) = serde_json::from_str::<Value>(&line) else { break };
                shared.0.lock().unwrap_or_else(PoisonError::into_inner).receive(message);
                shared.1.notify_all();
            }
            shared.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
            shared.1.notify_all();
        });
        let mut monitor = Self { writer: stream, events };
        monitor.execute("qmp_capabilities", timeout)?;
        Ok(monitor)
    }

    /// Runs a command without arguments and waits for its answer.
    pub fn execute(&mut self, command: &str, timeout: Duration) -> Result<Value, String> {
        self.execute_with(command, &json!({}), timeout)
    }

    /// Runs a command with arguments (an object) and waits for its answer.
    pub fn execute_with(&mut self, command: &str, arguments: &Value, timeout: Duration) -> Result<Value, String> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.writer.write_all(line.as_bytes()).map_err(|error| format!("monitor command \"{command}\": {error}"))?;
        let deadline = Instant::now() + timeout;
        let mut events = self.events.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !events.answers.is_empty() {
                let answer = events.answers.remove(0);
                return match answer.get("error") {
                    Some(error) => Err(format!("monitor command \"{command}\" was refused: {error}")),
                    None => Ok(answer["return"].clone()),
                };
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if events.closed {
                return Err(format!("monitor command \"{command}\": the emulator closed the connection"));
            }
            if left.is_zero() {
                return Err(format!("monitor command \"{command}\": no answer within {} s", timeout.as_secs()));
            }
            events = self.events.1.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How often the machine was reset since its start. `SeaBIOS` answers each reset with two more of its own within 0.1 s, so
    /// resets less than [`RESET_BURST`] apart count as one.
    pub fn resets(&self) -> u32 {
        self.events.0.lock().unwrap_or_else(PoisonError::into_inner).resets
    }

    /// Why the machine stopped (`guest-shutdown`, `guest-reset`, `guest-panic`, `host-qmp-quit`, ...), once it has.
    pub fn shutdown_reason(&self) -> Option<String> {
        self.events.0.lock().unwrap_or_else(PoisonError::into_inner).shutdown.clone()
    }
}

impl Events {
    fn receive(&mut self, message: Value) {
        match message["event"].as_str() {
            Some("RESET") => {
                let stamp = &message["timestamp"];
                let part = |name: &str| stamp[name].as_u64().unwrap_or(0);
                let now = part("seconds").saturating_mul(1_000_000).saturating_add(part("microseconds"));
                let burst = u64::try_from(RESET_BURST.as_micros()).unwrap_or(u64::MAX);
                if self.last_reset.is_none_or(|last| now.saturating_sub(last) >= burst) {
                    self.resets += 1;
                }
                self.last_reset = Some(now);
            }
            Some("SHUTDOWN") => {
                self.shutdown = Some(message["data"]["reason"].as_str().unwrap_or("unknown").to_owned());
            }
            None if message.get("return").is_some() || message.get("error").is_some() => self.answers.push(message),
            // other events, and the greeting
            _ => {}
        }
    }
}

/// No guest boots and resets within this time.
pub const RESET_BURST: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn peer(script: &'static str) -> Result<Monitor, String> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(script.as_bytes()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        Monitor::connect(ours, SOON)
    }

    #[test]
    fn counts_bursts_of_resets_and_keeps_the_reason_of_the_end() {
        let monitor = peer(concat!(
            "{\"QMP\": {}}\n",
            "{\"event\": \"RESET\", \"timestamp\": {\"seconds\": 100, \"microseconds\": 0}}\n",
            "{\"event\": \"RESET\", \"timestamp\": {\"seconds\": 100, \"microseconds\": 90000}}\n",
            "{\"event\": \"RESET\", \"timestamp\": {\"seconds\": 102, \"microseconds\": 0}}\n",
            "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\n{\"return\": {}}\n"
        ))
        .unwrap();
        assert_eq!(monitor.resets(), 2);
        assert_eq!(monitor.shutdown_reason().as_deref(), Some("guest-shutdown"));
    }

    #[test]
    fn a_refusal_and_a_closed_connection_are_errors() {
        let refused =
            peer("{\"QMP\": {}}\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n").unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
        assert!(peer("").unwrap_err().contains("closed"));
        assert!(peer("this is no JSON\n").unwrap_err().contains("closed"));
    }
}
