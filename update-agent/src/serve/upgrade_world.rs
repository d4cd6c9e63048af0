//! A simulated appliance for upgrades: the real planner, journal and decisions; slots, trials and restarts are a few fields.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use formats::catalogue::{Catalogue, Entry as Package, Index, Listing};
use formats::manifest::Kind;
use formats::plan::{Installed, Inventory};
use formats::{Digest, SlotId};
use serde_json::json;

use super::super::*;
use crate::journal::{Action, Journal, Memory, Outcome as End, Release, Verb};
use crate::lifecycle::RESTARTED;
use crate::upgrade::FORMAT;
use crate::upgrade::outlook::Outlook;

/// What runs, waits and proves itself.
#[derive(Clone)]
pub(super) struct Slots {
    pub(super) base: Package,
    pub(super) site: Package,
    /// A base that is complete and starts next.
    pub(super) armed: Option<Package>,
    /// What ran before the release of this kind that proves itself.
    pub(super) trial: Option<(Kind, Package)>,
}

pub(super) struct World {
    pub(super) catalogue: Catalogue,
    pub(super) store: Memory,
    pub(super) slots: RefCell<Slots>,
    pub(super) kept: RefCell<Option<Upgrade>>,
    /// Packages that never prove themselves.
    pub(super) red: Vec<PackageId>,
    /// What the next installations end with instead.
    pub(super) refusals: RefCell<Vec<Error>>,
    /// Packages written, again and again counted each time.
    pub(super) written: RefCell<Vec<String>>,
    pub(super) soaks_until: Cell<Option<i64>>,
    pub(super) now: Cell<i64>,
    /// Writes that are left until the power is cut.
    pub(super) left: Cell<usize>,
}

fn package(kind: Kind, version: &str, sequence: u64, requires: &serde_json::Value) -> Package {
    // The two later sites are one build under two versions.
    let build = if kind == Kind::Site && sequence > 1 { "site".into() } else { format!("{kind} {version}") };
    let text = json!({
        "kind": kind, "product": "demo", "name": if kind == Kind::Base { "os" } else { "app" }, "version": version,
        "build-id": Digest::of(build.as_bytes()), "sequence": sequence, "requires": requires,
        "effects": {"reboot": kind == Kind::Base, "site-downtime": kind == Kind::Site, "client-upgrade": false},
        "size": 1000, "image-size": 4000, "created": 1, "notes": Digest::of(b"notes"),
    });
    Package::parse(text.to_string().as_bytes()).unwrap()
}

/// Base 1.1, site 1.2, base 2.0, site 2.0: each needs the one before.
fn stones() -> Vec<Package> {
    vec![
        package(Kind::Base, "1.1.0", 2, &json!({})),
        package(Kind::Site, "1.2.0", 3, &json!({"base": ">=1.1"})),
        package(Kind::Base, "2.0.0", 4, &json!({"site": ">=1.2"})),
        package(Kind::Site, "2.0.0", 5, &json!({"base": ">=2"})),
    ]
}

pub(super) const STONES: [&str; 4] = ["base/os-1.1.0", "site/app-1.2.0", "base/os-2.0.0", "site/app-2.0.0"];

pub(super) fn world() -> World {
    let packages = stones();
    let mut index = Index::new("demo", 1);
    let listing = |one: &Package| serde_json::from_value::<Listing>(json!({"package": one.id(), "added": 1})).unwrap();
    index.channels.insert("stable".into(), packages.iter().map(listing).collect());
    let slots = Slots {
        base: package(Kind::Base, "1.0.0", 1, &json!({})),
        site: package(Kind::Site, "1.0.0", 1, &json!({})),
        armed: None,
        trial: None,
    };
    World {
        catalogue: Catalogue::new(packages, index).unwrap(),
        store: Memory::default(),
        slots: RefCell::new(slots),
        kept: RefCell::default(),
        red: Vec::new(),
        refusals: RefCell::default(),
        written: RefCell::default(),
        soaks_until: Cell::new(None),
        now: Cell::new(1000),
        left: Cell::new(usize::MAX),
    }
}

