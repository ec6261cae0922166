//! The log: it holds nobody up, whoever reads it.

use std::time::Instant;

use rosterd_protocol::Encoding;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, World};

/// Causes lines of the log: connections that speak no HTTP.
async fn cause_lines(gateway: &Gateway, number: usize) {
    for _ in 0..number {
        let mut stream = TcpStream::connect(gateway.clients).await.unwrap();
        stream.write_all(b"\0\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time");
    }
}

#[tokio::test]
async fn a_reader_of_the_log_that_stands_still_holds_nobody_up() {
    let mut world = World::new();
    let pipe = world.path().join("pipe").display().to_string();
    // The gateway itself keeps the pipe's other end open, and nobody reads from it.
    world.through = Some(format!("mkfifo {pipe}; exec \"$@\" 2<>{pipe}"));
    let gateway = world.start_with(&["log.level=debug"]);
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let begun = Instant::now();
    // The fault has happened once lines find no room.
    while gateway.metric_of("rosterd_log_dropped_total", "UNREAD").await == 0.0 {
        cause_lines(&gateway, 200).await;
        assert!(begun.elapsed() < 4 * PATIENCE, "nothing was left out of the log");
    }
    alice.nick("written").await;
    bob.until(|replica| replica.users()["alice"].nick == "written").await;
    assert_eq!(gateway.terminate().await, Some(0));
}
