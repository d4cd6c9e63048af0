//! What a scenario file may say, and what is said about one that is wrong.

use serde_json::json;

use super::*;
use crate::Bus;

const HEAD: &str = "title = \"t\"\n[disk]\nimage = \"$first\"\n";

/// A file with these steps, one a line from line 2 on.
fn file(steps: &[&str]) -> Result<Scenario> {
    Scenario::parse(&format!("steps = [\n{},\n]\n{HEAD}", steps.join(",\n")), "dir/x.toml")
}

fn refused(step: &str) -> String {
    file(&["{ power = \"on\" }", step]).expect_err(step).to_string()
}

#[test]
fn a_file_says_what_runs_where_and_in_which_order() {
    let text = "title = \"t\"\nfirmware = [\"uefi\", \"secure-boot\"]\nmemory = \"1GiB\"\nports = [80]\n\
        steps = [{ power = \"on\" }, { expect = [\"a\", \"b\"], not-before = [\"c\"], within = \"3 boots\" }]\n\
        [disk]\nimage = \"$first\"\nsize = \"2GiB\"\nbus = \"nvme\"\n\
        [[drive]]\nname = \"stick\"\nfiles = { \"UPDATE.PKG\" = \"$good-base\" }\n\
        [[drive]]\nname = \"twin\"\ntwin = true\n";
    let scenario = Scenario::parse(text, "some/where/base-update.toml").unwrap();
    assert_eq!(
        (scenario.name.as_str(), scenario.firmware),
        ("base-update", vec![FirmwareName::Uefi, FirmwareName::SecureBoot])
    );
    assert_eq!((scenario.memory, scenario.disk.bus), (Bytes::GIB, Bus::Nvme));
    assert_eq!(scenario.drives[1].content, DriveContent::Twin);
    let expected = Action::Expect { wanted: ["a", "b"].into(), not_before: vec!["c".into()], within: Limit::Boots(3) };
    assert_eq!(scenario.steps[1].action, expected);
    assert_eq!(scenario.steps[1].line, 5);
}

#[test]
fn without_a_list_a_scenario_is_for_every_firmware() {
    assert_eq!(file(&["{ power = \"on\" }"]).unwrap().firmware, FirmwareName::ALL);
}

#[test]
fn every_action_is_understood() {
    for (step, shown) in [
        ("{ power = \"cut\", when = \"writing\", after = \"250 ms\" }", "power cut at \"writing\" after 250 ms"),
        ("{ power = \"button\", within = \"20 s\" }", "power button"),
        ("{ power = \"reset\" }", "reset"),
        ("{ power = \"off\", within = \"1 boot\" }", "wait until it has switched itself off"),
        ("{ expect = { regex = \"a+\" } }", "expect /a+/"),
        (
            "{ run = \"false\", exit-code = 1, prints = [\"x\"], prints-not = [[\"y\", \"z\"]] }",
            "run false, exit code 1, prints \"x\", prints not \"y\" and \"z\"",
        ),
        ("{ until = \"test -e /x\", within = \"2 min\" }", "until test -e /x"),
        ("{ type = \"reboot\" }", "type reboot"),
        (
            "{ status = { \"/slot\" = \"a\", \"/x\" = { absent = true } }, within = \"1 boot\" }",
            "status /slot is \"a\", /x is absent",
        ),
        (
            "{ freeze = \"disk\", when = \"x\", reset-within = \"60 s\" }",
            "freeze disk at \"x\" until the machine restarts",
        ),
        ("{ http = \"80/status.json\", http-status = 404 }", "http port 80 /status.json answers 404"),
        ("{ flip-byte = \"base-a\", offset = 77 }", "flip a bit of partition base-a at byte 77 on disk"),
        (
            "{ zero = \"base-b\", offset = \"footer\", length = \"4KiB\" }",
            "zero 4 KiB of partition base-b at its footer on disk",
        ),
        ("{ copy-partition = \"base-a\", to = \"base-b\" }", "copy partition base-a over base-b on disk"),
        ("{ destroy-boot-state = \"disk\" }", "destroy the boot state on disk"),
        ("{ power = \"on\", clock = \"-10 years\" }", "power on, its clock 3652 days behind"),
    ] {
        let scenario = file(&[step]).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(scenario.steps[0].action.to_string(), shown);
    }
}

