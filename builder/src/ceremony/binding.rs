//! What ties the signatures of a request to everything it changes.
//!
//! Metadata names packages and texts by their SHA-256. Of the rest, the index above all, it says nothing: that is signed by the online keys alone.
//! So each document of a request carries a digest over all of the request (`bulkhead: {change}`, signed and ignored by clients). Whoever
//! signs one document signs the index, the other documents and everything that was shown with them, byte for byte; the next version of the
//! document drops it ([`crate::depot`]).
//!
//! It guarantees that a request in which anything differs from what was signed is refused wherever it is read. One that was altered and
//! bound anew is another request: its documents are other messages, no answer to the first fits it, and its signers are shown what it says.

use formats::{Digest, tuf};
use serde_json::{Value, json};

use super::{Content, Request};
use crate::{Error, Result};

/// The field of a document's `bulkhead` object with the digest.
pub(crate) const FIELD: &str = "change";

impl Request {
    /// SHA-256 over everything in the request but signatures and the digest itself.
    pub fn digest(&self) -> Result<Digest> {
        let mut bare = self.clone();
        for part in &mut bare.parts {
            part.signatures.clear();
            if let Content::Metadata { document, .. } = &mut part.content
                && let Some(own) = document.get_mut("bulkhead").and_then(Value::as_object_mut)
            {
                own.remove(FIELD);
            }
        }
        let value = serde_json::to_value(&bare).map_err(|cause| Error::input(format!("the request: {cause}")))?;
        Ok(Digest::of(&tuf::canonical(&value).map_err(Error::format("the request"))?))
    }

    /// Has each document stand for the whole request.
    pub(crate) fn bind(&mut self) -> Result<()> {
        let digest = hex::encode(self.digest()?.0);
        for part in &mut self.parts {
            if let Content::Metadata { document, .. } = &mut part.content
                && let Some(fields) = document.as_object_mut()
                && let Some(own) = fields.entry("bulkhead").or_insert_with(|| json!({})).as_object_mut()
            {
                own.insert(FIELD.into(), digest.clone().into());
            }
        }
        Ok(())
    }

    /// Whether each document stands for this request as it is.
    ///
    /// # Errors
    /// [`Error::Verification`] when something in it was altered.
    pub fn check_bound(&self) -> Result<()> {
        let digest = hex::encode(self.digest()?.0);
        for part in &self.parts {
            let Content::Metadata { document, .. } = &part.content else { continue };
            if self.change.is_none() || document["bulkhead"][FIELD] != digest.as_str() {
                return Err(Error::Verification(format!(
                    "the request says something else than its {} metadata stands for: it was altered after it was made; take the file \
                     as it was written, or make the request again",
                    part.role
                )));
            }
        }
        Ok(())
    }
}