/// What ends a power cut.
struct PowerCut;

impl World {
    pub(super) fn journal(&self) -> Journal<'_> {
        Journal::new(&self.store, || 7)
    }

    /// Before each write.
    pub(super) fn act(&self) {
        let left = self.left.get();
        if left == 0 {
            std::panic::resume_unwind(Box::new(PowerCut));
        }
        self.left.set(left - 1);
    }

    pub(super) fn begin(&self, to: &[&str]) {
        let to: Vec<PackageId> = to.iter().map(|id| id.parse().unwrap()).collect();
        let record = self.journal().upgrade(&to, UpgradeEvent::Begun, None).unwrap();
        let by = "user 0".into();
        let upgrade = Upgrade {
            format: FORMAT,
            to,
            no_soak: None,
            accept_eula: false,
            offline: false,
            among: Vec::new(),
            by,
            since: 7,
            record,
            stopped: None,
        };
        *self.kept.borrow_mut() = Some(upgrade);
    }

    pub(super) fn inventory(&self) -> Inventory {
        let slots = self.slots.borrow();
        let installed = |one: &Package| Installed {
            name: one.name.clone(),
            version: one.version.clone(),
            build_id: one.build_id,
            sequence: one.sequence,
            requires: one.requires.clone(),
            hostname: None,
            soaks_until: None,
        };
        let text = json!({"format": 1, "appliance": "a", "product": "demo", "channel": "stable",
            "base": installed(&slots.base), "site": installed(&slots.site)});
        let mut inventory = Inventory::parse(text.to_string().as_bytes()).unwrap();
        if let Some(site) = &mut inventory.site {
            site.soaks_until = self.soaks_until.get();
        }
        inventory
    }

    pub(super) fn record(&self, verb: Verb, one: &Package, outcome: End) {
        let release = Release {
            kind: one.kind,
            name: one.name.clone(),
            version: one.version.to_string(),
            build_id: one.build_id,
            sequence: one.sequence,
        };
        self.act();
        let open = self.journal().begin(Action::new(verb, release, SlotId::B)).unwrap();
        self.act();
        self.journal().end(open, outcome).unwrap();
    }

    /// The machine starts, by itself or after a power cut: what is armed is tried, and a site on trial is left.
    pub(super) fn start(&self) {
        let mut slots = self.slots.borrow_mut();
        match slots.trial.take() {
            Some((Kind::Site, before)) => {
                let left = std::mem::replace(&mut slots.site, before);
                drop(slots);
                self.record(Verb::Try, &left, End::FellBack { reason: RESTARTED.into() });
                slots = self.slots.borrow_mut();
            }
            // A base has more tries.
            trial => slots.trial = trial,
        }
        if let Some(armed) = slots.armed.take() {
            let before = std::mem::replace(&mut slots.base, armed);
            slots.trial = Some((Kind::Base, before));
        }
    }

    /// What the overseer does: judges what is on trial.
    pub(super) fn judge(&self) {
        let slots = self.slots.borrow().clone();
        let Some((kind, before)) = slots.trial.clone() else { return };
        let tried = if kind == Kind::Base { &slots.base } else { &slots.site };
        if self.red.contains(&tried.id()) {
            self.record(Verb::Leave, tried, End::FellBack { reason: "not healthy: page".into() });
            let mut slots = self.slots.borrow_mut();
            slots.trial = None;
            *(if kind == Kind::Base { &mut slots.base } else { &mut slots.site }) = before;
        } else {
            self.record(if kind == Kind::Base { Verb::Commit } else { Verb::Try }, tried, End::Committed);
            self.slots.borrow_mut().trial = None;
        }
    }

    /// Turn after turn until nobody wants anything any more, or it stopped, or `most` turns were taken. How many.
    pub(super) fn follow(&self, most: usize) -> usize {
        for turns in 0..most {
            let Some(upgrade) = self.wanted().unwrap().filter(|upgrade| upgrade.stopped.is_none()) else {
                return turns;
            };
            let done = catch_unwind(AssertUnwindSafe(|| {
                let turned = turn(self, &upgrade).unwrap();
                self.judge();
                turned
            }));
            if done.is_err() {
                self.left.set(usize::MAX);
                self.start();
            }
        }
        most
    }

    pub(super) fn summary(&self) -> String {
        let upgrade = self.kept.borrow().clone().unwrap();
        let seen = self.seen(&upgrade).unwrap();
        Outlook::new(upgrade, &seen).summary
    }

    pub(super) fn runs(&self) -> (String, String) {
        let slots = self.slots.borrow();
        (slots.base.version.to_string(), slots.site.version.to_string())
    }

    pub(super) fn said(&self, event: UpgradeEvent) -> usize {
        let history = self.journal().history().unwrap();
        history
            .0
            .iter()
            .filter(|record| matches!(&record.entry, Entry::Upgrade { event: it, .. } if *it == event))
            .count()
    }
}

