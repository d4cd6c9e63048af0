//! The pages: one table of what each shows, who may see it, and what is asked of the keeper for it.

use formats::catalogue::PackageId;

use super::form::Form;
use super::words::Words;
use crate::account::Role;
use crate::api::{Intent, Package, Request, Wanted};

/// A page of somebody who is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// What runs, what is on trial, what the next restart does.
    Status,
    /// What a restart or a way back does, before it is done.
    Confirm,
    /// What the depot offers, what is staged, what is being done.
    Updates,
    /// The way to a release, with notes and terms.
    Way,
    /// What is to be known before a package is installed.
    Install,
    /// What was installed and how it ended.
    History,
    /// The health checks.
    Health,
    /// The licences.
    Licences,
    /// How the appliance gets its address.
    Network,
    /// Who is told by mail.
    Mail,
    /// What goes to whoever helps.
    Support,
    /// The backups that are kept.
    Backups,
    /// What is in one of them.
    Backup,
    /// By which certificates the appliance is known.
    Certificates,
    /// Who may sign in.
    Accounts,
    /// Who did what.
    Audit,
    /// Factory reset.
    Reset,
}

/// Pages that belong together in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What it is and how it is.
    Appliance,
    /// What is installed on it.
    Updates,
    /// How it is set up.
    Settings,
    /// Who may do what.
    Administration,
}

impl Group {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Appliance, Self::Updates, Self::Settings, Self::Administration];

    /// What it is called.
    pub const fn name(self, words: &Words) -> &'static str {
        match self {
            Self::Appliance => words.appliance,
            Self::Updates => words.updates,
            Self::Settings => words.settings,
            Self::Administration => words.administration,
        }
    }
}

/// What a page is about, as its address says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The release a way leads to.
    pub to: Option<PackageId>,
    /// The package of the depot that is to be installed.
    pub package: Option<PackageId>,
    /// The staged one.
    pub staged: Option<String>,
    /// What is to be confirmed.
    pub what: Option<String>,
    /// The backup.
    pub backup: Option<String>,
}

impl Query {
    /// What follows the question mark. What is not understood is about nothing.
    pub fn parse(text: &str) -> Self {
        let fields = Form::parse(text.as_bytes()).unwrap_or_default();
        let id = |field: &str| fields.text(field).and_then(|id| id.parse().ok());
        let staged = fields.text("staged");
        Self { to: id("to"), package: id("package"), staged, what: fields.text("what"), backup: fields.text("backup") }
    }

    /// The package that is to be installed.
    pub fn wanted(&self) -> Option<Package> {
        self.package.clone().map(Package::Depot).or_else(|| self.staged.clone().map(Package::Staged))
    }

    /// The end of a way as its form has it; empty: the newest.
    pub fn to_text(&self) -> String {
        self.to.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl Page {
    /// All of them, in the order of the navigation.
    pub const ALL: [Self; 17] = [
        Self::Status,
        Self::Confirm,
        Self::Updates,
        Self::Way,
        Self::Install,
        Self::History,
        Self::Health,
        Self::Licences,
        Self::Network,
        Self::Mail,
        Self::Backups,
        Self::Backup,
        Self::Certificates,
        Self::Accounts,
        Self::Audit,
        Self::Support,
        Self::Reset,
    ];

    /// Where it is.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Status => "/status",
            Self::Confirm => "/confirm",
            Self::Updates => "/updates",
            Self::Way => "/updates/way",
            Self::Install => "/updates/install",
            Self::History => "/history",
            Self::Health => "/health",
            Self::Licences => "/licences",
            Self::Network => "/network",
            Self::Mail => "/mail",
            Self::Support => "/support",
            Self::Backups => "/backups",
            Self::Backup => "/backups/contents",
            Self::Certificates => "/certificates",
            Self::Accounts => "/accounts",
            Self::Audit => "/audit",
            Self::Reset => "/reset",
        }
    }

