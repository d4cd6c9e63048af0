//! A path bundle on this machine: a file with a depot in it, made for one appliance.
//!
//! It is recognised by its content, not by its name. It goes the way of everything from a depot: its metadata through the same refresh into
//! the same store ([`Places::learn`]), its packages into staging by the digest the metadata signs for, and then through the same checks
//! as any package. What it says about order is for people: the way is planned here. One thing an operator may decide: to take a bundle
//! whose last day has passed ([`Decide`]). Signatures, roots and rollback are checked all the same, and the decision is journalled.
//!
//! Known attacks and our defence: the file changes while it is read (each piece that counts is compared with a signed digest when it is
//! read, metadata is read once); a bundle that is a package too, or neither (the first header decides, and each reader wants its own whole
//! form); a length that is a lie (no byte behind the end of the file is read, the digest decides).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use formats::bundle::{self, Bundle, Span, is_bundle};
use formats::manifest::Date;
use formats::tuf::{Freshness, Refusal, Target, Why};
use formats::{Bytes, Damage, Distrust};

use crate::depot::check::{Files, Learnt};
use crate::depot::clock::Clock;
use crate::depot::{Places, Trouble};
use crate::error::{At, Doing, Error, Result};

/// A bundle that was read; nothing of it is verified.
#[derive(Debug)]
pub struct Opened {
    file: File,
    name: String,
    bundle: Bundle,
}

/// Writes down that somebody takes a bundle although this was refused.
pub type Decide<'a> = &'a dyn Fn(&Refusal) -> Result<()>;

/// What was learnt from a bundle.
pub struct Taken {
    /// What its depot says.
    pub(crate) learnt: Learnt,
    /// The last day that has passed, when it has, and somebody took it all the same.
    pub expired: Option<String>,
}

/// Whether this file, whatever its name, is a bundle. It is at its beginning afterwards.
pub fn recognised(file: &mut File, name: &str) -> Result<bool> {
    let mut start = Vec::new();
    let doing = || format!("read {name}");
    file.by_ref().take(512).read_to_end(&mut start).doing(doing)?;
    file.rewind().doing(doing)?;
    Ok(is_bundle(&start))
}

impl Opened {
    /// Reads label and metadata, and where everything else is.
    pub fn read(file: File, name: &str) -> Result<Self> {
        let name = name.strip_prefix("package ").map_or_else(|| name.into(), |path| format!("path bundle {path}"));
        let bundle = Bundle::read(&file).map_err(|problem| match problem {
            bundle::Error::Io(cause) => Error::System { action: format!("read {name}"), cause },
            bundle::Error::Format(cause) => Error::Content { place: name.clone(), cause },
        })?;
        Ok(Self { file, name, bundle })
    }

    /// What it is called in sentences.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of itself.
    pub const fn label(&self) -> &bundle::Label {
        &self.bundle.label
    }

    /// Whether it carries this target of its depot.
    pub fn has(&self, name: &str, target: &Target) -> bool {
        self.bundle.targets.get(&target.path(name)).is_some_and(|span| span.size == target.length)
    }

    /// Refused for another product, before its signatures say the same less plainly.
    pub fn check_product(&self, product: &str) -> Result<()> {
        let theirs = &self.label().product;
        if theirs == product {
            return Ok(());
        }
        let problem = format!("it is for the product \"{theirs}\", and this appliance is a \"{product}\"");
        Err(formats::Error::untrusted("path bundle", Distrust::OtherProduct, problem)).at(|| self.name.clone())
    }

    /// Verifies what it says of its depot, and keeps it. `decide` is there when somebody has decided to take it whatever day it is; it is
    /// called once everything else about it is verified, and before anything of it counts.
    pub fn take(&mut self, places: &Places, clock: Clock, decide: Option<Decide<'_>>) -> Result<Taken> {
        let problem = match places.learn(self, Freshness::Required { now: clock.now() }, clock) {
            Ok(learnt) => return Ok(Taken { learnt, expired: None }),
            Err(problem) => problem,
        };
        let Error::Depot(trouble) = problem else { return Err(problem) };
        let Trouble::Expired { place, refusal, .. } = *trouble else { return Err(self.explained(*trouble)) };
        let verified = places.verified(self, Freshness::Waived, clock)?;
        let Some(decide) = decide else {
            // For the explanation: when was the newest thing in it signed?
            let made = verified.known.catalogue.index().created.min(verified.known.depot.expires());
            let clock = Clock { signed: clock.signed.max(made), ..clock };
            return Err(Trouble::BundleExpired { place, refusal, made: Date::shown(made), clock }.into());
        };
        decide(&refusal)?;
        Ok(Taken { learnt: places.keep_verified(verified, clock)?, expired: Some(refusal.to_string()) })
    }

    /// A signature that does not hold may only mean that the roots in between are missing.
    fn explained(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Refused { refusal, place } => {
                let whose = &self.label().appliance;
                Trouble::Refused { refusal, place: format!("{place} (made for the appliance {whose})") }.into()
            }
            other => other.into(),
        }
    }

    /// A reader of one of its targets.
    pub fn target(&self, name: &str, target: &Target) -> Result<impl Read + use<>> {
        let path = target.path(name);
        let span = self.bundle.targets.get(&path).filter(|span| span.size == target.length);
        self.span(*span.ok_or_else(|| self.without(&path))?)
    }

    fn span(&self, span: Span) -> Result<std::io::Take<File>> {
        let doing = || format!("read {}", self.name);
        let mut file = self.file.try_clone().doing(doing)?;
        file.seek(SeekFrom::Start(span.offset.0)).doing(doing)?;
        Ok(file.take(span.size.0))
    }

    fn without(&self, path: &str) -> Error {
        let problem =
            format!("it has no \"{path}\" of the length that was signed for; copy it again, or have it made anew");
        let cause = formats::Error::damaged("path bundle", Damage::WrongMember, problem);
        Error::Content { place: self.name.clone(), cause }
    }
}

impl Files for Opened {
    fn place(&self) -> String {
        self.name.clone()
    }

    fn metadata(&mut self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        Ok(self.bundle.fetch(name, limit))
    }

    fn target(&mut self, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let Some(span) = self.bundle.targets.get(path).copied() else { return Ok(None) };
        if span.size > Bytes(u64::try_from(limit).unwrap_or(u64::MAX)) {
            let problem = format!("it has {}, and {limit} bytes were signed for", span.size);
            let refusal = Refusal { file: path.into(), why: Why::Mismatch, problem };
            return Err(Trouble::Refused { refusal, place: self.name.clone() }.into());
        }
        let mut bytes = Vec::new();
        self.span(span)?.read_to_end(&mut bytes).doing(|| format!("read {}", self.name))?;
        Ok(Some(bytes))
    }
}
