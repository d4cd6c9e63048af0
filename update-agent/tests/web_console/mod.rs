//! An appliance whose console answers at a port of this machine: keepers over a disk image file with base 1 and site 10.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use update_agent::reader::Program;
use update_agent::serve::desk::Desk;
use update_agent::serve::guard::Guard;
use update_agent::serve::keeper::{Keeper, Setup};

use crate::appliance::{AGENT, desk};
use crate::disk_file;
use crate::fixtures::{Release, trust};

/// The appliance.
pub struct Console {
    pub directory: tempfile::TempDir,
    pub address: SocketAddr,
    pub desk: Desk,
    _here: Keeper,
    there: Keeper,
}

/// An answer as `curl` shows it.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// The same as it came, which need not be text.
    pub bytes: Vec<u8>,
}

impl Console {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        disk_file::write(&path("disk.img"), |_| 1);
        fs::write(path("trust.json"), trust().encode().unwrap()).unwrap();
        let desk = desk(directory.path(), Program::at(AGENT));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let here = Setup { desk: desk.clone(), socket: path("agent.sock"), program: AGENT.into() };
        let here = Keeper::start(here).unwrap();
        let guard = Box::new(Guard::new(desk.clone()));
        let there = Keeper::keep(guard, listener.into(), AGENT.into(), None).unwrap();
        let console = Self { directory, address, desk, _here: here, there };
        let until = Instant::now() + Duration::from_mins(1);
        while console.try_curl(&["/static/console.css"]).is_none() {
            assert!(Instant::now() < until, "nobody answers browsers");
            std::thread::sleep(Duration::from_millis(100));
        }
        console
    }

    /// The process that browsers talk to.
    #[allow(dead_code, reason = "of one test")]
    pub fn process(&self) -> u32 {
        self.there.process().unwrap()
    }

    pub fn try_curl(&self, arguments: &[&str]) -> Option<Answer> {
        let (path, rest) = arguments.split_first().unwrap();
        let jar = self.directory.path().join("cookies");
        let output = Command::new("curl")
            .args(["--silent", "--insecure", "--include", "--max-time", "60", "--cookie-jar"])
            .arg(&jar)
            .arg("--cookie")
            .arg(&jar)
            .args(rest)
            .arg(format!("https://{}{path}", self.address))
            .output()
            .expect("curl is missing; run scripts/setup");
        let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(output.stdout[..end].into()).unwrap();
        let bytes = output.stdout[end + 4..].to_vec();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = String::from_utf8_lossy(&bytes).into();
        Some(Answer { status, head: head.to_ascii_lowercase(), body, bytes })
    }

    pub fn curl(&self, arguments: &[&str]) -> Answer {
        self.try_curl(arguments).unwrap_or_else(|| panic!("no answer to {arguments:?}"))
    }

    /// The proof in the forms of a page.
    pub fn proof(&self, path: &str) -> String {
        let body = self.curl(&[path]).body;
        body.split("name=\"proof\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {body}"))[..64].into()
    }

    /// Sends a form from a page.
    pub fn form(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let proof = format!("proof={}", self.proof(page));
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec![action, "--data-urlencode", &proof];
        for field in &fields {
            arguments.extend(["--data-urlencode", field.as_str()]);
        }
        self.curl(&arguments)
    }

    /// Sends a form with files from a page; a value that begins with `@` is the path of one.
    pub fn files(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let proof = format!("proof={}", self.proof(page));
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec![action, "--header", "Expect:", "--form", &proof];
        for field in &fields {
            arguments.extend(["--form", field.as_str()]);
        }
        self.curl(&arguments)
    }

    pub fn claim(&self) {
        let code = self.desk.people.claim_code().unwrap().unwrap();
        let answer = self.form("/claim", "/claim", &[("code", &code), ("name", "anna"), ("password", PASSWORD)]);
        assert_eq!((answer.status, location(&answer)), (303, "/status".into()), "{}", answer.body);
    }

    pub fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.form("/sign-in", "/sign-in", &[("name", name), ("password", password)])
    }

    pub fn sign_out(&self) {
        assert_eq!(self.form("/status", "/sign-out", &[]).status, 303);
    }

    /// The secret in the cookie of who is signed in.
    #[allow(dead_code, reason = "of one test")]
    pub fn session(&self) -> String {
        let jar = fs::read_to_string(self.directory.path().join("cookies")).unwrap();
        let line = jar.lines().find(|line| line.contains("session")).unwrap();
        line.rsplit('\t').next().unwrap().into()
    }

    /// Waits until no job is at work, and returns the last one.
    pub fn job(&self) -> Value {
        let until = Instant::now() + Duration::from_mins(2);
        loop {
            let job = serde_json::to_value(self.desk.jobs.last()).unwrap();
            if !job["result"].is_null() {
                return job;
            }
            assert!(Instant::now() < until, "{job}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn staged(&self, name: &str, release: &Release) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, &release.package).unwrap();
        let output = Command::new(AGENT)
            .args(["stage", path.to_str().unwrap(), "--socket"])
            .arg(self.directory.path().join("agent.sock"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().rsplit(' ').next().unwrap_or_else(|| panic!("{text}")).into()
    }
}

/// Where an answer sends its browser.
pub fn location(answer: &Answer) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("location: "));
    line.unwrap_or_default().into()
}

/// Of the first account.
pub const PASSWORD: &str = "correct horse battery staple";
