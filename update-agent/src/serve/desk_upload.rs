//! The keeper's part in uploads: pieces in, and what is whole to where everything of its kind goes.

use base64::Engine as _;
use formats::age;
use serde_json::{Value, json};

use super::desk::{Answer, Desk, only_bundles, value};
use super::job::Hand;
use crate::account::Role;
use crate::airgap::bundle::{Opened, recognised};
use crate::api::{Actor, Request, UploadKind, UploadPiece};
use crate::code::Code;
use crate::error::{Error, Result};
use crate::upload::{Trouble, Upload, Uploads};

impl Desk {
    pub(super) fn uploads(&self) -> Uploads {
        Uploads::new(&self.data)
    }

    /// Everything about uploads.
    pub(super) fn uploading(&self, request: Request, actor: &Actor) -> Result<Answer> {
        Ok(Answer::Facts(match request {
            Request::Uploads => value(&self.uploads().list()?)?,
            Request::Upload(id) => value(&self.uploads().state(&id)?)?,
            Request::BeginUpload(order) => value(&self.uploads().begin(order, &owner(actor))?)?,
            Request::UploadPiece(piece) => self.upload_piece(&piece, actor)?,
            Request::DiscardUpload(id) => self.discard_upload(&id, actor)?,
            Request::FinishUpload(order) => {
                // Whether all of it is here is said at once, not by the job.
                let upload = self.uploads().ready(&order, &owner(actor))?;
                return self.begin("upload", actor.to_string(), move |desk, by, hand| {
                    desk.finish_upload(&upload, order.accept_expired.as_deref(), &by, hand)
                });
            }
            _ => return Err(Error::Bug("this is no request about an upload".into())),
        }))
    }

    fn upload_piece(&self, piece: &UploadPiece, actor: &Actor) -> Result<Value> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&piece.bytes);
        let bytes = bytes.map_err(|_| Trouble::Unclear("the bytes of a piece are base64".into()))?;
        value(&self.uploads().piece(&piece.id, piece.offset, &bytes, &owner(actor))?)
    }

    /// Who began it may remove it, and so may an administrator.
    fn discard_upload(&self, id: &str, actor: &Actor) -> Result<Value> {
        let anybodys = match actor {
            Actor::Here(_) => true,
            Actor::Account { role, .. } => *role >= Role::Administrator,
        };
        let owner = owner(actor);
        self.uploads().discard(id, Some(owner.as_str()).filter(|_| !anybodys))?;
        Ok(json!({ "steps": [format!("the upload {id} is removed")] }))
    }

    /// Takes in what is whole. What is taken in or refused is not kept as an upload; what failed for another reason is, and may be
    /// finished again.
    fn finish_upload(&self, upload: &Upload, reason: Option<&str>, by: &str, hand: &Hand) -> Result<Vec<String>> {
        let done = match upload.kind {
            UploadKind::Package => self.take_package(upload, reason, by, hand),
            UploadKind::Backup => self.take_backup(upload),
        };
        let gone = match &done {
            Ok(_) => upload.kind == UploadKind::Package,
            Err(problem) => is_final(problem.reason()),
        };
        if gone {
            // A package was moved, and is not there any more.
            self.uploads().discard(&upload.id, None)?;
        }
        done
    }

    /// The way of `stage FILE`, but that a package is moved, because it lies on the data partition already.
    fn take_package(&self, upload: &Upload, reason: Option<&str>, by: &str, hand: &Hand) -> Result<Vec<String>> {
        let name = format!("package \"{}\"", upload.name);
        let (mut file, path) = self.uploads().open(&upload.id)?;
        if recognised(&mut file, &name)? {
            return self.stage_bundle(Opened::read(file, &name)?, reason, by, hand);
        }
        if reason.is_some() {
            return Err(only_bundles());
        }
        let trust = self.package_trust(self.look()?.trust())?;
        self.staging().room_for_all(&name, 1, formats::Bytes(0))?;
        let (id, release) = self.staging().adopt(&path, &name, &trust, &self.program)?;
        Ok(vec![format!("{release} is staged as {id}")])
    }

    fn take_backup(&self, upload: &Upload) -> Result<Vec<String>> {
        let (file, _) = self.uploads().open(&upload.id)?;
        let wrong = || Trouble::WrongType { name: upload.name.clone(), wanted: "backup" };
        age::locked(file).map_err(|_| Error::from(wrong()))?;
        self.uploads().complete(&upload.id)?;
        Ok(vec![format!("\"{}\" is uploaded as {} and can be restored for a day", upload.name, upload.id)])
    }
}

/// Who goes on with an upload: an account or token, or a user of this machine.
fn owner(actor: &Actor) -> String {
    match actor {
        Actor::Here(peer) => format!("user {}", peer.user),
        Actor::Account { name, .. } => name.clone(),
    }
}

/// Whether the same bytes would be refused again, whatever is done about it on the appliance.
fn is_final(code: Code) -> bool {
    code.exit() < 6 && !matches!(code, Code::Busy | Code::TooManyStaged | Code::DepotExpired | Code::Usage)
}
