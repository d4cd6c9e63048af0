//! Further signers of a product: people besides the owner of its key set, whose signatures an appliance counts.
//!
//! The trust store of an image needs the public halves of each. The private ones are read where they are, and may be elsewhere: then
//! their owner signs finished packages ([`crate::sign`]).

use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use formats::manifest::Date;
use formats::trust::Role;

use super::Files;
use crate::Result;

/// One of them.
#[derive(Debug)]
pub struct CoSigner {
    /// The folder of the keys.
    pub directory: PathBuf,
    /// Whose they are, as said when they were made.
    pub name: String,
    /// True for keys that a release must not trust.
    pub development: bool,
    /// The last day on which appliances install what they signed; none: they do not expire.
    pub expires: Option<Date>,
    base: Halves,
    site: Halves,
    licence: Option<Halves>,
}

/// A key, of which the private half may be elsewhere.
#[derive(Debug)]
struct Halves {
    public: VerifyingKey,
    private: Option<SigningKey>,
}

impl CoSigner {
    /// Loads and checks `base.pub` and `site.pub` in this directory, `licence.pub` if there is one, and the private halves of those where
    /// they are there.
    pub fn load(directory: &Path) -> Result<Self> {
        let set = Files(directory);
        let description = set.description()?;
        let halves = |role: &str| -> Result<Halves> {
            let present = set.path(&format!("{role}.key")).exists();
            let private = present.then(|| set.ed25519(role)).transpose()?;
            Ok(Halves { public: set.public(role)?, private })
        };
        Ok(Self {
            directory: directory.to_owned(),
            name: description.product,
            development: description.development,
            expires: description.expires,
            base: halves("base")?,
            site: halves("site")?,
            licence: set.path("licence.pub").exists().then(|| halves("licence")).transpose()?,
        })
    }

    /// The public half for packages of this role; nothing: they sign no licences.
    pub fn public(&self, role: Role) -> Option<&VerifyingKey> {
        self.halves(role).map(|halves| &halves.public)
    }

    /// The private half, if it is here.
    pub fn private(&self, role: Role) -> Option<&SigningKey> {
        self.halves(role)?.private.as_ref()
    }

    fn halves(&self, role: Role) -> Option<&Halves> {
        match role {
            Role::Base => Some(&self.base),
            Role::Site => Some(&self.site),
            Role::Licence => self.licence.as_ref(),
        }
    }
}
