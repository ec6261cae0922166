//! Exports through the gateway if one runs, and otherwise straight from the store.

use std::path::Path;

use super::export_file::ExportFile;
use super::from_gateway::GatewayExport;
use super::from_store::StoreExport;
use super::progress::progress;
use crate::cli::{CliError, reachable, runtime, say, trust};
use crate::config::Config;
use crate::keys::Scope;
use rosterd_client::Backend;
use rosterd_protocol::RecordCounts;

/// Exports to a file, or to standard output if it is named `-`, at the lowest priority of the processor.
///
/// # Errors
/// The gateway or the store fails, or the file cannot be written; then there is no file.
pub fn run(config: &Config, file: &Path, with_credentials: bool) -> Result<(), CliError> {
    // Before there are threads, which all have it then. Where it may not be, an export is only less considerate.
    #[cfg(unix)]
    let _ = rustix::process::nice(19);
    runtime()?.block_on(async {
        let mut out = ExportFile::create(file)?;
        let bar = progress();
        let exported = if with_credentials {
            StoreExport::open(config)?.export(&mut out, &bar, true).await
        } else {
            let trust = trust(config.ops.tls_files().as_ref())?;
            let key = config.ops.own_key(&[Scope::Feed, Scope::Private]);
            let address = reachable(config.ops.listen);
            match Backend::connect_trusting(address, key, trust.as_ref()).await {
                Ok(backend) => GatewayExport::new(address, key, trust, backend).export(&mut out, &bar).await,
                Err(_) => StoreExport::open(config)?.export(&mut out, &bar, false).await,
            }
        };
        bar.finish_and_clear();
        let (counts, from) = exported?;
        out.finish()?;
        if file.as_os_str() == "-" { Ok(()) } else { say(&format!("{} exported from {from}", numbers(&counts))) }
    })
}

fn numbers(counts: &RecordCounts) -> String {
    let RecordCounts { users, friends, requests, blocks, credentials } = counts;
    let more = if *credentials > 0 { format!(", {credentials} credentials") } else { String::new() };
    format!("{users} users, {friends} friends, {requests} requests, {blocks} blocks{more}")
}
