//! `backup`: the store of a directory, served or not, as one file that `serve --restore` starts from.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::CliError;
use crate::store::{Contents, back_up};

/// Write the store of a directory into one file, while it is served.
///
/// Every order that was acknowledged before the command began is in it, and what comes meanwhile is in it whole or not at all.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  serve baseline --store shop\n  backup --from shop --to shop.gz\n  serve baseline --store again --restore shop.gz"
)]
pub struct Backup {
    /// The directory that `serve --store` was given
    #[arg(long, value_name = "DIR")]
    pub from: OsString,
    /// The file to write; one that is there is not written over
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

impl Backup {
    pub fn run(self, out: &mut dyn Write) -> Result<(), CliError> {
        if self.from.to_string_lossy().starts_with("mongodb") && self.from.to_string_lossy().contains("://") {
            return Err(CliError::BackupOfMongodb);
        }
        let contents = back_up(Path::new(&self.from), &self.to)?;
        let Contents { products, users, leads, orders, bytes } = contents;
        writeln!(
            out,
            "{}: {products} products, {users} users, {leads} leads, {orders} orders in {bytes} bytes",
            self.to.display()
        )?;
        Ok(())
    }
}
