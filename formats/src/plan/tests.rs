use super::*;
use crate::catalogue::tests::entry;
use crate::journal::Floor;
use crate::manifest::Date;

/// An appliance with base `base` and site `site` (`10 >=2`: version 10.0.0, needs a base >=2), and what a depot offers it: lines such as
/// `base 3`, `site 12 >=3`, with `!` in front of what was withdrawn.
pub(super) struct Graph {
    pub(super) inventory: Inventory,
    entries: Vec<(Entry, bool)>,
}

impl Graph {
    pub(super) fn new(base: &str, site: &str, offers: &[&str]) -> Self {
        let installed = |kind, text: &str| {
            let entry = offer(kind, text);
            Installed {
                hostname: entry.site.as_ref().map(|site| site.hostname.clone()),
                name: entry.name,
                version: entry.version,
                build_id: entry.build_id,
                sequence: entry.sequence,
                requires: entry.requires,
                soaks_until: None,
            }
        };
        let inventory = Inventory {
            format: FORMAT,
            appliance: "one".into(),
            product: "demo".into(),
            hardware: Vec::new(),
            base: installed(Kind::Base, base),
            site: (!site.is_empty()).then(|| installed(Kind::Site, site)),
            floors: Vec::new(),
            channel: "stable".into(),
            ring: None,
            entitled_until: None,
            licences: Vec::new(),
        };
        let entries = offers.iter().map(|line| {
            let (available, line) = (!line.starts_with('!'), line.trim_start_matches('!'));
            let (kind, rest) = line.split_once(' ').unwrap();
            let kind = Kind::named(kind).unwrap();
            (offer(kind, rest), available)
        });
        let entries = entries.collect();
        Self { inventory, entries }
    }

    pub(super) fn candidates(&self) -> Vec<Candidate<'_>> {
        let withdrawn = || Availability::Withdrawn { date: Date::of_unix(0).unwrap(), reason: "it ate data".into() };
        let availability = |yes: bool| if yes { Availability::Available } else { withdrawn() };
        self.entries.iter().map(|(entry, yes)| Candidate { entry, availability: availability(*yes) }).collect()
    }

    fn plan(&self, target: &str) -> Result<String, String> {
        let target = match target {
            "newest" => Target::Newest,
            id => Target::Package(id.parse().unwrap()),
        };
        match plan(&self.inventory, &self.candidates(), &target, Options::default()) {
            Ok(plan) => Ok(plan.steps.iter().map(shown).collect::<Vec<_>>().join(", ")),
            Err(blocked) => Err(blocked.to_string()),
        }
    }
}

fn shown(step: &Step) -> String {
    let wait = step.wait_hours.map(|hours| format!("wait {hours} h, ")).unwrap_or_default();
    format!("{wait}{} {}", step.package.kind(), step.package.version().major)
}

/// `12 base>=3 site>=1 soak24 host-b for-x1 line-other`
fn offer(kind: Kind, text: &str) -> Entry {
    let mut words = text.split(' ');
    let major: u64 = words.next().unwrap().parse().unwrap();
    let mut one = entry(kind, major);
    for word in words {
        let rest = |prefix: &str| word.strip_prefix(prefix).map(str::to_owned);
        if let Some(range) = rest("base") {
            one.requires.base = Some(range.parse().unwrap());
        } else if let Some(range) = rest("site") {
            one.requires.site = Some(range.parse().unwrap());
        } else if let Some(hours) = rest("soak") {
            one.effects.soak_hours = Some(hours.parse().unwrap());
        } else if let Some(host) = rest("host-") {
            match one.licence.as_mut() {
                Some(licence) => licence.hostname = Some(host),
                None => one.site.as_mut().unwrap().hostname = host,
            }
        } else if let Some(model) = rest("for-") {
            one.hardware.push(model);
        } else if let Some(line) = rest("line-") {
            one.name = line;
        } else {
            panic!("{word}");
        }
    }
    one
}

/// Base, site, what is offered, what is wanted, and the plan or the sentence.
type Case = (&'static str, &'static str, &'static [&'static str], &'static str, Result<&'static str, &'static str>);

