//! The routes: one table, from which requests are made and which the documentation is compared with.

use serde::de::DeserializeOwned;

use super::{
    BackupPiece, BeginUpload, BindCertificate, CreateBackup, ExportCertificate, FactoryReset, FinishUpload,
    ImportCertificate, Install, Intent, MAX_REQUEST, MAX_UPLOAD, Network, Package, Problem, Request, Restore, Rollback,
    SetBackups, SigningRequest, Stage, TestBackup, UnbindCertificate, Upgrade, UploadPiece, Wanted,
};
use crate::code::Code;

/// One of the things a client can ask for.
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path; `{id}` stands for one segment.
    pub path: &'static str,
    request: fn(&str, &[u8]) -> Result<Request, String>,
}

/// All of them.
pub const ROUTES: [Route; 60] = [
    Route { method: "GET", path: "/v1/status", request: |_, _| Ok(Request::Status) },
    Route { method: "GET", path: "/v1/history", request: |_, _| Ok(Request::History) },
    Route { method: "GET", path: "/v1/reports", request: |_, _| Ok(Request::Reports) },
    Route { method: "GET", path: "/v1/health", request: |_, _| Ok(Request::Health) },
    Route { method: "GET", path: "/v1/job", request: |_, _| Ok(Request::Job) },
    Route { method: "GET", path: "/v1/licences", request: |_, _| Ok(Request::Licences) },
    Route { method: "GET", path: "/v1/staged", request: |_, _| Ok(Request::Staged) },
    Route { method: "DELETE", path: "/v1/staged/{id}", request: |id, _| Ok(Request::Discard(id.into())) },
    Route { method: "POST", path: "/v1/check", request: |_, body| empty(body, Request::Check) },
    Route { method: "GET", path: "/v1/updates", request: |_, _| Ok(Request::Updates) },
    Route { method: "POST", path: "/v1/plan", request: |_, body| json::<Wanted>(body).map(Request::Plan) },
    Route { method: "POST", path: "/v1/download-key", request: |_, body| empty(body, Request::DownloadKey) },
    Route { method: "POST", path: "/v1/texts", request: |_, body| json::<Wanted>(body).map(Request::Texts) },
    Route { method: "POST", path: "/v1/notes", request: |_, body| json::<Wanted>(body).map(Request::Notes) },
    Route { method: "POST", path: "/v1/upgrade", request: |_, body| json::<Upgrade>(body).map(Request::Upgrade) },
    Route { method: "GET", path: "/v1/upgrade", request: |_, _| Ok(Request::UpgradeOutlook) },
    Route { method: "DELETE", path: "/v1/upgrade", request: |_, _| Ok(Request::CancelUpgrade) },
    Route { method: "POST", path: "/v1/eula", request: |_, body| json::<Package>(body).map(Request::Eula) },
    Route { method: "POST", path: "/v1/preflight", request: |_, body| json::<Intent>(body).map(Request::Preflight) },
    Route { method: "POST", path: "/v1/install", request: |_, body| json::<Install>(body).map(Request::Install) },
    Route { method: "POST", path: "/v1/stage", request: |_, body| json::<Stage>(body).map(Request::Stage) },
    Route { method: "POST", path: "/v1/commit", request: |_, body| empty(body, Request::Commit) },
    Route { method: "POST", path: "/v1/rollback", request: |_, body| json::<Rollback>(body).map(Request::Rollback) },
    Route {
        method: "POST",
        path: "/v1/factory-reset",
        request: |_, body| json::<FactoryReset>(body).map(Request::FactoryReset),
    },
    Route { method: "DELETE", path: "/v1/factory-reset", request: |_, _| Ok(Request::CancelReset) },
    Route { method: "GET", path: "/v1/mail", request: |_, _| Ok(Request::Mail) },
    Route { method: "POST", path: "/v1/mail", request: |_, body| empty(body, Request::TestMail) },
    Route { method: "GET", path: "/v1/network", request: |_, _| Ok(Request::Network) },
    Route { method: "POST", path: "/v1/network", request: |_, body| json::<Network>(body).map(Request::SetNetwork) },
    Route { method: "GET", path: "/v1/certificates", request: |_, _| Ok(Request::Certificates) },
    Route {
        method: "POST",
        path: IMPORT,
        request: |_, body| json::<ImportCertificate>(body).map(Request::ImportCertificate),
    },
    Route {
        method: "POST",
        path: "/v1/certificates/export",
        request: |_, body| json::<ExportCertificate>(body).map(Request::ExportCertificate),
    },
    Route {
        method: "POST",
        path: "/v1/certificates/bind",
        request: |_, body| json::<BindCertificate>(body).map(Request::BindCertificate),
    },
    Route {
        method: "POST",
        path: "/v1/certificates/unbind",
        request: |_, body| json::<UnbindCertificate>(body).map(Request::UnbindCertificate),
    },
    Route {
        method: "DELETE",
        path: "/v1/certificates/{id}",
        request: |id, _| Ok(Request::DeleteCertificate(id.into())),
    },
    Route {
        method: "POST",
        path: "/v1/signing-requests",
        request: |_, body| json::<SigningRequest>(body).map(Request::SigningRequest),
    },
    Route {
        method: "DELETE",
        path: "/v1/signing-requests/{id}",
        request: |id, _| Ok(Request::DeleteSigningRequest(id.into())),
    },
    Route { method: "GET", path: "/v1/claim-code", request: |_, _| Ok(Request::ClaimCode) },
    Route { method: "GET", path: "/v1/accounts", request: |_, _| Ok(Request::Accounts) },
    Route { method: "POST", path: "/v1/accounts", request: |_, body| json(body).map(Request::ChangeAccounts) },
    Route { method: "DELETE", path: "/v1/accounts", request: |_, _| Ok(Request::ForgetAccounts) },
    Route { method: "GET", path: "/v1/audit", request: |_, _| Ok(Request::Audit) },
    Route { method: "GET", path: "/v1/support", request: |_, _| Ok(Request::Support) },
    Route { method: "POST", path: "/v1/support", request: |_, body| empty(body, Request::CreateSupport) },
    Route { method: "GET", path: "/v1/backups", request: |_, _| Ok(Request::Backups) },
    Route {
        method: "POST",
        path: "/v1/backups",
        request: |_, body| json::<CreateBackup>(body).map(Request::CreateBackup),
    },
    Route { method: "GET", path: "/v1/backups/{id}", request: |id, _| Ok(Request::Backup(id.into())) },
    Route { method: "DELETE", path: "/v1/backups/{id}", request: |id, _| Ok(Request::DeleteBackup(id.into())) },
    Route {
        method: "POST",
        path: "/v1/backup-piece",
        request: |_, body| json::<BackupPiece>(body).map(Request::BackupPiece),
    },
    Route {
        method: "POST",
        path: "/v1/backup-setting",
        request: |_, body| json::<SetBackups>(body).map(Request::SetBackups),
    },
    Route {
        method: "POST",
        path: "/v1/backup-test",
        request: |_, body| json::<TestBackup>(body).map(Request::TestBackup),
    },
    Route { method: "POST", path: "/v1/restore", request: |_, body| json::<Restore>(body).map(Request::Restore) },
    Route { method: "GET", path: "/v1/uploads", request: |_, _| Ok(Request::Uploads) },
    Route {
        method: "POST",
        path: "/v1/uploads",
        request: |_, body| json::<BeginUpload>(body).map(Request::BeginUpload),
    },
    Route { method: "GET", path: "/v1/uploads/{id}", request: |id, _| Ok(Request::Upload(id.into())) },
    Route { method: "DELETE", path: "/v1/uploads/{id}", request: |id, _| Ok(Request::DiscardUpload(id.into())) },
    Route { method: "POST", path: PIECE, request: |_, body| json::<UploadPiece>(body).map(Request::UploadPiece) },
    Route {
        method: "POST",
        path: "/v1/upload-finish",
        request: |_, body| json::<FinishUpload>(body).map(Request::FinishUpload),
    },
    Route { method: "POST", path: "/v1/restart", request: |_, body| empty(body, Request::Restart) },
    Route { method: "POST", path: "/v1/shutdown", request: |_, body| empty(body, Request::Shutdown) },
];

