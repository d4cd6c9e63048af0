//! Keys that are on other machines: what is asked, what comes back, and what is refused. Read back with the appliance's own client.

#[path = "support/cut.rs"]
mod cut;
#[path = "support/depot.rs"]
mod depot;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::ceremony::{Answer, Collected, Content, Request, Shown, answer};
use builder::depot::{Creation, Edit, RealStorage, Signers, State, import};
use builder::{Error, keys};
use cut::cut_everywhere;
use depot::{NOW, Release, Shop, content, delivered, make_keys, seen};
use formats::manifest::Kind;
use serde_json::json;

const DAY: i64 = 86_400;

fn base(version: &'static str, sequence: u64) -> Release {
    Release::new(Kind::Base, version, sequence)
}

/// Moves the private keys of these roles out of the shop's folder.
fn taken_offline(shop: &Shop, roles: &[&str]) -> PathBuf {
    let vault = shop.path("vault");
    fs::create_dir_all(&vault).unwrap();
    fs::copy(shop.keys.join("keys.json"), vault.join("keys.json")).unwrap();
    for role in roles {
        fs::rename(shop.keys.join(format!("{role}.key")), vault.join(format!("{role}.key"))).unwrap();
        fs::copy(shop.keys.join(format!("{role}.pub")), vault.join(format!("{role}.pub"))).unwrap();
    }
    vault
}