const TABLE: [Case; 27] = [
    ("1", "10", &["base 2"], "base/os-2.0.0", Ok("base 2")),
    ("1", "10", &["site 11"], "site/app-11.0.0", Ok("site 11")),
    ("1", "10", &["base 2"], "newest", Ok("base 2")),
    ("1", "10", &[], "newest", Ok("")),
    ("2", "10", &["base 2", "base 1"], "newest", Ok("")),
    // The row R002: the one valid order.
    (
        "1",
        "10 base<3",
        &["base 2", "base 3 site>=11", "site 11 base>=2", "site 12 base>=3"],
        "site/app-12.0.0",
        Ok("base 2, site 11, base 3, site 12"),
    ),
    // Nothing more than is needed, and what is needed directly before who needs it.
    ("1", "10", &["base 2", "base 3", "site 11", "site 12 base>=2"], "site/app-12.0.0", Ok("base 3, site 12")),
    ("1", "10", &["base 2", "base 3", "site 11", "site 12 base=2"], "site/app-12.0.0", Ok("base 2, site 12")),
    ("1", "10", &["site 11", "site 12 site>=11 base>=2", "base 2"], "newest", Ok("base 2, site 12")),
    // Waiting stands before the base that belongs to the next site.
    (
        "1",
        "10",
        &["site 11 soak24", "site 12 base=2 soak24", "base 2 site>=11"],
        "newest",
        Ok("site 11, wait 24 h, base 2, site 12"),
    ),
    ("1", "10", &["licence 1 base>=2", "base 2"], "licence/app-1.0.0", Ok("base 2, licence 1")),
    ("1", "", &["site 11", "base 2"], "newest", Ok("base 2")),
    ("1", "", &["site 11 base>=2", "base 2"], "site/app-11.0.0", Ok("base 2, site 11")),
    // Refusals.
    (
        "1",
        "10",
        &["site 12 base>=2"],
        "site/app-12.0.0",
        Err(
            "base 1.0.0 does not satisfy site 12.0.0, which needs base >=2; the depot has no such base; ask the publisher of \
             site/app-12.0.0 for a release in between",
        ),
    ),
    (
        "1",
        "10",
        &["site 12 base>=2", "!base 2"],
        "site/app-12.0.0",
        Err(
            "base 1.0.0 does not satisfy site 12.0.0, which needs base >=2; install base/os-2.0.0 first (not available: withdrawn on \
             1970-01-01: it ate data)",
        ),
    ),
    (
        "1",
        "10 base<2",
        &["site 12 base>=2", "base 2"],
        "site/app-12.0.0",
        Err(
            "base 1.0.0 does not satisfy site 12.0.0, which needs base >=2; base/os-2.0.0 would do, but nothing in the depot leads to it \
             from here; ask the publisher of site/app-12.0.0 for a release in between",
        ),
    ),
    (
        "1",
        "10 base<2",
        &["base 2"],
        "base/os-2.0.0",
        Err(
            "base 2.0.0 does not satisfy site 10.0.0, which needs base <2; the depot has no site that accepts it; ask the publisher of \
             base/os-2.0.0 for a release in between",
        ),
    ),
    (
        "1",
        "10",
        &["base 2 site>=11"],
        "base/os-2.0.0",
        Err(
            "site 10.0.0 does not satisfy base 2.0.0, which needs site >=11; the depot has no such site; ask the publisher of \
             base/os-2.0.0 for a release in between",
        ),
    ),
    (
        "1",
        "",
        &["base 2 site>=11"],
        "base/os-2.0.0",
        Err(
            "there is no site here, and base 2.0.0 needs site >=11; the depot has no such site; ask the publisher of base/os-2.0.0 for a \
             release in between",
        ),
    ),
    (
        "1",
        "10",
        &["!base 2"],
        "base/os-2.0.0",
        Err("base/os-2.0.0 is not available: withdrawn on 1970-01-01: it ate data"),
    ),
    (
        "1",
        "10",
        &[],
        "base/os-2.0.0",
        Err(
            "base/os-2.0.0 is not in the depot's channel; \"update-agent check\" asks the depot again, \"update-agent list\" shows what \
             there is",
        ),
    ),
    (
        "2",
        "10",
        &["base 1"],
        "base/os-1.0.0",
        Err(
            "base/os-1.0.0 is release number 1, and number 2 was committed here: going back is refused; choose a newer release",
        ),
    ),
    (
        "1",
        "10",
        &["site 11 host-other"],
        "site/app-11.0.0",
        Err(
            "site/app-11.0.0 is for the site \"other\"; this appliance serves \"hello\"; ask its publisher for one for this site",
        ),
    ),
    (
        "1",
        "10",
        &["licence 1 host-other"],
        "licence/app-1.0.0",
        Err(
            "licence/app-1.0.0 is for the site \"other\"; this appliance serves \"hello\"; ask its publisher for one for this site",
        ),
    ),
    (
        "1",
        "",
        &["licence 1 host-other"],
        "licence/app-1.0.0",
        Err(
            "licence/app-1.0.0 is for the site \"other\"; this appliance has no site; ask its publisher for one for this site",
        ),
    ),
    ("1", "10", &["licence 1 host-hello"], "licence/app-1.0.0", Ok("licence 1")),
    (
        "1",
        "10",
        &["base 2 for-x1"],
        "base/os-2.0.0",
        Err("base/os-2.0.0 is for hardware \"x1\", this is nobody has named; choose a release for this model"),
    ),
];

