//! Where the content of a root file system comes from: directories, tar archives, Debian packages, mmdebstrap.

pub mod deb;
pub mod directory;
pub mod mmdebstrap;
pub mod spool;
pub mod tar;
