//! Kernel modules, loaded in the order the builder resolved. There is no dependency resolution on the device.

use std::ffi::CString;
use std::fs::{self, File};

use appliance::{Doing, Error, Result};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use crate::console::say;

const DIRECTORY: &str = "/lib/modules";

/// One line of `/lib/modules/list`.
#[derive(Debug, PartialEq, Eq)]
struct Module {
    file: String,
    parameters: CString,
}

/// Loads every module of the list. One that cannot be loaded is reported and skipped: whether it was needed shows soon enough.
pub fn load_all() -> Result<()> {
    let path = format!("{DIRECTORY}/list");
    let text = match fs::read_to_string(&path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        text => text.doing(|| format!("read \"{path}\""))?,
    };
    let mut declined = false;
    for module in parse(&text)? {
        match load(&module) {
            Ok(Loaded::Yes) => {}
            Ok(Loaded::NotForThisMachine) => declined = true,
            // Drivers of one bus come together: where the bus is absent, the drivers behind it miss its symbols, and nobody minds.
            Err(Error::Refused(_)) if declined => {}
            Err(problem) => say(&problem.to_string()),
        }
    }
    Ok(())
}

/// What became of a module.
enum Loaded {
    Yes,
    NotForThisMachine,
}

fn load(module: &Module) -> Result<Loaded> {
    let path = format!("{DIRECTORY}/{}", module.file);
    let file = File::open(&path).doing(|| format!("open \"{path}\""))?;
    match finit_module(&file, &module.parameters, ModuleInitFlags::empty()) {
        Err(Errno::EEXIST) => Ok(Loaded::Yes),
        // A driver whose hardware (or firmware) this machine does not have.
        Err(Errno::ENODEV) => Ok(Loaded::NotForThisMachine),
        // The kernel's word for this is "no such file".
        Err(Errno::ENOENT) => Err(Error::Refused(format!(
            "cannot load module \"{}\": a symbol it needs is missing, so a module before it is",
            module.file
        ))),
        result => result.map(|()| Loaded::Yes).doing(|| format!("load module \"{}\"", module.file)),
    }
}

fn parse(text: &str) -> Result<Vec<Module>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (file, parameters) = line.split_once(' ').unwrap_or((line, ""));
            let parameters = CString::new(parameters.trim()).ok().filter(|_| !file.contains('/'));
            let parameters =
                parameters.ok_or_else(|| Error::Refused(format!("\"{DIRECTORY}/list\" has the bad line {line:?}")))?;
            Ok(Module { file: file.into(), parameters })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_keeps_order_and_parameters() {
        let list = parse("virtio.ko\n\n# watchdog\nsoftdog.ko soft_margin=60 nowayout=1\n").unwrap();
        assert_eq!(list.iter().map(|m| m.file.as_str()).collect::<Vec<_>>(), ["virtio.ko", "softdog.ko"]);
        assert_eq!(list[1].parameters.to_str(), Ok("soft_margin=60 nowayout=1"));
    }

    #[test]
    fn refuses_a_path_and_a_zero_byte() {
        assert!(parse("../x.ko").is_err());
        assert!(parse("x.ko a=\0").is_err());
    }
}
