//! A small product that builds anywhere: a hand-made kernel and module, development keys, any program as init.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::samples::module;

/// The folder of a recipe and what it names.
pub struct Product {
    folder: tempfile::TempDir,
    /// Added to the command line of the next builds.
    pub extra: Vec<String>,
    /// Run before the program, for example `setpriv`; its last argument is followed by the program.
    pub through: Vec<String>,
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The recipe every product starts from.
pub const RECIPE: &str = r#"recipe = 1

[product]
name = "sample"
version = "1.0.0"
sequence = 1
hardware = ["x86-64-generic"]
source-date-epoch = 1767225600

[keys]
directory = "keys"
allow-development = true

[disk]
esp = "34MiB"
base-slot = "32MiB"
site-slot = "8MiB"
data = "16MiB"

[kernel]
initramfs-modules = ["dm-verity"]

[[base.layer]]
directory = "base"

[host]
init = "/bin/true"
update-agent = "/bin/true"
"#;

impl Product {
    /// Writes recipe, keys and base into a new folder.
    pub fn new() -> Self {
        let product = Self { folder: tempfile::tempdir().unwrap(), extra: Vec::new(), through: Vec::new() };
        product.write("recipe.toml", RECIPE);
        for (name, bytes) in keys() {
            product.write(&format!("keys/{name}"), bytes);
            let mode = if Path::new(&name).extension().is_some_and(|end| end == "key") { 0o600 } else { 0o644 };
            fs::set_permissions(product.path(&format!("keys/{name}")), fs::Permissions::from_mode(mode)).unwrap();
        }
        product.write("base/boot/vmlinuz-6.1-test", "kernel");
        let verity = "base/usr/lib/modules/6.1-test/kernel/drivers/md/dm-verity.ko";
        product.write(verity, module(&["name=dm_verity", "depends="]));
        std::os::unix::fs::symlink("usr/lib", product.path("base/lib")).unwrap();
        product
    }

    /// A path in the product's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path as messages show it.
    pub fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Replaces a part of the recipe that must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let recipe = fs::read_to_string(self.path("recipe.toml")).unwrap();
        assert!(recipe.contains(from), "{from}");
        self.write("recipe.toml", recipe.replacen(from, to, 1));
    }

    /// Replaces the source of the base.
    pub fn layer(&self, source: &str) {
        self.edit("directory = \"base\"", source);
    }

    /// Puts a layer on top of the base.
    pub fn on_top(&self, source: &str) {
        self.edit("[host]", &format!("[[base.layer]]\n{source}\n\n[host]"));
    }

    /// Makes an archive with these bytes a layer on top of the base.
    pub fn tar_on_top(&self, bytes: impl AsRef<[u8]>) {
        self.write("more.tar", bytes);
        self.on_top("tar = \"more.tar\"");
    }

    /// Gives everything to a user without rights and runs the program as that user from now on, when the tests run as root.
    pub fn without_root(&mut self) {
        if nix::unistd::Uid::effective().is_root() {
            let program = self.path("program");
            fs::copy(env!("CARGO_BIN_EXE_bulkhead"), &program).unwrap();
            let status = Command::new("chown").args(["-R", "65534:65534"]).arg(self.folder.path()).status().unwrap();
            assert!(status.success());
            let change = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];
            self.through = change.map(str::to_owned).to_vec();
        }
    }

    /// The command that builds the product into `out`.
    pub fn command(&self) -> Command {
        let copy = self.path("program");
        let program = if copy.exists() { copy } else { env!("CARGO_BIN_EXE_bulkhead").into() };
        let mut words: Vec<std::ffi::OsString> = self.through.iter().map(Into::into).collect();
        words.extend([program.into(), "build".into(), self.path("recipe.toml").into(), "-o".into()]);
        words.push(self.path("out").into());
        words.extend(self.extra.iter().map(Into::into));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/");
        command
    }

    /// Builds into `out`.
    pub fn build(&self) -> Outcome {
        self.command().output().unwrap().into()
    }

    /// The image a build makes.
    pub fn image(&self) -> PathBuf {
        self.path("out/sample-1.0.0.img")
    }

    /// What is in the output folder, hidden files included.
    pub fn results(&self) -> Vec<String> {
        names(&self.path("out"))
    }
}

impl Drop for Product {
    /// Makes everything removable again; without root, a folder nobody may enter would stay behind.
    fn drop(&mut self) {
        drop(Command::new("chmod").args(["-R", "u+rwX"]).arg(self.folder.path()).status());
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Outcome {
    /// Expects this exit code, every one of these texts in the message, and no trace of a crash.
    pub fn expect(&self, what: &str, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{what}: {self:?}");
        assert!(
            !self.stderr.contains("panicked") && !self.stderr.contains("internal error"),
            "{what}: {}",
            self.stderr
        );
        for word in words {
            assert!(self.stderr.contains(word), "{what}: no {word:?} in: {}", self.stderr);
        }
        if code != 0 {
            let last = self.stderr.trim_end().lines().last().unwrap_or_default();
            assert!(!last.ends_with('.'), "{what}: {last}");
            assert_eq!(self.stdout, "", "{what}");
        }
    }
}

/// Runs a verb of the program.
pub fn bulkhead<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Outcome {
    Command::new(env!("CARGO_BIN_EXE_bulkhead")).args(arguments).output().unwrap().into()
}

/// The sorted names in a folder; none when there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The files of a set of development keys, made once: it takes a while.
pub fn keys() -> &'static [(String, Vec<u8>)] {
    static KEYS: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        builder::keys::generate(&keys, true, 1_767_225_600, "sample", None).unwrap();
        names(&keys).into_iter().map(|name| (name.clone(), fs::read(keys.join(name)).unwrap())).collect()
    })
}