    /// What it is called.
    pub const fn name(self, words: &Words) -> &'static str {
        match self {
            Self::Status => words.status,
            Self::Updates => words.updates,
            Self::Confirm => words.confirm,
            Self::Way => words.plan,
            Self::Install => words.install,
            Self::History => words.history,
            Self::Health => words.health,
            Self::Licences => words.licences,
            Self::Network => words.network,
            Self::Mail => words.mail,
            Self::Support => words.support,
            Self::Backups => words.backups,
            Self::Backup => words.backup_contents,
            Self::Certificates => words.certificates,
            Self::Accounts => words.accounts,
            Self::Audit => words.audit,
            Self::Reset => words.reset,
        }
    }

    /// Where it stands in the navigation.
    pub const fn group(self) -> Group {
        match self {
            Self::Status | Self::Confirm | Self::Health | Self::Licences => Group::Appliance,
            Self::Updates | Self::Way | Self::Install | Self::History => Group::Updates,
            Self::Network | Self::Mail | Self::Backups | Self::Backup | Self::Certificates => Group::Settings,
            Self::Accounts | Self::Audit | Self::Support | Self::Reset => Group::Administration,
        }
    }

    /// Whether it stands in the navigation of somebody with this role.
    pub fn listed(self, role: Role) -> bool {
        match self {
            Self::Confirm | Self::Way | Self::Install | Self::Backup => false,
            Self::Support => role >= Role::Operator,
            Self::Audit | Self::Reset => role >= Role::Administrator,
            _ => true,
        }
    }

    /// The one at this path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.path() == path)
    }

    /// What it shows, asked of the keeper in this order.
    pub fn asks(self, query: &Query, role: Role) -> Vec<Request> {
        let wanted = Wanted { to: query.to.clone(), ..Wanted::default() };
        match self {
            Self::Status | Self::Confirm | Self::Reset => vec![Request::Status],
            // The outlook only for why it is not known how far an upgrade is.
            Self::Updates => vec![Request::Updates, Request::Staged, Request::UpgradeOutlook, Request::Uploads],
            Self::Way => {
                let intent = Request::Preflight(Intent::Way(wanted.clone()));
                vec![Request::Plan(wanted.clone()), Request::Notes(wanted), Request::Updates, intent]
            }
            Self::Install => match query.wanted() {
                Some(package) => vec![Request::Preflight(Intent::Package(package.clone())), Request::Eula(package)],
                None => Vec::new(),
            },
            Self::History => vec![Request::History, Request::Reports],
            Self::Health => vec![Request::Health],
            Self::Licences => vec![Request::Licences],
            Self::Network => vec![Request::Network],
            Self::Mail => vec![Request::Mail],
            Self::Support => vec![Request::Support],
            Self::Backups => vec![Request::Backups, Request::Uploads],
            Self::Backup => query.backup.clone().map(Request::Backup).into_iter().collect(),
            Self::Certificates => vec![Request::Certificates],
            Self::Accounts if role >= Role::Administrator => vec![Request::Accounts],
            Self::Accounts => Vec::new(),
            Self::Audit => vec![Request::Audit],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::role::rule;

    #[test]
    fn a_page_asks_for_nothing_that_changes_something_or_that_its_reader_may_not_see() {
        for page in Page::ALL {
            for role in Role::ALL.into_iter().filter(|role| page.listed(*role)) {
                for request in page.asks(&Query::default(), role) {
                    let rule = rule(&request);
                    assert_eq!(rule.action, None, "{page:?} changes something: {request:?}");
                    assert!(rule.role <= role, "{page:?} for {role}: {request:?}");
                }
            }
        }
    }

    #[test]
    fn every_page_is_at_a_path_of_its_own() {
        for page in Page::ALL {
            assert_eq!(Page::at(page.path()), Some(page));
        }
        assert_eq!(Page::at("/"), None);
    }
}