#[test]
fn every_graph_has_its_plan_or_its_sentence() {
    for (base, site, offers, target, wanted) in TABLE {
        let found = Graph::new(base, site, offers).plan(target);
        let wanted = wanted.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found, wanted, "base {base}, site {site}, {offers:?} -> {target}");
    }
}

#[test]
fn a_release_below_the_floor_is_no_step() {
    let mut graph = Graph::new("1", "10", &["base 2", "base 3"]);
    graph.inventory.floors.push(Floor { kind: Kind::Base, name: "os".into(), sequence: 3 });
    assert_eq!(graph.plan("newest").unwrap(), "base 3");
    assert!(graph.plan("base/os-2.0.0").unwrap_err().contains("number 3 was committed here"));
}

#[test]
fn clients_get_the_time_that_the_running_site_still_needs() {
    let mut graph = Graph::new("1", "10", &["base 2", "site 11 base>=2"]);
    graph.inventory.site.as_mut().unwrap().soaks_until = Some(77);
    let made = |no_soak| {
        let plan = plan(&graph.inventory, &graph.candidates(), &Target::Newest, Options { no_soak }).unwrap();
        plan.steps.iter().map(|step| step.not_before).collect::<Vec<_>>()
    };
    assert_eq!(made(false), [Some(77), None], "a base and its site wait together");
    assert_eq!(made(true), [None, None]);
}

#[test]
fn totals_add_up_and_make_an_estimate() {
    let graph = Graph::new("1", "10", &["base 2", "site 11 base>=2"]);
    let plan = plan(&graph.inventory, &graph.candidates(), &Target::Newest, Options::default()).unwrap();
    let Totals { download, written, reboots, site_downtimes, .. } = plan.totals;
    assert_eq!((download, written, reboots, site_downtimes), (Bytes(2000), Bytes(8000), 1, 1));
    assert_eq!(plan.seconds(Rates { download: 100, write: 1000, restart: 60 }), 20 + 8 + 60);
    assert_eq!(plan.seconds(Rates { download: 0, write: 0, restart: 0 }), 0);
}

#[test]
fn the_list_says_of_each_package_where_it_stands() {
    let offers = ["base 1", "base 2", "base 3 site>=11", "site 9", "site 11 base>=2", "!site 12", "licence 1"];
    let graph = Graph::new("1", "10 base<3", &offers);
    let rows = list(&graph.inventory, &graph.candidates());
    let standing =
        |id: &str| rows.iter().find(|row| row.package.to_string() == id).map(|row| row.standing.clone()).unwrap();
    assert_eq!(standing("base/os-1.0.0"), Standing::Installed);
    assert_eq!(standing("base/os-2.0.0"), Standing::Available);
    assert_eq!(standing("site/app-9.0.0"), Standing::Superseded);
    assert_eq!(standing("licence/app-1.0.0"), Standing::Available);
    assert!(matches!(standing("site/app-12.0.0"), Standing::NotAvailable(Availability::Withdrawn { .. })));
    let Standing::Blocked { sentence, first } = standing("site/app-11.0.0") else { panic!("{rows:?}") };
    let wanted =
        "base 1.0.0 does not satisfy site 11.0.0, which needs base >=2; install base/os-2.0.0 first (available)";
    assert_eq!((sentence.as_str(), first.unwrap().to_string().as_str()), (wanted, "base/os-2.0.0"));
    assert_eq!(rows.len(), offers.len());
}

#[test]
fn a_licence_that_is_installed_needs_no_step_and_an_older_one_is_superseded() {
    let mut graph = Graph::new("1", "10", &["licence 1", "licence 2", "licence 3"]);
    let ids = ["licence/app-1.0.0", "licence/app-2.0.0", "licence/app-3.0.0"];
    graph.inventory.floors.push(Floor { kind: Kind::Licence, name: "app".into(), sequence: 2 });
    let standings = |graph: &Graph| {
        list(&graph.inventory, &graph.candidates()).into_iter().map(|row| row.standing).collect::<Vec<_>>()
    };
    // After a factory reset the number is known, and nothing is installed.
    assert_eq!(standings(&graph), [Standing::Superseded, Standing::Available, Standing::Available]);
    let second = graph.candidates()[1].entry.build_id;
    graph.inventory.licences.push(second);
    assert_eq!(standings(&graph), [Standing::Superseded, Standing::Installed, Standing::Available]);
    assert!(graph.plan(ids[0]).unwrap_err().contains("number 2 was committed here"));
    assert_eq!([graph.plan(ids[1]).unwrap(), graph.plan(ids[2]).unwrap()], ["", "licence 3"]);
}

#[test]
fn an_inventory_survives_the_way_to_another_machine() {
    let inventory = Graph::new("1", "10 base<3", &[]).inventory;
    assert_eq!(Inventory::parse(&inventory.encode().unwrap()).unwrap(), inventory);
    assert!(Inventory::parse(b"{\"format\": 2}").unwrap_err().to_string().contains("format 2"));
}
