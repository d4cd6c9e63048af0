//! An authority made with the `openssl` program: whatever it makes is another program's work, and it judges what is ours.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder with a root, an intermediate, and whatever is made beside them.
pub struct Authority(tempfile::TempDir);

impl Authority {
    /// Root and intermediate, both RSA.
    pub fn new() -> Self {
        let ours = Self(tempfile::tempdir().unwrap());
        ours.key("root", "RSA -pkeyopt rsa_keygen_bits:2048");
        ours.run("req -x509 -new -key root.key -subj /CN=Root -days 3650 -out root.crt");
        ours.key("middle", "RSA -pkeyopt rsa_keygen_bits:2048");
        ours.write("middle.cnf", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n");
        ours.run("req -new -key middle.key -subj /CN=Middle -out middle.csr");
        ours.run("x509 -req -in middle.csr -CA root.crt -CAkey root.key -CAcreateserial -days 1825 -extfile middle.cnf -out middle.crt");
        ours
    }

    /// A key, `NAME.key`; `kind` as `openssl genpkey -algorithm` takes it.
    pub fn key(&self, name: &str, kind: &str) {
        self.run(&format!("genpkey -algorithm {kind} -out {name}.key"));
    }

    /// A certificate `NAME.crt` for `NAME.key`, signed by the intermediate, with these extensions and further options.
    pub fn sign(&self, name: &str, extensions: &str, options: &str) {
        self.write(&format!("{name}.cnf"), extensions);
        self.run(&format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"));
        self.run(&format!(
            "x509 -req -in {name}.csr -CA middle.crt -CAkey middle.key -CAcreateserial -extfile {name}.cnf -out {name}.crt {options}"
        ));
    }

    /// The ordinary server's certificate for `one.example`, good for a year.
    pub fn server(&self, name: &str, kind: &str) {
        self.key(name, kind);
        self.sign(name, "subjectAltName=DNS:one.example,DNS:*.two.example,IP:192.0.2.10\n", "-days 365");
    }

    /// Runs `openssl`; what it prints. An argument with a space is written with `~`.
    pub fn run(&self, arguments: &str) -> String {
        self.try_run(arguments).unwrap_or_else(|problem| panic!("openssl {arguments}: {problem}"))
    }

    /// The same, or what went wrong.
    pub fn try_run(&self, arguments: &str) -> Result<String, String> {
        let arguments = arguments.split_whitespace().map(|argument| argument.replace('~', " "));
        let output = Command::new("openssl").args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).output();
        let output = output.expect("needs the program openssl; scripts/setup installs it");
        let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Its bytes.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|problem| panic!("{name}: {problem}"))
    }

    /// Writes one.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Several of them in one, in this order.
    pub fn bundle(&self, names: &[&str]) -> Vec<u8> {
        names.iter().flat_map(|name| self.read(name)).collect()
    }
}