/// Longest body in bytes of a request for this.
pub fn limit(method: &str, path: &str) -> usize {
    if method == "POST" && [IMPORT, PIECE].contains(&path) { MAX_UPLOAD } else { MAX_REQUEST }
}

/// What a client asked for, or the HTTP status and error it gets.
pub fn request(method: &str, path: &str, body: &[u8]) -> Result<Request, (u16, Problem)> {
    let there: Vec<(&Route, &str)> = ROUTES.iter().filter_map(|route| Some((route, matched(route, path)?))).collect();
    let Some((route, id)) = there.iter().find(|(route, _)| route.method == method) else {
        return Err(match there.first() {
            Some((route, _)) => (405, problem(Code::NotFound, format!("\"{}\" wants {}", route.path, route.method))),
            None => (404, problem(Code::NotFound, "there is no such path; docs/api.md lists them".into())),
        });
    };
    (route.request)(id, body).map_err(|fault| (400, problem(Code::Usage, fault)))
}

const IMPORT: &str = "/v1/certificates";
const PIECE: &str = "/v1/upload-piece";

/// An error without an [`crate::error::Error`] behind it.
pub fn problem(code: Code, message: String) -> Problem {
    Problem { code: code.word().into(), message }
}

/// The segment `{id}` stands for; empty when the path has none.
fn matched<'a>(route: &Route, path: &'a str) -> Option<&'a str> {
    match route.path.strip_suffix("{id}") {
        Some(folder) => path.strip_prefix(folder).filter(|id| !id.is_empty() && !id.contains('/')),
        None => (route.path == path).then_some(""),
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|problem| format!("the body is not what this path takes: {problem}"))
}

