//! Every state in which an appliance of a channel may be, and which of them lead to a release: one pass over all pairs of a base and a site
//! instead of a plan for each.
//!
//! It guarantees the answers of the planner ([`formats::plan`]; a test compares them): one step changes base or site to an offered release of
//! its line with a higher number, and base and site suit each other after every step. Why there is no way is left to the planner.

use formats::catalogue::Entry;
use formats::manifest::runs_on;
use formats::site::suits;

/// One release.
#[derive(Clone, Copy)]
pub(super) struct Release<'a> {
    pub(super) entry: &'a Entry,
    /// Appliances may still get it; else it runs on some.
    pub(super) offered: bool,
}

/// The bases of one line and the sites of one line and host name that run on one model, each in the order of their numbers.
pub(super) struct Ground<'a> {
    pub(super) model: Option<&'a str>,
    bases: Vec<Release<'a>>,
    /// One that is nothing: appliances without a site.
    sites: Vec<Option<Release<'a>>>,
    pairs: Vec<bool>,
}

impl<'a> Ground<'a> {
    /// The ground of these releases, in order. No sites: appliances without one.
    pub(super) fn new(model: Option<&'a str>, bases: Vec<Release<'a>>, sites: &[Release<'a>]) -> Self {
        let sites: Vec<_> = if sites.is_empty() { vec![None] } else { sites.iter().copied().map(Some).collect() };
        let together = |base: &Entry, site: Option<Release<'_>>| match site {
            None => base.requires.site.is_none(),
            Some(site) => goes_with(base, site.entry),
        };
        let pairs = bases.iter().flat_map(|base| sites.iter().map(|site| together(base.entry, *site))).collect();
        Self { model, bases, sites, pairs }
    }

    /// Every pair that suits each other, and whether a way leads from it to `goal`.
    pub(super) fn starts(&self, goal: &Entry) -> impl Iterator<Item = (&'a Entry, Option<&'a Entry>, bool)> {
        let leads = self.leads(goal);
        let each = self.bases.iter().flat_map(|base| self.sites.iter().map(move |site| (*base, *site)));
        let suited = each.zip(&self.pairs).zip(leads).filter(|((_, pair), _)| **pair);
        suited.map(|(((base, site), _), leads)| (base.entry, site.map(|site| site.entry), leads))
    }

    /// Whether one step leads to `wanted` from somewhere: every pair is one that an appliance may have.
    pub(super) fn is_entered(&self, wanted: &Entry) -> bool {
        let is = |one: &Entry| std::ptr::eq(one, wanted);
        let base = self.bases.iter().position(|base| is(base.entry)).is_some_and(|b| {
            let older = |other: usize| self.bases[other].entry.sequence < wanted.sequence;
            let entered = |s| (0..b).any(|other| older(other) && self.is_pair(other, s));
            (0..self.sites.len()).any(|s| self.is_pair(b, s) && entered(s))
        });
        let site = self.sites.iter().position(|site| site.is_some_and(|site| is(site.entry))).is_some_and(|s| {
            let older = |other: usize| number(self.sites[other]) < wanted.sequence;
            let entered = |b| (0..s).any(|other| older(other) && self.is_pair(b, other));
            (0..self.bases.len()).any(|b| self.is_pair(b, s) && entered(b))
        });
        base || site
    }

    fn is_pair(&self, base: usize, site: usize) -> bool {
        self.pairs[base * self.sites.len() + site]
    }

    /// Of every pair whether a way leads to `goal`. Steps go to higher numbers only, so all that follows is known when a pair is looked at.
    fn leads(&self, goal: &Entry) -> Vec<bool> {
        let width = self.sites.len();
        let mut leads = vec![false; self.pairs.len()];
        // What leads there among the rows below, but for those of the same number.
        let (mut below, mut waiting) = (vec![false; width], vec![false; width]);
        for (b, base) in self.bases.iter().enumerate().rev() {
            if self.bases.get(b + 1).is_some_and(|next| next.entry.sequence > base.entry.sequence) {
                below.iter_mut().zip(&mut waiting).for_each(|(known, new)| *known |= std::mem::take(new));
            }
            let (mut right, mut beside) = (false, false);
            for (s, site) in self.sites.iter().enumerate().rev() {
                if self.sites.get(s + 1).is_some_and(|next| number(*next) > number(*site)) {
                    right |= std::mem::take(&mut beside);
                }
                let is_goal = |one: &Entry| std::ptr::eq(one, goal);
                let there = is_goal(base.entry) || site.is_some_and(|site| is_goal(site.entry));
                let good = self.is_pair(b, s) && (there || right || below[s]);
                leads[b * width + s] = good;
                waiting[s] |= good && base.offered;
                beside |= good && site.is_some_and(|site| site.offered);
            }
        }
        leads
    }
}

fn number(site: Option<Release<'_>>) -> u64 {
    site.map_or(0, |site| site.entry.sequence)
}

/// Whether base and site suit each other.
pub(super) fn goes_with(base: &Entry, site: &Entry) -> bool {
    suits((&base.version, &base.requires), (&site.version, &site.requires))
}

/// Whether a release runs on a model; nothing: one that no release names.
pub(super) fn fits(entry: &Entry, model: Option<&str>) -> bool {
    let ours: Vec<String> = model.iter().map(|model| (*model).to_owned()).collect();
    runs_on(&entry.hardware, &ours)
}
