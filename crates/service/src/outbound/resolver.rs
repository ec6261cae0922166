//! Resolves a name to addresses that may be connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::address_rules::AddressRules;

/// Looks up the addresses of a name.
pub type NameLookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Creates a lookup by the system's resolver.
#[must_use]
pub fn system_lookup() -> NameLookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// A resolver whose answers are addresses that may be connected to. A connection is made to its answers and to nothing
/// else, so there is no second lookup that could differ.
#[derive(Clone)]
pub(super) struct CheckingResolver {
    pub lookup: NameLookup,
    pub rules: Arc<AddressRules>,
}

impl Service<Name> for CheckingResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (lookup, rules) = ((self.lookup)(name.as_str().to_owned()), self.rules.clone());
        Box::pin(async move { allowed(lookup.await?, &rules).map(Vec::into_iter) })
    }
}

/// Leaves out the addresses that are not connected to.
///
/// # Errors
/// None is left: why the first one is not connected to.
fn allowed(found: Vec<IpAddr>, rules: &AddressRules) -> io::Result<Vec<SocketAddr>> {
    let (mut allowed, mut why) = (Vec::new(), None);
    for address in found {
        match rules.check(address) {
            Ok(()) => allowed.push(SocketAddr::new(address, 0)),
            Err(refused) => why = why.or(Some(refused)),
        }
    }
    if allowed.is_empty() {
        let why = why.unwrap_or_else(|| "the name has no address".to_owned());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(allowed)
}
