//! What machine this is: the kernel's own words about memory, disks and itself, each with its limit.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// All of it; what is not there is said. `root` is where `/proc` is, `data` the mounted data partition.
pub fn facts(root: &Path, data: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for name in FILES {
        text.extend(format!("== /{name}\n").as_bytes());
        let content = read(&root.join(name));
        match content {
            Ok(content) if name == CMDLINE => text.extend(parameters(&content)),
            Ok(content) => text.extend(content),
            Err(problem) => text.extend(format!("(not readable: {problem})").as_bytes()),
        }
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    let space = statvfs(data).map(|space| {
        let size = space.fragment_size();
        let [all, free] = [space.blocks(), space.blocks_available()].map(|blocks| blocks.saturating_mul(size));
        format!("{free} of {all} bytes, {} of {} files", space.files_free(), space.files())
    });
    let space = space.unwrap_or_else(|problem| format!("(not known: {problem})"));
    text.extend(format!("== room on the data partition\n{space}\n").as_bytes());
    text
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// One parameter a line, so that one that is taken out does not take the others with it. What is in quotes stays together.
fn parameters(line: &[u8]) -> Vec<u8> {
    let mut quoted = false;
    let split = |byte: &u8| {
        quoted ^= *byte == b'"';
        if *byte == b' ' && !quoted { b'\n' } else { *byte }
    };
    line.iter().map(split).collect()
}

const FILES: [&str; 8] = [
    "proc/version",
    CMDLINE,
    "proc/uptime",
    "proc/loadavg",
    "proc/meminfo",
    "proc/partitions",
    "proc/mounts",
    "sys/class/dmi/id/product_name",
];
const CMDLINE: &str = "proc/cmdline";
/// Bytes of one of them.
const LONGEST: u64 = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_or_said_to_be_missing_and_parameters_stand_alone() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(root.path().join("proc/cmdline"), "quiet x.note=\"two words\" ro\n").unwrap();
        std::fs::write(root.path().join("proc/mounts"), vec![b'm'; 100_000]).unwrap();
        let facts = String::from_utf8(facts(root.path(), root.path())).unwrap();
        assert!(facts.contains("== /proc/cmdline\nquiet\nx.note=\"two words\"\nro\n"), "{facts}");
        assert!(facts.contains("== /proc/meminfo\n(not readable: "), "{facts}");
        assert!(facts.contains("== room on the data partition\n") && facts.contains(" bytes, "), "{facts}");
        assert!(facts.len() < 40_000, "{}", facts.len());
    }
}
