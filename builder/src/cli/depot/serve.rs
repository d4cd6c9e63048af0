//! `bulkhead depot serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use builder::Result;
use builder::depot::Depot;
use builder::depot::ledger::Newcomers;
use builder::depot::portal::Portal;
use builder::depot::serve::Server;
use formats::tuf::Freshness;

use super::super::keys::now;
use super::super::output;
use super::answer::Counting;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The depot
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Answer download keys on /portal too
    #[arg(long, requires = "ledger")]
    portal: bool,
    #[command(flatten)]
    counting: Counting,
    /// How many appliances that the ledger does not know the portal answers in a
    /// day; those it knows are always answered
    #[arg(long, value_name = "N", default_value_t = 100, requires = "portal")]
    new_per_day: usize,
    /// How many appliances the portal lets into the ledger in all
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "portal")]
    appliances: usize,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        Depot::new(&self.directory).state(Freshness::Waived)?;
        let newcomers = Some(Newcomers { per_day: self.new_per_day, all: self.appliances });
        let portal = self
            .counting
            .ledger()
            .filter(|_| self.portal)
            .map(|ledger| ledger.limited(newcomers))
            .map(|ledger| Portal::new(Depot::new(&self.directory), ledger, self.counting.downloaded, now));
        let server = Server::bind(&self.directory, portal, self.listen)?;
        let address = server.address()?;
        if self.portal {
            output::line(format_args!("download keys are answered on http://{address}/portal"))?;
        }
        output::line(format_args!("serving {} on http://{address}/", self.directory.display()))?;
        server.run()
    }
}
