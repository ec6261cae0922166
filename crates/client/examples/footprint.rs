//! What the Rust client costs on a device: `make clients-table` runs it beside the JavaScript client.
//!
//! `footprint URL ACCOUNT CACHE MARK`: prints when the cached list was there and when the client was live, in milliseconds
//! since its start; then, once some profile's sign is MARK, the processor time since then and the memory held.
#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::error::Error;
use std::time::Instant;

use rosterd_client::{ClientOptions, RosterdClient};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [url, account, cache, mark] = arguments.as_slice() else {
        return Err("footprint URL ACCOUNT CACHE MARK".into());
    };
    let client = RosterdClient::new(ClientOptions::new(url, account).cache(cache))?;
    let connecting = client.clone();
    let connected = tokio::spawn(async move { connecting.connect().await });
    client.until(|held| held.friends.len() > 1).await;
    println!("cached {:.1}", begun.elapsed().as_secs_f64() * 1e3);
    connected.await??;
    println!("live {:.1}", begun.elapsed().as_secs_f64() * 1e3);
    let before = processor_time()?;
    let marked = &format!("{mark} last");
    // Only what changed is looked at, as an application would.
    let mut changes = client.changes();
    let mut count = 0;
    while let Some(change) = changes.next().await {
        let rosterd_client::ClientChange::Snapshot(change) = change else { continue };
        count += 1;
        if change.users().iter().any(|account| change.after.users[account].sign == *marked) {
            break;
        }
    }
    println!("processor {:.1} snapshots {count}", processor_time()? - before);
    println!("memory {}", memory()?);
    client.disconnect().await;
    Ok(())
}

/// Of this process so far, in milliseconds.
fn processor_time() -> Result<f64, Box<dyn Error>> {
    let threads = std::fs::read_dir("/proc/self/task")?.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    Ok(threads.sum::<f64>() / 1e6)
}

/// Resident memory, in KiB.
fn memory() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
