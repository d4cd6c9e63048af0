//! What the appliance's own agent says about a disk, against what is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::judge::Start;
use crate::{Error, Result};

/// The agent under test, run on this machine with `--disk`.
#[derive(Debug, Clone)]
pub struct Agent {
    /// `update-agent`.
    pub program: PathBuf,
    /// Trust store for it.
    pub trust: PathBuf,
}

impl Agent {
    /// Everything its status says that is not so, given what a start really does.
    pub fn untruths(&self, image: &Path, start: &Start) -> Result<Vec<String>> {
        let output = Command::new(&self.program)
            .args(["status", "--json", "--disk"])
            .arg(image)
            .arg("--trust")
            .arg(&self.trust)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::Input(format!("cannot start \"{}\": {error}", self.program.display())))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Ok(vec![format!("update-agent status failed ({}): {}", output.status, said.trim())]);
        }
        Ok(match serde_json::from_slice(&output.stdout) {
            Ok(status) => untruths(&status, start),
            Err(error) => vec![format!("update-agent status printed no JSON: {error}")],
        })
    }
}

/// Compares a status with what a start does.
fn untruths(status: &Value, start: &Start) -> Vec<String> {
    let mut untruths = Vec::new();
    let mut compare = |what: &str, said: &Value, is: Value| {
        if *said != is {
            untruths.push(format!("status says {what} {said}; it is {is}"));
        }
    };
    let next = &status["next-restart"];
    compare("the next start takes slot", &next["base"]["slot"], start.slot.letter().to_string().into());
    compare("the next start takes version", &next["base"]["release"]["version"], start.base.version.clone().into());
    compare("the next start takes release", &next["base"]["release"]["sequence"], start.base.sequence.into());
    if let Some((slot, site)) = &start.site {
        compare("the site is in slot", &next["site"]["slot"], slot.letter().to_string().into());
        compare("the site has version", &next["site"]["release"]["version"], site.version.clone().into());
    }
    let on_trial = if start.good { Value::Null } else { start.slot.letter().to_string().into() };
    compare("on trial is", &status["on-trial"]["slot"], on_trial);
    untruths
}

#[cfg(test)]
mod tests {
    use formats::SlotId;
    use serde_json::json;

    use super::*;
    use crate::power_cut::judge::Release;

    fn release(name: &str, version: &str, sequence: u64) -> Release {
        Release { name: name.into(), version: version.into(), sequence }
    }

    fn start() -> Start {
        Start {
            slot: SlotId::B,
            base: release("demo-base", "1.1.0", 110),
            good: false,
            site: Some((SlotId::A, release("demo-site", "1.0.0", 1))),
        }
    }

    fn status() -> Value {
        json!({
            "on-trial": { "slot": "b", "release": { "version": "1.1.0" }, "started": false, "tries-left": 3 },
            "next-restart": {
                "base": { "slot": "b", "release": { "version": "1.1.0", "sequence": 110 } },
                "site": { "slot": "a", "release": { "version": "1.0.0", "sequence": 1 } },
            },
        })
    }

    #[test]
    fn a_true_status_has_no_untruths() {
        assert!(untruths(&status(), &start()).is_empty());
    }

    #[test]
    fn each_untruth_is_found() {
        for (pointer, lie, expected) in [
            ("/next-restart/base/slot", json!("a"), "takes slot \"a\"; it is \"b\""),
            ("/next-restart/base/release/version", json!("1.0.0"), "takes version"),
            ("/next-restart/base/release", Value::Null, "takes version null"),
            ("/next-restart/base/release/sequence", json!(1), "takes release 1; it is 110"),
            ("/next-restart/site/slot", json!("b"), "site is in slot"),
            ("/next-restart/site/release/version", json!("9.0.0"), "site has version"),
            ("/on-trial", Value::Null, "on trial is null"),
        ] {
            let mut status = status();
            *status.pointer_mut(pointer).unwrap() = lie;
            let found = untruths(&status, &start()).join("\n");
            assert!(found.contains(expected), "{pointer}: {found}");
        }
        let good = Start { good: true, ..start() };
        assert!(untruths(&status(), &good)[0].contains("on trial is \"b\"; it is null"));
    }

    #[test]
    fn an_agent_that_fails_or_is_not_there_is_noticed() {
        let agent = |program: &str| Agent { program: program.into(), trust: "/dev/null".into() };
        let found = agent("/bin/false").untruths(Path::new("/dev/null"), &start()).unwrap();
        assert!(found[0].contains("status failed"), "{found:?}");
        let found = agent("/bin/true").untruths(Path::new("/dev/null"), &start()).unwrap();
        assert!(found[0].contains("no JSON"), "{found:?}");
        let error = agent("/no/agent").untruths(Path::new("/dev/null"), &start()).unwrap_err();
        assert!(error.chain().contains("cannot start \"/no/agent\""));
    }
}