fn requested(
    shop: &Shop,
    signers: &Signers,
    now: i64,
    change: impl FnOnce(&mut Edit<'_>, &State) -> builder::Result<()>,
) -> builder::Result<Request> {
    let mut storage = RealStorage;
    let (mut edit, before) = Edit::begin(&shop.depot, signers, &mut storage, now)?;
    change(&mut edit, &before)?;
    edit.request(&before)
}

/// Has it signed by the keys in each of these folders, over files as in life.
fn answered(shop: &Shop, request: &Request, folders: &[&Path]) -> Vec<PathBuf> {
    let at = |name: String| shop.path(&format!("{}-{name}", fs::read_dir(shop.scratch.path()).unwrap().count()));
    let path = at("request".into());
    request.write(&path).unwrap();
    let sign = |folder: &&Path| {
        let answers = answer(&Request::read(&path).unwrap(), &[folder.to_path_buf()]).unwrap();
        let path = at("answer".into());
        answers.write(&path).unwrap();
        path
    };
    folders.iter().map(sign).collect()
}

fn imported(
    shop: &Shop,
    request: &Request,
    answers: &[PathBuf],
    folders: &[&Path],
    now: i64,
) -> builder::Result<State> {
    let collected = Collected::of(request, answers)?;
    let folders = folders.iter().map(|folder| folder.to_path_buf()).collect();
    import(&shop.depot, request, &Signers { folders, collected, ..Signers::default() }, &mut RealStorage, now)
}

fn shown(request: &Request, own: &Path) -> String {
    let key = |role: &str| keys::depot::private(own, role).unwrap().map(|key| key.verifying_key());
    let own: Vec<_> = ["root", "targets", "base"].iter().filter_map(|role| key(role)).collect();
    Shown { request, own: &own }.to_string()
}

/// A depot whose keys of people are in a vault.
fn with_vault() -> (Shop, PathBuf) {
    let shop = Shop::new();
    let vault = taken_offline(&shop, &["root", "targets", "base", "site", "licence"]);
    (shop, vault)
}

#[test]
fn a_depot_is_made_filled_and_given_other_keys_by_people_who_never_meet_it() {
    let shop = Shop::unmade();
    let vault = taken_offline(&shop, &["root", "targets", "base", "site", "licence"]);
    let request = shop.creation(NOW).request(&[]).unwrap();
    let summary = shown(&request, &vault);
    assert!(
        summary.contains("root metadata of role root, version 1") && summary.contains("there is none before it"),
        "{summary}"
    );
    assert!(!shop.depot.folder().exists());
    let answers = answered(&shop, &request, &[&vault]);
    imported(&shop, &request, &answers, &[&shop.keys], NOW).unwrap();
    let old = seen(&shop.depot, &delivered(&shop.depot), NOW).unwrap();

    let package = shop.path("new.pkg");
    fs::write(&package, "").unwrap();
    base("1.0.0", 1).write(&package, &[&vault]);
    let add = |edit: &mut Edit<'_>, state: &State| edit.add(state, &package, "stable", &BTreeMap::new()).map(drop);
    let request = requested(&shop, &shop.signers(), NOW + DAY, add).unwrap();
    assert_eq!(seen(&shop.depot, old.kept(), NOW + DAY).unwrap().kept(), old.kept(), "nobody sees a request");
    let summary = shown(&request, &vault);
    assert!(summary.contains("which you signed:") && summary.contains("+ base/demo-base-1.0.0.pkg: "), "{summary}");
    // The daily refresh comes in between and disturbs nobody.
    shop.change(NOW + DAY, |edit, state| edit.refresh(state, &[])).unwrap();
    let answers = answered(&shop, &request, &[&vault]);
    let state = imported(&shop, &request, &answers, &[&shop.keys], NOW + 2 * DAY).unwrap();
    assert_eq!(state.index().channels["stable"].len(), 1);
    let filled = seen(&shop.depot, old.kept(), NOW + 2 * DAY).unwrap();
    assert!(filled.target("base/demo-base-1.0.0.pkg").is_some());

    for role in ["root", "targets", "timestamp", "base", "depot"] {
        let (new, rotation) = shop.new_key(role);
        let request = requested(&shop, &shop.signers(), NOW + 3 * DAY, |edit, _| edit.rotate(role, &rotation)).unwrap();
        let summary = shown(&request, &vault);
        let changes = |sign: &str| {
            summary.lines().any(|line| {
                line.trim_start().starts_with(&format!("{sign} ")) && line.contains(&format!("role {role} key"))
            })
        };
        assert!(changes("+") && changes("-"), "{role}: {summary}");
        let offline = ["root", "targets", "base"].contains(&role);
        let signers: Vec<&Path> = if offline { vec![&vault, &new] } else { vec![&vault] };
        let answers = answered(&shop, &request, &signers);
        imported(&shop, &request, &answers, &[&shop.keys, &new], NOW + 3 * DAY)
            .unwrap_or_else(|problem| panic!("{role}: {problem}"));
        for kept in [old.kept(), filled.kept()] {
            seen(&shop.depot, kept, NOW + 3 * DAY).unwrap_or_else(|problem| panic!("after {role}: {problem}"));
        }
        let home = if offline { &vault } else { &shop.keys };
        for file in [format!("{role}.key"), format!("{role}.pub")] {
            fs::copy(new.join(&file), home.join(&file)).unwrap();
        }
    }
    assert_eq!(seen(&shop.depot, old.kept(), NOW + 4 * DAY).unwrap().root().version(), 4);
}

#[test]
fn a_threshold_is_met_by_several_answers_and_not_by_one_of_them_twice() {
    let shop = Shop::unmade();
    let (anna, vault) = (shop.path("anna"), taken_offline(&shop, &["root", "targets"]));
    make_keys(&anna, &["root", "targets"]);
    let creation =
        Creation { co_signers: vec![anna.clone()], root_threshold: 2, targets_threshold: 2, ..shop.creation(NOW) };
    fs::create_dir(shop.path("public")).unwrap();
    let request = {
        // Anna's private keys are not here either.
        for role in ["root", "targets"] {
            fs::rename(anna.join(format!("{role}.key")), shop.path("public").join(format!("{role}.key"))).unwrap();
        }
        let request = creation.request(&[]).unwrap();
        for role in ["root", "targets"] {
            fs::rename(shop.path("public").join(format!("{role}.key")), anna.join(format!("{role}.key"))).unwrap();
        }
        request
    };
    let both = answered(&shop, &request, &[&vault, &anna]);
    for one in &both {
        let twice = [one.clone(), one.clone()];
        let problem = imported(&shop, &request, &twice, &[&shop.keys], NOW).map(drop).unwrap_err();
        assert!(problem.exit_code() == 3 && problem.to_string().contains("1 of 2"), "{problem}");
        assert!(!shop.depot.folder().exists());
    }
    imported(&shop, &request, &both, &[&shop.keys], NOW).unwrap();
    seen(&shop.depot, &delivered(&shop.depot), NOW).unwrap();
    let again = imported(&shop, &request, &both, &[&shop.keys], NOW).map(drop).unwrap_err();
    assert_eq!(again.exit_code(), 5, "{again}");
}

#[test]
fn a_request_is_out_of_date_once_the_depot_says_something_else() {
    let (shop, vault) = with_vault();
    let everything = Signers { folders: vec![shop.keys.clone(), vault.clone()], ..Signers::default() };
    let package = shop.path("new.pkg");
    base("1.0.0", 1).write(&package, &[&vault]);
    let refused = |request: &Request, answers: &[PathBuf], now: i64| {
        let before = content(shop.depot.folder());
        let problem = imported(&shop, request, answers, &[&shop.keys], now).map(drop).unwrap_err();
        assert!(problem.exit_code() == 5 && problem.to_string().contains("out of date"), "{problem}");
        assert!(content(shop.depot.folder()) == before);
    };
    let add = |edit: &mut Edit<'_>, state: &State| edit.add(state, &package, "stable", &BTreeMap::new()).map(drop);
    let request = requested(&shop, &shop.signers(), NOW, add).unwrap();
    let answers = answered(&shop, &request, &[&vault]);
    refused(&request, &answers, NOW + 366 * DAY);

    // The package was taken out of its place.
    let file = content(shop.depot.folder()).into_keys().find(|path| path.to_string_lossy().ends_with(".pkg")).unwrap();
    let place = shop.depot.folder().join(file);
    fs::rename(&place, shop.path("elsewhere")).unwrap();
    refused(&request, &answers, NOW);
    fs::write(&place, "something else").unwrap();
    refused(&request, &answers, NOW);
    fs::rename(shop.path("elsewhere"), &place).unwrap();

    // Other channels since.
    shop.change(NOW, |edit, _| edit.set_rings(vec![formats::catalogue::Ring { name: "all".into(), share: 1000 }]))
        .unwrap();
    refused(&request, &answers, NOW);
    let request = requested(&shop, &shop.signers(), NOW, add).unwrap();
    let answers = answered(&shop, &request, &[&vault]);
    // The same role since.
    shop.change_by(&everything, NOW, |edit, state| edit.refresh(state, &["base".into()])).unwrap();
    refused(&request, &answers, NOW);
    // Nothing needs anybody.
    let problem = requested(&shop, &everything, NOW, add).map(drop).unwrap_err();
    assert!(matches!(&problem, Error::Refused(text) if text.contains("leave --request out")), "{problem}");
}

#[test]
fn altered_requests_and_answers_are_refused_and_change_nothing() {
    let (shop, vault) = with_vault();
    let (new, rotation) = shop.new_key("base");
    let rotate = |edit: &mut Edit<'_>, _: &State| edit.rotate("base", &rotation);
    let request = requested(&shop, &shop.signers(), NOW, rotate).unwrap();
    let answers = answered(&shop, &request, &[&vault, &new]);
    let before = content(shop.depot.folder());
    let refused = |request: &Request, answers: &[PathBuf], code: u8, says: &str| {
        let problem = imported(&shop, request, answers, &[&shop.keys], NOW).map(drop).unwrap_err();
        assert!(problem.exit_code() == code && problem.to_string().contains(says), "{problem}");
        assert!(content(shop.depot.folder()) == before);
    };
    // Another day: not what was signed.
    let mut altered = request.clone();
    for part in &mut altered.parts {
        let Content::Metadata { document, .. } = &mut part.content else { panic!("metadata") };
        document["expires"] = json!("2099-01-01T00:00:00Z");
    }
    refused(&altered, &answers, 4, "is no answer to this request");
    // A part is missing.
    let mut altered = request.clone();
    altered.parts.retain(|part| part.role != "base");
    refused(&altered, &answers[..1], 4, "it was altered");
    // A signature is another one.
    let mut wrong = Answer::read(&answers[0]).unwrap();
    for one in &mut wrong.signatures {
        one.signature = "00".repeat(64);
    }
    let path = shop.path("wrong");
    wrong.write(&path).unwrap();
    refused(&request, &[path, answers[1].clone()], 3, "needed signature(s)");
    // A role gets something else to sign than its own.
    let mut altered = request.clone();
    altered.parts[0].role = "timestamp".into();
    let path = shop.path("other-role");
    altered.write(&path).unwrap();
    assert_eq!(Request::read(&path).map(drop).unwrap_err().exit_code(), 3);
    // Somebody who has no key of it.
    let stranger = shop.path("stranger");
    make_keys(&stranger, &["root", "targets", "base"]);
    let problem = answer(&request, &[stranger]).unwrap_err();
    assert!(problem.to_string().contains("no folder has a key"), "{problem}");
    imported(&shop, &request, &answers, &[&shop.keys], NOW).unwrap();
}

/// A depot with rings and a first base, and a request that changes every kind of thing there is to say about packages.
fn everything_at_once() -> (Shop, PathBuf, Request) {
    let ring = |name: &str, share| formats::catalogue::Ring { name: name.into(), share };
    let shop = Shop::new();
    shop.change(NOW, |edit, _| edit.set_rings(vec![ring("early", 100), ring("rest", 900)])).unwrap();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    shop.add(NOW, &base("1.1.0", 2)).unwrap();
    let vault = taken_offline(&shop, &["root", "targets", "base", "site", "licence"]);
    let (new, site) = (shop.path("new.pkg"), shop.path("site.pkg"));
    base("2.0.0", 3).write(&new, &[&vault]);
    let eula = Some("You agree.\n");
    Release { base: Some("^2"), eula, ..Release::new(Kind::Site, "2.0.0", 2) }.write(&site, &[&vault]);
    let request = requested(&shop, &shop.signers(), NOW + DAY, |edit, before| {
        edit.set_rings(vec![ring("early", 200), ring("rest", 800)])?;
        let opens = BTreeMap::from([("rest".to_owned(), 2 * DAY)]);
        edit.add(before, &new, "stable", &opens)?;
        let site = edit.add(before, &site, "stable", &BTreeMap::new())?;
        edit.offer_to_all(&site, "stable", true)?;
        edit.promote(&"base/demo-base-1.0.0".parse().unwrap(), "beta", &BTreeMap::new())?;
        edit.withdraw(&"base/demo-base-1.1.0".parse().unwrap(), None, "loses the clock\u{301}")
    });
    (shop, vault, request.unwrap())
}

#[test]
fn signers_read_everything_that_a_request_says_about_packages() {
    let (shop, vault, request) = everything_at_once();
    let summary = shown(&request, &vault);
    let has = |text: &str| assert!(summary.lines().any(|line| line.trim() == text), "{text}: {summary}");
    has("+ ring early: 200 of 1000 appliances; number 1 to open");
    has("- ring early: 100 of 1000 appliances; number 1 to open");
    has("+ channel beta: is there");
    let (entitled, all) =
        ("not for appliances whose entitlement ended before", "also for appliances whose entitlement ended before");
    let listed = "listed since 2027-01-16T08:00:00Z";
    has(&format!("+ channel beta: base/demo-base-1.0.0: {listed}; {entitled}"));
    has(&format!("+ channel stable: base/demo-base-2.0.0: {listed}; ring rest opens 2027-01-18T08:00:00Z; {entitled}"));
    has(&format!("+ channel stable: site/demo-site-2.0.0: {listed}; {all}"));
    has(&format!(
        "+ channel stable: base/demo-base-1.1.0: listed since 2027-01-15T08:00:00Z; {entitled}; WITHDRAWN on 2027-01-16: loses the clock\\u{{301}}"
    ));
    // Every field of each entry, each digest, and the texts to read and to accept.
    let target = |name: &str| {
        let part = request.parts.iter().find(|part| name.starts_with(&part.role)).unwrap();
        let Content::Metadata { document, .. } = &part.content else { panic!("metadata") };
        document["targets"][name].clone()
    };
    for name in ["base/demo-base-2.0.0.pkg", "site/demo-site-2.0.0.pkg"] {
        let target = target(name);
        has(&format!("+ {name}: {} bytes, SHA-256 {}", target["length"], target["hashes"]["sha256"].as_str().unwrap()));
        let entry = target["custom"].as_object().unwrap();
        assert!(["effects", "notes", "created", "build-id"].iter().all(|field| entry.contains_key(*field)));
        entry.iter().for_each(|(field, value)| has(&format!("+ {name} {field}: {value}")));
    }
    has("+ site/demo-site-2.0.0.pkg requires: {\"base\":\"^2\"}");
    let eula = target("site/demo-site-2.0.0.eula.txt");
    has(&format!("+ site/demo-site-2.0.0.eula.txt: 11 bytes, SHA-256 {}", eula["hashes"]["sha256"].as_str().unwrap()));
    has(&format!("+ site/demo-site-2.0.0.pkg eula: {}", eula["hashes"]["sha256"]));
    assert!(!summary.contains("demo-base-1.0.0.pkg"), "what stays is not listed: {summary}");

    // What was shown is what is published, byte for byte, however late.
    let answers = answered(&shop, &request, &[&vault]);
    let state = imported(&shop, &request, &answers, &[&shop.keys], NOW + 5 * DAY).unwrap();
    let index = state.index().encode().unwrap();
    assert_eq!(index, request.change.as_ref().unwrap().index.as_ref().unwrap().encode().unwrap());
    assert!(
        summary
            .contains(&format!("index, signed where the depot is published, SHA-256 {}", formats::Digest::of(&index))),
        "{summary}"
    );
    for part in &request.parts {
        let Content::Metadata { document, .. } = &part.content else { panic!("metadata") };
        assert_eq!(state.draft.document(&part.role).unwrap().fields(), *document);
    }
    // The next version stands for nothing but itself.
    shop.change_by(
        &Signers { folders: vec![shop.keys.clone(), vault.clone()], ..Signers::default() },
        NOW + 6 * DAY,
        |edit, state| edit.refresh(state, &["base".into()]),
    )
    .unwrap();
    let state = shop.depot.state(formats::tuf::Freshness::Waived).unwrap();
    assert_eq!(state.draft.document("base").unwrap().get("bulkhead").get("change"), None);
}

#[test]
fn a_request_in_which_anything_was_altered_is_refused_by_signers_and_by_the_import() {
    let (shop, vault, request) = everything_at_once();
    let answers = answered(&shop, &request, &[&vault]);
    let before = content(shop.depot.folder());
    let stable = "/change/index/channels/stable";
    let (base, site) =
        ("/parts/0/document/targets/base~1demo-base-2.0.0", "/parts/1/document/targets/site~1demo-site-2.0.0");
    let other = "00".repeat(32);
    let alterations = [
        ("/made".to_owned(), json!(NOW)),
        ("/product".into(), json!("other")),
        ("/change/lost".into(), json!(true)),
        ("/change/index/created".into(), json!(NOW)),
        ("/change/index/rings".into(), json!([{"name": "early", "share": 100}, {"name": "rest", "share": 900}])),
        ("/change/index/channels/beta".into(), json!([])),
        (format!("{stable}/0/added"), json!(NOW - 1)),
        (format!("{stable}/1/withdrawn"), json!(null)),
        (format!("{stable}/1/withdrawn/reason"), json!("never mind")),
        (format!("{stable}/2/added"), json!(NOW)),
        (format!("{stable}/2/opens/rest"), json!(NOW)),
        (format!("{stable}/3/for-all"), json!(false)),
        (format!("{stable}/3/package"), json!("site/demo-site-3.0.0")),
        ("/change/index-before/rings/0/share".into(), json!(200)),
        ("/parts/0/before".into(), json!(null)),
        ("/parts/0/wanted/0/threshold".into(), json!(0)),
        ("/parts/0/document/expires".into(), json!("2099-01-01T00:00:00Z")),
        (format!("{base}.pkg/hashes/sha256"), json!(other)),
        (format!("{base}.pkg/custom/effects/reboot"), json!(true)),
        (format!("{base}.pkg/custom/notes"), json!(other)),
        (format!("{base}.notes.md/hashes/sha256"), json!(other)),
        (format!("{site}.pkg/custom/requires"), json!({})),
        (format!("{site}.pkg/custom/eula"), json!(other)),
        (format!("{site}.eula.txt/hashes/sha256"), json!(other)),
    ];
    let original = shown(&request, &vault);
    let text = serde_json::to_value(&request).unwrap();
    let refused = |place: &str, request: &Request, answers: &[PathBuf]| {
        let problem = imported(&shop, request, answers, &[&shop.keys], NOW + DAY).map(drop).unwrap_err();
        assert_eq!(problem.exit_code(), 4, "{place}: {problem}");
        assert!(content(shop.depot.folder()) == before, "{place}");
    };
    for (number, (place, value)) in alterations.into_iter().enumerate() {
        let mut altered = text.clone();
        match altered.pointer_mut(&place) {
            Some(old) if *old != value => *old = value,
            found => panic!("{place}: {found:?}"),
        }
        let mut altered: Request = serde_json::from_value(altered).unwrap_or_else(|cause| panic!("{place}: {cause}"));
        // On the way to the signer, and on the way back.
        let path = shop.path(&format!("altered-{number}"));
        altered.write(&path).unwrap();
        let problem = Request::read(&path).map(drop).unwrap_err();
        assert!(
            problem.exit_code() == 4 && problem.to_string().contains("make the request again"),
            "{place}: {problem}"
        );
        refused(&place, &altered, &answers);
        // Whoever alters it with care makes another request: its signers read so, and their answers fit no other.
        let digest = altered.digest().unwrap();
        for part in &mut altered.parts {
            let Content::Metadata { document, .. } = &mut part.content else { panic!("metadata") };
            document["bulkhead"]["change"] = json!(hex::encode(digest.0));
        }
        refused(&place, &altered, &answers);
        let theirs = answered(&shop, &altered, &[&vault]);
        refused(&place, &request, &theirs);
        if !["/made", "/parts/0/wanted/0/threshold"].contains(&place.as_str()) {
            let now = shown(&altered, &vault);
            let said = |text: &str| {
                text.lines().filter(|line| !line.contains("SHA-256")).map(str::to_owned).collect::<Vec<_>>()
            };
            assert!(said(&now) != said(&original) || place.contains("sha256"), "{place}: {now}");
        }
    }
    // A part of it alone.
    let mut less = request.clone();
    less.parts.retain(|part| part.role == "base");
    refused("less", &less, &answers);
    imported(&shop, &request, &answers, &[&shop.keys], NOW + DAY).unwrap();
}

#[test]
fn an_import_that_is_cut_anywhere_leaves_the_old_depot_or_the_new_one() {
    let (shop, vault) = with_vault();
    let package = shop.path("new.pkg");
    Release { eula: Some("You agree.\n"), ..base("1.0.0", 1) }.write(&package, &[&vault]);
    let add = |edit: &mut Edit<'_>, state: &State| edit.add(state, &package, "stable", &BTreeMap::new()).map(drop);
    let request = requested(&shop, &shop.signers(), NOW, add).unwrap();
    let collected = Collected::of(&request, &answered(&shop, &request, &[&vault])).unwrap();
    let signers = Signers { folders: vec![shop.keys.clone()], collected, ..Signers::default() };
    let played = cut_everywhere(&shop, &|depot, storage| import(depot, &request, &signers, storage, NOW + DAY));
    assert!(played > 40, "{played} cuts");
}

fn bulkhead(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_package_is_signed_elsewhere_without_travelling() {
    let shop = Shop::unmade();
    let anna = shop.path("anna");
    make_keys(&anna, &["base"]);
    let package = shop.package(&base("1.0.0", 1));
    let path = |name: &str| shop.path(name).display().to_string();
    let package = package.display().to_string();
    let done = |arguments: &[&str]| {
        let (code, text) = bulkhead(arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        text
    };
    let asked = done(&["sign", &package, "--request", &path("request")]);
    assert!(asked.contains("base demo-base 1.0.0, release number 1") && asked.contains("image.zst: "), "{asked}");
    let looked = done(&["keys", "answer-request", &path("request"), "--keys", &path("anna")]);
    assert!(looked.contains("nothing was signed") && !shop.path("answer").exists(), "{looked}");
    done(&["keys", "answer-request", &path("request"), "--keys", &path("anna"), "-o", &path("answer")]);
    let signed = done(&["sign", &package, "--answer", &path("answer"), "-o", &path("signed.pkg")]);
    assert!(signed.contains("2 signature(s)"), "{signed}");
    let both = Shop::unmade();
    base("1.0.0", 1).write(&both.path("both.pkg"), &[&shop.keys, &anna]);
    assert!(
        fs::read(both.path("both.pkg")).unwrap() == fs::read(shop.path("signed.pkg")).unwrap(),
        "as if both had been here"
    );

    let (code, text) = bulkhead(&["sign", &path("signed.pkg"), "--answer", &path("answer"), "-o", &path("again.pkg")]);
    assert_eq!((code, text.contains("no new signature")), (5, true), "{text}");
    let other = shop.package(&base("2.0.0", 2)).display().to_string();
    let (code, text) = bulkhead(&["sign", &other, "--answer", &path("answer"), "-o", &path("other.pkg")]);
    assert_eq!((code, text.contains("is no answer to this request")), (4, true), "{text}");
}

#[test]
fn the_program_says_what_to_do_with_a_request() {
    let (shop, vault) = with_vault();
    let text = |path: &Path| path.display().to_string();
    let (depot, vault) = (text(shop.depot.folder()), text(&vault));
    let (asked, signed, online) = (text(&shop.path("asked")), text(&shop.path("signed")), text(&shop.keys));
    // The shop's depot was made in the past.
    let (code, said) =
        bulkhead(&["depot", "refresh", &depot, "--keys", &online, "--role", "root", "--request", &asked]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("nothing but the version and the last day") && said.contains("keys answer-request"),
        "{said}"
    );
    let (code, said) = bulkhead(&["keys", "answer-request", &asked, "--keys", &vault, "-o", &signed]);
    assert_eq!((code, said.contains("1 signature(s)")), (0, true), "{said}");
    let (code, said) = bulkhead(&["depot", "import", &depot, &asked, &signed, "--keys", &online]);
    assert_eq!((code, said.contains("root has version 2")), (0, true), "{said}");
    let (code, said) = bulkhead(&["depot", "import", &depot, &asked, &signed, "--keys", &online]);
    assert_eq!((code, said.contains("out of date")), (5, true), "{said}");
}
