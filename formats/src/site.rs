//! Which site runs on which base, and which of two site slots a machine takes. Pure; the initramfs program decides by it, and the
//! agent says by it what the next restart will do.
//!
//! An incompatible pair is never started: the named slot comes first; when it is empty, broken or does not suit the base, the other;
//! without a name the higher sequence.

use semver::{Version, VersionReq};

use crate::SlotId;
use crate::manifest::{Manifest, Requires};

/// Why a site and a base do not run together; completes a sentence that begins with the site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// They belong to different products.
    #[error("is for product \"{site}\", this is \"{base}\"")]
    Product {
        /// The product of the site.
        site: String,
        /// The product of the base.
        base: String,
    },
    /// The site needs another base.
    #[error("needs base {needed}, this is base {base}")]
    NeedsBase {
        /// What it needs.
        needed: VersionReq,
        /// The base.
        base: Version,
    },
    /// The base needs another site.
    #[error("is site {site}, and base {base} needs site {needed}")]
    NeedsSite {
        /// What the base needs.
        needed: VersionReq,
        /// The base.
        base: Version,
        /// The site.
        site: Version,
    },
}

/// Whether `site` may run on `base`, judged from both sides.
pub fn check_pair(base: &Manifest, site: &Manifest) -> Result<(), Mismatch> {
    if site.product != base.product {
        return Err(Mismatch::Product { site: site.product.clone(), base: base.product.clone() });
    }
    match mismatch((&base.version, &base.requires), (&site.version, &site.requires)) {
        Some(mismatch) => Err(mismatch),
        None => Ok(()),
    }
}

/// Whether a base and a site of one product go together, by their versions and what they require.
pub fn suits(base: (&Version, &Requires), site: (&Version, &Requires)) -> bool {
    mismatch(base, site).is_none()
}

fn mismatch(base: (&Version, &Requires), site: (&Version, &Requires)) -> Option<Mismatch> {
    if let Some(needed) = site.1.base.as_ref().filter(|needed| !needed.matches(base.0)) {
        return Some(Mismatch::NeedsBase { needed: needed.clone(), base: base.0.clone() });
    }
    let needed = base.1.site.as_ref().filter(|needed| !needed.matches(site.0))?;
    Some(Mismatch::NeedsSite { needed: needed.clone(), base: base.0.clone(), site: site.0.clone() })
}

/// The site slots worth trying, best first. `named` is the one of the boot state, `sequences` are those of the slots with a valid
/// footer, A first.
pub fn order(named: Option<SlotId>, sequences: [Option<u64>; 2]) -> Vec<SlotId> {
    let [a, b] = sequences;
    let mut slots: Vec<(SlotId, u64)> =
        [(SlotId::A, a), (SlotId::B, b)].into_iter().filter_map(|(slot, n)| n.map(|n| (slot, n))).collect();
    // A stable sort: with equal sequences A stays first.
    slots.sort_by_key(|(slot, sequence)| (Some(*slot) != named, std::cmp::Reverse(*sequence)));
    slots.into_iter().map(|(slot, _)| slot).collect()
}

/// The slot a machine started from `base` takes, as far as footers tell; nothing when no site suits. `sites` are the signed manifests
/// in the slots, A first. Without a base every site suits.
pub fn choose(named: Option<SlotId>, base: Option<&Manifest>, sites: [Option<&Manifest>; 2]) -> Option<SlotId> {
    let suits = |site: &&Manifest| base.is_none_or(|base| check_pair(base, site).is_ok());
    let sequences = sites.map(|site| site.filter(suits).map(|site| site.sequence));
    order(named, sequences).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Kind, Requires, tests::sample};
    use SlotId::{A, B};

    #[test]
    fn the_named_slot_comes_first_whatever_its_sequence() {
        assert_eq!(order(Some(A), [Some(1), Some(2)]), [A, B]);
        assert_eq!(order(Some(B), [Some(2), Some(1)]), [B, A]);
    }

    #[test]
    fn a_broken_named_slot_is_replaced_by_the_other() {
        assert_eq!(order(Some(A), [None, Some(1)]), [B]);
        assert_eq!(order(Some(B), [Some(1), None]), [A]);
    }

    #[test]
    fn without_a_name_the_higher_sequence_wins_and_a_breaks_ties() {
        assert_eq!(order(None, [Some(1), Some(2)]), [B, A]);
        assert_eq!(order(None, [Some(2), Some(2)]), [A, B]);
        assert_eq!(order(None, [None, None]), []);
    }

    fn base(version: &str, needs: Option<&str>) -> Manifest {
        let requires = Requires { base: None, site: needs.map(|needs| needs.parse().unwrap()) };
        Manifest { version: version.parse().unwrap(), requires, ..sample(Kind::Base) }
    }

    fn site(version: &str, needs: Option<&str>, sequence: u64) -> Manifest {
        let requires = Requires { base: needs.map(|needs| needs.parse().unwrap()), site: None };
        Manifest { version: version.parse().unwrap(), requires, sequence, ..sample(Kind::Site) }
    }

    #[test]
    fn a_pair_is_refused_from_either_side_and_the_reason_names_both() {
        assert_eq!(check_pair(&base("2.0.0", None), &site("1.0.0", Some(">=2"), 1)), Ok(()));
        let text = |base: &Manifest, site: &Manifest| check_pair(base, site).unwrap_err().to_string();
        assert_eq!(text(&base("1.0.0", None), &site("5.0.0", Some(">=2"), 1)), "needs base >=2, this is base 1.0.0");
        let needy = base("2.0.0", Some(">=6"));
        assert_eq!(text(&needy, &site("5.0.0", None, 1)), "is site 5.0.0, and base 2.0.0 needs site >=6");
        let foreign = Manifest { product: "other".into(), ..site("5.0.0", None, 1) };
        assert_eq!(text(&needy, &foreign), "is for product \"other\", this is \"demo\"");
    }

    #[test]
    fn a_site_that_does_not_suit_the_base_gives_way_even_when_it_is_named() {
        let (old, new) = (site("1.0.0", None, 1), site("2.0.0", Some(">=2"), 2));
        let both = [Some(&old), Some(&new)];
        assert_eq!(choose(Some(B), Some(&base("2.0.0", None)), both), Some(B));
        assert_eq!(choose(Some(B), Some(&base("1.0.0", None)), both), Some(A));
        assert_eq!(choose(None, Some(&base("1.0.0", None)), both), Some(A));
        assert_eq!(choose(Some(B), Some(&base("1.0.0", None)), [None, Some(&new)]), None);
        assert_eq!(choose(Some(A), Some(&base("2.0.0", Some(">=2"))), both), Some(B));
        assert_eq!(choose(None, None, both), Some(B));
    }
}