#[test]
fn a_depot_answers_on_a_drive_that_the_file_describes() {
    let step = "steps = [{ answer = \"$depot\", drive = \"stick\" }]\n";
    let text = format!("{step}{HEAD}[[drive]]\nname = \"stick\"\nsize = \"64MiB\"\n");
    let scenario = Scenario::parse(&text, "x.toml").unwrap();
    assert_eq!(scenario.steps[0].action.to_string(), "$depot answers the key, on stick");
    assert!(refused("{ answer = \"$depot\", drive = \"stick\" }").contains("there is no drive \"stick\""));
}

#[test]
fn every_key_of_a_step_belongs_to_an_action_or_goes_with_one() {
    let known: Vec<&str> =
        ACTIONS.iter().flat_map(|(action, further)| further.iter().chain([action])).copied().collect();
    let message = refused("{ nonsense = 1 }");
    let (_, listed) = message.split_once("valid keys here: ").unwrap();
    for key in listed.split(", ") {
        assert!(known.contains(&key), "\"{key}\" can be written but goes with no action");
    }
    assert_eq!(listed.split(", ").count(), known.iter().collect::<std::collections::BTreeSet<_>>().len());
}

#[test]
fn what_is_wrong_in_a_step_is_said_with_its_place_and_what_is_allowed() {
    for (step, said) in [
        ("{ pwoer = \"on\" }", "dir/x.toml:3:3: unknown key \"pwoer\"; valid keys here: power, expect, run"),
        ("{ }", "dir/x.toml:3:1: this step says nothing to do; give it one of: power, expect"),
        ("{ run = \"a\", type = \"b\" }", "dir/x.toml:3:1: this step has \"run\" and \"type\"; a step does one thing"),
        ("{ type = \"b\", within = \"1 boot\" }", "\"within\" does not go with \"type\", which may have: nothing else"),
        ("{ run = \"b\", when = \"x\" }", "\"when\" does not go with \"run\", which may have: exit-code, prints"),
        ("{ power = \"of\" }", "power = \"of\" is unknown; it is \"on\", \"off\", \"cut\", \"reset\" or \"button\""),
        ("{ power = \"on\", after = \"1 s\" }", "\"when\" and \"after\" go with power = \"cut\", not with \"on\""),
        (
            "{ expect = \"a\", within = \"3\" }",
            "\"3\" is no time; write \"500 ms\", \"20 s\" or \"2 min\", or \"3 boots\"",
        ),
        ("{ expect = \"a\", within = \"x boots\" }", "\"x\" is not a number of boots"),
        ("{ expect = \"\" }", "an empty text is in every line"),
        ("{ expect = [] }", "an empty text is in every line"),
        ("{ expect = { regex = \"(\" } }", "\"(\" is not a regular expression"),
        ("{ expect = 5 }", "a text, a list of texts that are in one line, or { regex = \"...\" }"),
        ("{ status = { slot = \"a\" } }", "\"slot\" is no JSON pointer; it begins with \"/\""),
        ("{ status = { \"/slot\" = { like = \"a\" } } }", "a fact is a value, { contains = \"text\" }"),
        ("{ http = \"80\" }", "\"http\" is PORT/PATH, such as \"80/\""),
        ("{ http = \"x/\" }", "\"x\" is not a port"),
        (
            "{ flip-byte = \"base-a\" }",
            "\"offset\" is a number of bytes from the start of the partition, or \"footer\"",
        ),
        ("{ zero = \"base-a\", offset = 0 }", "\"zero\" needs a \"length\""),
        ("{ answer = \"$depot\" }", "\"answer\" needs \"drive\", the name of a [[drive]]"),
        ("{ copy-partition = \"base-a\" }", "\"copy-partition\" needs \"to\""),
        ("{ freeze = \"stick\" }", "there is no drive \"stick\"; there are: disk"),
        ("{ depot = \"on\" }", "there is no depot; describe it with [depot]"),
        ("{ depot = \"of\" }", "depot = \"of\" is unknown; it is \"on\" or \"off\""),
        ("{ sent = \"x\" }", "\"sent\" needs \"percent\", the least and the most"),
        ("{ sent = \"x\", percent = [9, 8] }", "\"sent\" needs \"percent\""),
        ("{ power = \"on\", clock = \"1999\" }", "\"1999\" is no clock; write how wrong it is: \"+10 years\""),
        ("{ power = \"cut\", clock = \"+1 day\" }", "\"clock\" goes with power = \"on\", not with \"cut\""),
        ("{ run = \"a\", exit-code = 256 }", "dir/x.toml:3:"),
    ] {
        let message = refused(step);
        assert!(message.contains(said), "{message}");
        assert!(message.starts_with("dir/x.toml:3:"), "{message}");
    }
}