fn empty(body: &[u8], request: Request) -> Result<Request, String> {
    if body.is_empty() || body == b"{}" { Ok(request) } else { Err("this path takes no body".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_methods_and_bodies_are_checked() {
        let status = |method, path, body: &str| request(method, path, body.as_bytes()).map_err(|(status, _)| status);
        assert_eq!(status("GET", "/v1/status", ""), Ok(Request::Status));
        assert_eq!(status("DELETE", "/v1/staged/00ff", ""), Ok(Request::Discard("00ff".into())));
        assert_eq!(status("POST", "/v1/rollback", ""), Ok(Request::Rollback(Rollback { site: false })));
        assert_eq!(status("POST", "/v1/eula", r#"{"staged":"1"}"#), Ok(Request::Eula(Package::Staged("1".into()))));
        for (method, path, body, wanted) in [
            ("GET", "/v1/", "", 404),
            ("GET", "/v1/status/", "", 404),
            ("GET", "/v2/status", "", 404),
            ("DELETE", "/v1/staged/", "", 404),
            ("DELETE", "/v1/staged/a/b", "", 404),
            ("PUT", "/v1/status", "", 405),
            ("GET", "/v1/install", "", 405),
            ("POST", "/v1/install", "", 400),
            ("POST", "/v1/install", r#"{"package":{"file":"/a","staged":"b"}}"#, 400),
            ("POST", "/v1/install", r#"{"package":{"file":"/a"},"accept-eulas":true}"#, 400),
            ("POST", "/v1/commit", r#"{"force":true}"#, 400),
            ("POST", "/v1/rollback", "site", 400),
            ("POST", "/v1/shutdown", r#"{"now":true}"#, 400),
            ("GET", "/v1/shutdown", "", 405),
            ("POST", "/v1/network", r#"{"method":"magic"}"#, 400),
        ] {
            assert_eq!(status(method, path, body), Err(wanted), "{method} {path} {body}");
        }
    }
}
