//! `bulkhead depot serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use builder::Result;
use builder::depot::Depot;
use builder::depot::serve::Server;
use formats::tuf::Freshness;

use super::super::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The depot
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        Depot::new(&self.directory).state(Freshness::Waived)?;
        let server = Server::bind(&self.directory, self.listen)?;
        output::line(format_args!("serving {} on http://{}/", self.directory.display(), server.address()?))?;
        server.run()
    }
}