#[test]
fn what_is_wrong_outside_the_steps_is_refused_too() {
    let steps = "steps = [{ power = \"on\" }]\n";
    for (text, said) in [
        (format!("{steps}{HEAD}[[drive]]\nname = \"disk\"\ntwin = true\n"), "there is a drive \"disk\" already"),
        (format!("{steps}{HEAD}[[drive]]\nname = \"x\"\n"), "exactly one of \"files\", \"image\" and \"twin = true\""),
        (format!("{steps}{HEAD}[[drive]]\nname = \"x\"\ntwin = true\nimage = \"y\"\n"), "exactly one of"),
        (
            format!("{steps}{HEAD}[[drive]]\nname = \"x\"\nsize = \"1MiB\"\npartitioned = true\n"),
            "\"partitioned = true\" goes with \"files\" alone",
        ),
        (
            format!("network = false\nports = [80]\n{steps}{HEAD}"),
            "without a network card no \"ports\" lead to the guest",
        ),
        (
            format!("network = false\n{steps}{HEAD}[depot]\nfolder = \"$depot\"\n"),
            "x.toml:6:1: without a network card no depot is reached",
        ),
        (format!("firmware = []\n{steps}{HEAD}"), "\"firmware\" is an empty list"),
        (format!("firmware = [\"floppy\"]\n{steps}{HEAD}"), "x.toml:1:13: unknown variant \"floppy\""),
        (format!("steps = []\n{HEAD}"), "there are no steps"),
        (format!("{steps}title = \"t\"\n"), "missing field \"disk\""),
        (format!("{steps}{HEAD}sise = 1\n"), "x.toml:5:1: unknown key \"sise\"; valid keys here: image, size, bus"),
        ("steps = [".to_owned(), "x.toml:1:"),
    ] {
        let message = Scenario::parse(&text, "x.toml").expect_err(&text).to_string();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_depot_is_a_folder_that_steps_switch_and_measure() {
    let text = "title = \"t\"\nsteps = [\n{ depot = \"off\" },\n{ depot = \"on\", rate = \"1MiB\" },\n\
        { sent = [\"demo\", \".pkg\"], percent = [30, 60], within = \"1 min\" },\n]\n\
        [disk]\nimage = \"$first\"\n[depot]\nfolder = \"$depot\"\nrate = \"400KiB\"\nhttps = true\n";
    let scenario = Scenario::parse(text, "x.toml").unwrap();
    let wanted = DepotSpec { folder: "$depot".to_owned(), rate: Some(Bytes(400 << 10)), https: true };
    assert_eq!(scenario.depot, Some(wanted));
    assert!(scenario.network);
    let shown: Vec<_> = scenario.steps.iter().map(|step| step.action.to_string()).collect();
    assert_eq!(shown, ["depot off", "depot on, 1 MiB each second", "sent 30 to 60 % of \"demo\" and \".pkg\""]);
    let without = Scenario::parse(&format!("network = false\nsteps = [{{ power = \"on\" }}]\n{HEAD}"), "x.toml");
    assert!(!without.unwrap().network);
}

#[test]
fn letters_are_counted_only_where_somebody_takes_them() {
    let text = |keys: &str| format!("{keys}steps = [{{ mail = 1, prints = [\"Size: \"] }}]\n{HEAD}");
    let parse = |keys: &str| Scenario::parse(&text(keys), "x.toml");
    assert_eq!(
        parse("mailbox = true\n").unwrap().steps[0].action.to_string(),
        "mail: 1 sent, the last with \"Size: \""
    );
    assert!(parse("").unwrap_err().to_string().contains("say mailbox = true"));
    let without = parse("mailbox = true\nnetwork = false\n").unwrap_err().to_string();
    assert!(without.contains("without a network card no letter is sent"), "{without}");
}

#[test]
fn facts_are_values_parts_of_texts_or_absent() {
    let scenario = file(&[
        "{ status = { \"/a\" = 1, \"/b\" = { contains = \"x\" }, \"/c\" = { absent = true }, \"/d\" = true } }",
    ]);
    let Action::Status { facts, within: None } = &scenario.unwrap().steps[0].action else { panic!("no status") };
    let expected = [Fact::Is(json!(1)), Fact::Contains("x".to_owned()), Fact::Absent, Fact::Is(json!(true))];
    assert_eq!(facts.values().cloned().collect::<Vec<_>>(), expected);
}
