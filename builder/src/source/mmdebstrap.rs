//! A Debian system by mmdebstrap: the one source that needs the network.
//!
//! The archive is kept in the caller's cache directory under a name made from the arguments and used again. `bulkhead build` gives a
//! scratch folder: every build follows the archive of the day, and who wants the same bytes twice keeps the tar. mmdebstrap itself is reproducible for the same packages and the same source date epoch.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Context, tar};
use crate::tool::Tool;
use crate::tree::Tree;
use crate::{Error, Result};
use formats::Digest;

/// What to ask mmdebstrap for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mmdebstrap {
    /// Debian release, for example `bookworm`.
    pub suite: String,
    /// `minbase`, `apt`, `essential`, `important`, ... (mmdebstrap(1), `--variant`).
    pub variant: String,
    /// Additional packages.
    pub include: Vec<String>,
    /// Archive URL or `sources.list` line; without it the package sources of this host are used.
    pub mirror: Option<String>,
}

impl Mmdebstrap {
    /// Runs mmdebstrap, unless its archive is in the cache already, and reads the result.
    pub fn load(&self, context: &mut Context) -> Result<Tree> {
        self.check()?;
        let sources = match &self.mirror {
            Some(mirror) => vec![OsString::from(mirror)],
            None => host_sources(Path::new("/etc/apt"))?,
        };
        let epoch = context.source_date_epoch.to_string();
        let name = self.cache_name(&sources, &epoch);
        let archive = context.cache.join(format!("{name}.tar"));
        if !archive.exists() {
            let partial = context.cache.join(format!("{name}.partial.tar"));
            Tool::Mmdebstrap.run(&self.arguments(&partial, &sources), &[("SOURCE_DATE_EPOCH", &epoch)])?;
            fs::rename(&partial, &archive).map_err(Error::io("rename", &partial))?;
        }
        tar::load(&archive, context)
    }

    /// The arguments that write the archive to `output`.
    pub fn arguments(&self, output: &Path, sources: &[OsString]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            vec!["--mode=auto".into(), "--format=tar".into(), format!("--variant={}", self.variant).into()];
        if !self.include.is_empty() {
            arguments.push(format!("--include={}", self.include.join(",")).into());
        }
        arguments.push(self.suite.clone().into());
        arguments.push(output.into());
        arguments.extend_from_slice(sources);
        arguments
    }

    /// Refuses names that mmdebstrap would take for options or several packages.
    fn check(&self) -> Result<()> {
        let plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:=~_/".contains(&byte))
        };
        let named = [("suite", &self.suite), ("variant", &self.variant)];
        let packages = self.include.iter().map(|package| ("package", package));
        for (key, value) in named.into_iter().chain(packages) {
            if !plain(value) {
                return Err(Error::Input(format!("mmdebstrap {key} \"{}\" is not a name", value.escape_debug())));
            }
        }
        if self.mirror.as_deref().is_some_and(|mirror| mirror.is_empty() || mirror.starts_with('-')) {
            return Err(Error::Input(
                "mmdebstrap mirror is not a URL, for example \"http://deb.debian.org/debian\"".into(),
            ));
        }
        Ok(())
    }

    fn cache_name(&self, sources: &[OsString], epoch: &str) -> String {
        let mut text = format!("{epoch}\n");
        for argument in self.arguments(Path::new(""), sources) {
            text.push_str(&argument.to_string_lossy());
            text.push('\n');
        }
        format!("mmdebstrap-{}-{}", self.suite.replace('/', "_"), Digest::of(text.as_bytes()).short())
    }
}

/// The files that say where this host gets its packages, in order.
fn host_sources(apt: &Path) -> Result<Vec<OsString>> {
    let mut found = Vec::new();
    let main = apt.join("sources.list");
    let parts = apt.join("sources.list.d");
    let mut names: Vec<PathBuf> = match fs::read_dir(&parts) {
        Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    for path in std::iter::once(main).chain(names) {
        let known = path.extension().is_some_and(|end| end == "list" || end == "sources");
        let text = if known { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        if text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
            found.push(path.into_os_string());
        }
    }
    if found.is_empty() {
        let apt = apt.display();
        return Err(Error::Input(format!("no package sources in \"{apt}\"; give the mmdebstrap source a mirror")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Mmdebstrap {
        Mmdebstrap {
            suite: "bookworm".into(),
            variant: "minbase".into(),
            include: vec!["systemd-sysv".into(), "iproute2".into()],
            mirror: None,
        }
    }

    #[test]
    fn arguments_are_a_list_and_name_the_output() {
        let arguments = sample().arguments(Path::new("/c/x.tar"), &["/etc/apt/sources.list".into()]);
        let expected = [
            "--mode=auto",
            "--format=tar",
            "--variant=minbase",
            "--include=systemd-sysv,iproute2",
            "bookworm",
            "/c/x.tar",
            "/etc/apt/sources.list",
        ];
        assert_eq!(arguments, expected.map(OsString::from));
    }

    #[test]
    fn refuses_names_that_would_be_options() {
        let mut system = sample();
        system.include.push("--setup-hook=rm".into());
        assert!(system.check().unwrap_err().to_string().contains("package \"--setup-hook=rm\""));
        assert!(Mmdebstrap { suite: String::new(), ..sample() }.check().is_err());
        assert!(Mmdebstrap { mirror: Some("-".into()), ..sample() }.check().is_err());
    }

    #[test]
    fn host_sources_are_the_files_apt_reads_and_that_say_something() {
        let apt = tempfile::tempdir().unwrap();
        assert!(host_sources(apt.path()).unwrap_err().to_string().contains("mirror"));
        fs::create_dir(apt.path().join("sources.list.d")).unwrap();
        fs::write(apt.path().join("sources.list"), "# empty\n").unwrap();
        fs::write(apt.path().join("sources.list.d/b.sources"), "Types: deb\n").unwrap();
        fs::write(apt.path().join("sources.list.d/a.list"), "deb http://x y z\n").unwrap();
        fs::write(apt.path().join("sources.list.d/c.save"), "deb http://x y z\n").unwrap();
        let names: Vec<_> = host_sources(apt.path()).unwrap().into_iter().map(PathBuf::from).collect();
        assert_eq!(names, [apt.path().join("sources.list.d/a.list"), apt.path().join("sources.list.d/b.sources")]);
    }

    #[test]
    fn another_request_or_time_has_another_cache_file() {
        let other = Mmdebstrap { variant: "apt".into(), ..sample() };
        assert_ne!(sample().cache_name(&[], "1"), other.cache_name(&[], "1"));
        assert_ne!(sample().cache_name(&[], "1"), sample().cache_name(&[], "2"));
    }
}
