//! The field of a plan: every pair of a base and a site that could be installed, and the shortest way across it.
//!
//! A node is such a pair. One step changes one of the two to a release with a higher number. Bases and sites are sorted by their numbers,
//! so every step goes to a later row or column, and both questions, what can be reached and how far is it, are answered in one pass over
//! the nodes each.

use semver::Version;

use super::{Candidate, Inventory};
use crate::catalogue::Entry;
use crate::manifest::{Kind, Requires};

/// Bases and sites, and which go together.
pub(super) struct Field<'a> {
    bases: Vec<Release<'a>>,
    /// The first is what runs; it may be nothing.
    sites: Vec<Option<Release<'a>>>,
    /// Which of them go together, row by row of bases: asked for far more often than there are pairs.
    pairs: Vec<bool>,
}

/// A pair, by indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) base: usize,
    pub(super) site: usize,
}

/// One release, installed or offered.
#[derive(Clone, Copy)]
struct Release<'a> {
    version: &'a Version,
    requires: &'a Requires,
    sequence: u64,
    entry: Option<&'a Entry>,
}

/// No way.
const FAR: u16 = u16::MAX;

impl<'a> Field<'a> {
    /// The field of what is installed and of those candidates that suit this appliance and that `take` lets pass. `first_site`: an
    /// appliance without a site may get one.
    pub(super) fn new<'c>(
        inventory: &'a Inventory,
        candidates: &'c [Candidate<'a>],
        take: impl Fn(&Candidate<'a>) -> bool,
        first_site: bool,
    ) -> Self {
        let chosen = |kind: Kind| {
            let fits = |c: &&'c Candidate<'a>| {
                c.entry.kind == kind && take(c) && super::sentence::misfit(inventory, c.entry).is_none()
            };
            let mut releases: Vec<Release<'a>> = candidates.iter().filter(fits).map(|c| Release::of(c.entry)).collect();
            releases.sort_by_key(|release| release.sequence);
            releases
        };
        let base = Release::installed(&inventory.base);
        let bases: Vec<Release<'a>> = [base].into_iter().chain(chosen(Kind::Base)).collect();
        let site = inventory.site.as_ref().map(Release::installed);
        let more = if site.is_some() || first_site { chosen(Kind::Site) } else { Vec::new() };
        let sites: Vec<Option<Release<'a>>> = [site].into_iter().chain(more.into_iter().map(Some)).collect();
        let row = |base: &Release<'a>| sites.iter().map(|site| goes_together(base, site.as_ref())).collect::<Vec<_>>();
        let pairs = bases.iter().flat_map(row).collect();
        Self { bases, sites, pairs }
    }

    /// The field of what may be had.
    pub(super) fn available(inventory: &'a Inventory, candidates: &[Candidate<'a>], first_site: bool) -> Self {
        Self::new(inventory, candidates, |candidate| candidate.availability.is_available(), first_site)
    }

    /// The best pair that can be reached: the newest site, and of its bases the newest.
    pub(super) fn newest(&self) -> Node {
        let mut reached = vec![false; self.sites.len()];
        let mut best = Node::START;
        for b in 0..self.bases.len() {
            // Whether something left of this site in this row is reached.
            let mut left = false;
            for (s, above) in reached.iter_mut().enumerate() {
                let node = Node { base: b, site: s };
                if node == Node::START || ((left || *above) && self.is_pair(node)) {
                    left = true;
                    *above = true;
                    if (s, b) > (best.site, best.base) {
                        best = node;
                    }
                }
            }
        }
        best
    }

    /// The steps from what is installed to a node that `is_goal`.
    pub(super) fn way(&self, is_goal: impl Fn(Node) -> bool) -> Option<Vec<&'a Entry>> {
        let distances = self.distances(is_goal);
        let mut node = Node::START;
        let mut left = distances.of(node);
        if left == FAR {
            return None;
        }
        let mut steps = Vec::new();
        while left > 0 {
            left = left.saturating_sub(1);
            let (next, entry) = self.step(node, |next| distances.of(next) == left)?;
            steps.push(entry);
            node = next;
        }
        Some(steps)
    }

    /// One step from `node` to a node that is `good`: a site before a base, the newest first.
    fn step(&self, node: Node, good: impl Fn(Node) -> bool) -> Option<(Node, &'a Entry)> {
        let sites = (0..self.sites.len()).rev().take_while(|site| *site > node.site).map(|site| Node { site, ..node });
        let bases = (0..self.bases.len()).rev().take_while(|base| *base > node.base).map(|base| Node { base, ..node });
        let next = sites.chain(bases).find(|next| self.is_pair(*next) && good(*next))?;
        let release = if next.site == node.site { self.base(next) } else { self.site(next) };
        Some((next, release?.entry?))
    }

    /// How many steps it is from each node to the nearest goal.
    fn distances(&self, is_goal: impl Fn(Node) -> bool) -> Distances {
        let width = self.sites.len();
        let mut steps = vec![FAR; width.saturating_mul(self.bases.len())];
        // The nearest node below in each column, and to the right in this row.
        let mut below = vec![FAR; width];
        let rows = steps.chunks_exact_mut(width.max(1));
        for (b, row) in rows.enumerate().rev() {
            let mut right = FAR;
            for (s, (below, cell)) in below.iter_mut().zip(row).enumerate().rev() {
                let node = Node { base: b, site: s };
                // The start is there, whether its parts suit each other or not.
                if node != Node::START && !self.is_pair(node) {
                    continue;
                }
                let after = right.min(*below);
                *cell = if is_goal(node) { 0 } else { after.saturating_add(1) };
                right = right.min(*cell);
                *below = (*below).min(*cell);
            }
        }
        Distances { width, steps }
    }

    /// Whether `entry` is installed at `node`.
    pub(super) fn holds(&self, node: Node, entry: &Entry) -> bool {
        let is = |release: Option<Release<'_>>| {
            release.and_then(|release| release.entry).is_some_and(|one| one.build_id == entry.build_id)
        };
        match entry.kind {
            Kind::Base => is(self.base(node)),
            Kind::Site => is(self.site(node)),
            Kind::Licence => false,
        }
    }

    /// Whether what `entry` requires holds at `node`.
    pub(super) fn satisfies(&self, node: Node, entry: &Entry) -> bool {
        let holds = |range: Option<&semver::VersionReq>, release: Option<Release<'_>>| {
            range.is_none_or(|range| release.is_some_and(|release| range.matches(release.version)))
        };
        holds(entry.requires.base.as_ref(), self.base(node)) && holds(entry.requires.site.as_ref(), self.site(node))
    }

    fn base(&self, node: Node) -> Option<Release<'a>> {
        self.bases.get(node.base).copied()
    }

    fn site(&self, node: Node) -> Option<Release<'a>> {
        self.sites.get(node.site).copied().flatten()
    }

    fn is_pair(&self, node: Node) -> bool {
        self.pairs.get(node.at(self.sites.len())).copied().unwrap_or(false)
    }
}

impl Node {
    pub(super) const START: Self = Self { base: 0, site: 0 };

    /// Where it stands in rows of this width.
    const fn at(self, width: usize) -> usize {
        self.base.saturating_mul(width).saturating_add(self.site)
    }
}

struct Distances {
    width: usize,
    steps: Vec<u16>,
}

impl Distances {
    fn of(&self, node: Node) -> u16 {
        self.steps.get(node.at(self.width)).copied().unwrap_or(FAR)
    }
}

impl<'a> Release<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self { version: &entry.version, requires: &entry.requires, sequence: entry.sequence, entry: Some(entry) }
    }

    fn installed(installed: &'a super::Installed) -> Self {
        let super::Installed { version, requires, sequence, .. } = installed;
        Self { version, requires, sequence: *sequence, entry: None }
    }
}

/// The rule of [`crate::site::check_pair`], also for a base without a site.
fn goes_together(base: &Release<'_>, site: Option<&Release<'_>>) -> bool {
    let needed = base.requires.site.as_ref();
    match site {
        Some(site) => crate::site::suits((base.version, base.requires), (site.version, site.requires)),
        None => needed.is_none(),
    }
}
