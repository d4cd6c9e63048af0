//! Who uses a mounted file system: what "device or resource busy" leaves out.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// More names would not help anyone.
const SHOWN: usize = 3;

/// The processes with a file, directory or program on the file system with this device number (as in `st_dev`), in words. Processes
/// that end while they are looked at, or may not be looked at, are left out.
pub fn holders(device: u64) -> String {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<(u32, String)> = entries
        .filter_map(|process| {
            let number = process.file_name()?.to_str()?.parse().ok()?;
            holds(&process, device).then(|| (number, name(&process)))
        })
        .collect();
    found.sort();
    sentence(&found)
}

fn holds(process: &Path, device: u64) -> bool {
    // These are links the kernel follows without a path: also what was deleted or lies under another mount is found.
    let on_it = |link: &Path| fs::metadata(link).is_ok_and(|metadata| metadata.dev() == device);
    let opened = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    ["cwd", "root", "exe"].iter().any(|link| on_it(&process.join(link)))
        || opened.into_iter().any(|file| on_it(&file))
        || fs::read_dir(process.join("map_files"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .any(|file| on_it(&file))
}

fn name(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim_end().chars().filter(|letter| !letter.is_control()).collect()
}

fn sentence(found: &[(u32, String)]) -> String {
    let names = found.iter().take(SHOWN).map(|(number, name)| format!("\"{name}\" (process {number})"));
    let mut words: Vec<String> = names.collect();
    match found.len() {
        0 => return "something that is no process, for example a mount in another name space".into(),
        more if more > SHOWN => words.push(format!("{} more", more.saturating_sub(SHOWN))),
        _ => {}
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_holds_a_file_system_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").current_dir(folder.path()).spawn().unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        assert!(holds(Path::new(&format!("/proc/{}", child.id())), device));
        assert!(!holds(Path::new(&format!("/proc/{}", child.id())), u64::MAX));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn three_names_are_enough_and_nobody_is_said_to_be_nobody() {
        let of = |number: u32| (1..=number).map(|n| (n, "httpd".into())).collect::<Vec<_>>();
        assert_eq!(sentence(&of(2)), "\"httpd\" (process 1), \"httpd\" (process 2)");
        assert!(sentence(&of(5)).ends_with("(process 3), 2 more"));
        assert!(sentence(&[]).contains("another name space"));
        assert!(holders(u64::MAX).contains("no process"));
    }
}