impl Road for World {
    fn wanted(&self) -> Result<Option<Upgrade>> {
        Ok(self.kept.borrow().clone())
    }

    fn seen(&self, upgrade: &Upgrade) -> Result<Seen> {
        let slots = self.slots.borrow();
        let rest = match (&slots.armed, &slots.trial) {
            (Some(armed), _) => Rest::Armed { build: armed.build_id, release: armed.id().to_string() },
            (None, Some((kind, _))) => Rest::Trial(format!("a {kind} proves itself")),
            (None, None) => Rest::AtRest,
        };
        let way = upgrade.way(&self.catalogue, &self.inventory(), self.now.get());
        let way = way.map_err(|blocked| Problem { code: "blocked".into(), message: blocked.to_string() });
        let first = way.as_ref().ok().and_then(|plan| plan.steps.first()).map(|step| &step.package);
        let next_build = first.and_then(|id| self.catalogue.entries().get(id)).map(|entry| entry.build_id);
        let story = story(upgrade, &self.journal().history()?);
        Ok(Seen { rest, story, way, next_build, window: Ok(()), now: self.now.get() })
    }

    fn install(&self, upgrade: &Upgrade, package: &PackageId) -> Result<()> {
        if let Some(refusal) = self.refusals.borrow_mut().pop() {
            return Err(refusal);
        }
        let one = self.catalogue.entries().get(package).unwrap().clone();
        self.act();
        self.written.borrow_mut().push(package.to_string());
        if one.kind == Kind::Base {
            self.record(Verb::Install, &one, End::Armed);
            self.slots.borrow_mut().armed = Some(one);
            self.act();
            return self.restart(upgrade);
        }
        self.record(Verb::Install, &one, End::Written);
        let mut slots = self.slots.borrow_mut();
        let before = std::mem::replace(&mut slots.site, one);
        slots.trial = Some((Kind::Site, before));
        Ok(())
    }

    fn restart(&self, _: &Upgrade) -> Result<()> {
        self.act();
        self.start();
        Ok(())
    }

    fn stop(&self, upgrade: &Upgrade, problem: Problem) -> Result<()> {
        self.act();
        self.journal().upgrade(&upgrade.to, UpgradeEvent::Stopped, Some(problem.message.clone()))?;
        self.act();
        *self.kept.borrow_mut() = Some(Upgrade { stopped: Some(Stopped { time: 8, problem }), ..upgrade.clone() });
        Ok(())
    }

    fn end(&self, upgrade: &Upgrade) -> Result<()> {
        if !story(upgrade, &self.journal().history()?).ended {
            self.act();
            self.journal().upgrade(&upgrade.to, UpgradeEvent::Done, None)?;
        }
        self.act();
        *self.kept.borrow_mut() = None;
        Ok(())
    }
}
