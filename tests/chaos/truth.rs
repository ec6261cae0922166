//! Reads what the store holds from the server API, and compares it with what a client holds.

use std::collections::BTreeMap;

use hyper::Method;
use rosterd_client::{BackendError, Replica};
use rosterd_engine::model::limits::ACCOUNTS_PER_BATCH;
use rosterd_protocol::v1;
use serde_json::json;

use crate::ledger::name;
use crate::support::Gateway;

/// Everything, by account.
#[derive(PartialEq)]
pub struct Truth {
    pub users: BTreeMap<String, v1::User>,
    pub friends: BTreeMap<String, BTreeMap<String, v1::Friend>>,
}

impl Truth {
    /// Asks for everything. Nobody may be writing.
    pub async fn of(gateway: &Gateway, accounts: usize) -> Self {
        Self::try_of(gateway, accounts).await.unwrap()
    }

    /// The same; an error if the gateway cannot say so now.
    pub async fn try_of(gateway: &Gateway, accounts: usize) -> Result<Self, BackendError> {
        let mut backend = gateway.backend().await;
        let names: Vec<_> = (0..accounts).map(name).collect();
        let mut truth = Self { users: BTreeMap::new(), friends: BTreeMap::new() };
        for some in names.chunks(ACCOUNTS_PER_BATCH) {
            let body = json!({"accounts": some}).to_string();
            let answer = backend.request(Method::POST, "/v1/users:batchGet", body).await?;
            let reply: v1::GetUsersReply = serde_json::from_value(answer).unwrap();
            truth.users.extend(reply.users.into_iter().map(|user| (user.account.clone(), user)));
        }
        for account in names {
            let path = format!("/v1/users/{account}/friends?limit=1000");
            let mut answer = backend.request(Method::GET, &path, String::new()).await?;
            assert!(answer["next"].is_null(), "more friends than a page holds");
            let friends: Vec<v1::Friend> = serde_json::from_value(answer["friends"].take()).unwrap();
            truth.friends.insert(account, friends.into_iter().map(|f| (f.account.clone(), f)).collect());
        }
        Ok(truth)
    }

    /// What of a client's view is otherwise.
    pub fn differs(&self, account: &str, replica: &Replica) -> Option<String> {
        let (me, friends) = (&self.users[account], &self.friends[account]);
        if replica.me() != Some(me) {
            return Some(format!("its own profile is {:?}, not {me:?}", replica.me()));
        }
        if replica.friends() != friends {
            return Some(format!("its friends are {:?}, not {friends:?}", replica.friends()));
        }
        let wrong = friends.keys().find(|friend| replica.users().get(*friend) != self.users.get(*friend))?;
        Some(format!("its friend {wrong} is {:?}, not {:?}", replica.users().get(wrong), self.users.get(wrong)))
    }
}
