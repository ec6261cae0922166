//! A bot that follows the names of its friends: it prints each change of a name, and greets the friend with its own sign.
//!
//! `cargo run -p rosterd-client --example bot -- ws://127.0.0.1:7678/v1/ws alice`
//!
//! Without a third argument, the token, it logs in as to a gateway in development mode, where the token is the account.
//! It runs until ctrl-c, and comes back by itself whenever its connection is lost.
#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::error::Error;

use rosterd_client::{ClientChange, ClientChanges, ClientOptions, ClientSnapshot, RosterdClient};
use rosterd_protocol::v1;

const USAGE: &str = "bot URL ACCOUNT [TOKEN], for example: bot ws://127.0.0.1:7678/v1/ws alice";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (url, account) = (arguments.next().ok_or(USAGE)?, arguments.next().ok_or(USAGE)?);
    let token = arguments.next().unwrap_or_else(|| account.clone());

    let client = RosterdClient::new(ClientOptions::new(url, account).token(token))?;
    client.connect().await?;
    let changes = client.changes();
    let held = changes.seen();
    println!("logged in as {}, with {} friends", held.account, held.friends.len());
    for friend in held.friends.keys() {
        println!("  {friend}: {}", nick(held, friend));
    }
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped?,
        ended = follow(&client, changes) => ended?,
    }
    client.logout().await;
    println!("logged out");
    Ok(())
}

/// The name that a user goes by.
fn nick<'a>(held: &'a ClientSnapshot, account: &str) -> &'a str {
    held.users.get(account).map_or("", |user| &user.nick)
}

/// Reacts to new names, until the client ends for good.
async fn follow(client: &RosterdClient, mut changes: ClientChanges) -> Result<(), Box<dyn Error>> {
    while let Some(change) = changes.next().await {
        match change {
            ClientChange::Snapshot(change) => {
                for account in change.users() {
                    let (before, now) = (nick(&change.before, &account), nick(&change.after, &account));
                    if before != now && !now.is_empty() {
                        println!("{account} is now called {now}");
                        greet(client, now).await;
                    }
                }
            }
            ClientChange::Error(error) => println!("{error}"),
            ClientChange::Signal { .. } | ClientChange::Missed(_) => {}
        }
    }
    Ok(())
}

/// Sets the bot's own sign, which its friends and other clients receive.
async fn greet(client: &RosterdClient, nick: &str) {
    let update = v1::UpdateMyInfo { sign: Some(format!("Hello, {nick}!")), ..Default::default() };
    // A limit, say: worth a line, but no reason to end.
    if let Err(error) = client.update_my_info(update).await {
        println!("could not greet {nick}: {error}");
    }
}
