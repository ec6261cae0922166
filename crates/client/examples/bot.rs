//! A bot that follows the names of its friends: it prints each change of a name, and greets the friend with its own sign.
//!
//! `cargo run -p rosterd-client --example bot -- ws://127.0.0.1:7678/v1/ws alice`
//!
//! Without a third argument, the token, it logs in as to a gateway in development mode, where the token is the account.
//! It runs until ctrl-c, or until the connection ends: reconnecting is left out here.
#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::error::Error;

use rosterd_client::{Client, ClientError, Replica};
use rosterd_protocol::{ClientCommand, Encoding, v1};

const USAGE: &str = "bot URL ACCOUNT [TOKEN], for example: bot ws://127.0.0.1:7678/v1/ws alice";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (url, account) = (arguments.next().ok_or(USAGE)?, arguments.next().ok_or(USAGE)?);
    let token = arguments.next().unwrap_or_else(|| account.clone());

    let mut bot = Bot { client: Client::connect(&url, Encoding::Json).await?, replica: Replica::default() };
    let reply = bot.client.login(&token, &mut bot.replica).await?;
    println!("logged in as {}, with {} friends", reply.account, bot.replica.friends().len());
    for friend in bot.replica.friends().keys() {
        println!("  {friend}: {}", bot.nick(friend));
    }
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped?,
        ended = bot.follow() => ended?,
    }
    bot.client.request(ClientCommand::Logout(v1::Logout {})).await?;
    println!("logged out");
    Ok(())
}

struct Bot {
    client: Client,
    /// What the client holds; every frame goes into it.
    replica: Replica,
}

impl Bot {
    /// The name that a user goes by.
    fn nick(&self, account: &str) -> String {
        self.replica.users().get(account).map_or(String::new(), |user| user.nick.clone())
    }

    /// Applies what arrives, and reacts to new names.
    async fn follow(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let frame = self.client.next().await?;
            let changed: Vec<_> = frame.changes.iter().flat_map(|changes| &changes.users).collect();
            let before: Vec<_> = changed.iter().map(|user| (user.account.clone(), self.nick(&user.account))).collect();
            self.replica.apply(&frame)?;
            for (account, before) in before {
                let now = self.nick(&account);
                if now != before {
                    println!("{account} is now called {now}");
                    self.greet(&now).await?;
                }
            }
        }
    }

    /// Sets the bot's own sign, which its friends and other clients receive.
    async fn greet(&mut self, nick: &str) -> Result<(), Box<dyn Error>> {
        let update = v1::UpdateMyInfo { sign: Some(format!("Hello, {nick}!")), ..Default::default() };
        match self.client.request(ClientCommand::UpdateMyInfo(update)).await {
            Ok(reply) => self.replica.apply(&reply)?,
            // A limit, say: worth a line, but no reason to end.
            Err(ClientError::Refused(error)) => println!("could not greet {nick}: {}", error.message),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
