//! The routes of the server API that need a key, with the scope of each.

use super::scoped::{ScopedRoute, delete, get, get_with_any_key, post, put};
use super::{
    audit, explain, feed, hooks, live, live_stream, me, nodes, relations, schema, settings, snapshot, tokens,
    user_changes, users, webhooks,
};
use crate::keys::Scope;

/// The largest body of an import, in bytes; of a batch, [`BATCH_BYTES`].
pub const IMPORT_BYTES: usize = 8 * 1024 * 1024;
/// Enough for 150 profiles with every field at its limit.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Returns every path with what answers there.
pub(super) fn server_api() -> Vec<(&'static str, ScopedRoute)> {
    let mut routes = users_and_relations();
    routes.extend([
        ("/v1/users/{account}/sessions", get(Scope::Read, live::sessions).delete(Scope::Sessions, live::kick_all)),
        ("/v1/users/{account}/sessions/{session}", delete(Scope::Sessions, live::kick)),
        ("/v1/users/{account}/presence", get(Scope::Read, live::presence).put(Scope::Write, live::set_presence)),
        ("/v1/users/{account}/token", put(Scope::Tokens, tokens::set).delete(Scope::Tokens, tokens::withdraw)),
        ("/v1/users/{account}/tokens:revoke", post(Scope::Tokens, tokens::revoke)),
        ("/v1/users/{account}/hints", post(Scope::Write, live::hint)),
        ("/v1/users/{account}/signals", post(Scope::Write, live::signal)),
        ("/v1/import", post(Scope::Write, users::import).body_limit(IMPORT_BYTES)),
        ("/v1/feed", get(Scope::Feed, feed::feed)),
        ("/v1/snapshot", get(Scope::Feed, snapshot::snapshot)),
        ("/v1/sessions", get(Scope::Read, live::all_sessions)),
        ("/v1/sessions/{session}", get(Scope::Read, live::session)),
        ("/v1/accounts/{account}/explain", get(Scope::Read, explain::explain)),
        ("/v1/audit", get(Scope::Operate, audit::audit)),
        ("/v1/hooks", get(Scope::Read, hooks::list)),
        ("/v1/live", get(Scope::Read, live_stream::live)),
        ("/v1/nodes", get(Scope::Read, nodes::list)),
        ("/v1/schema", get(Scope::Read, schema::get)),
        ("/v1/schema/{field}/purge", post(Scope::Erase, schema::purge)),
        ("/v1/settings", get(Scope::Operate, settings::list)),
        ("/v1/me", get_with_any_key(me::me)),
    ]);
    routes
}

/// The routes of endpoints, which the gateway answers that delivers.
pub(super) fn webhook_routes() -> [(&'static str, ScopedRoute); 8] {
    [
        ("/v1/webhooks", get(Scope::Read, webhooks::list)),
        ("/v1/webhooks/{name}", get(Scope::Read, webhooks::one)),
        ("/v1/webhooks/{name}/pause", post(Scope::Operate, webhooks::pause)),
        ("/v1/webhooks/{name}/resume", post(Scope::Operate, webhooks::resume)),
        ("/v1/webhooks/{name}/test", post(Scope::Operate, webhooks::test)),
        ("/v1/webhooks/{name}/replay", post(Scope::Operate, webhooks::replay)),
        ("/v1/webhooks/{name}/dead", get(Scope::Read, webhooks::dead)),
        ("/v1/webhooks/{name}/dead/{event}", delete(Scope::Operate, webhooks::remove_dead)),
    ]
}

fn users_and_relations() -> Vec<(&'static str, ScopedRoute)> {
    let user = put(Scope::Write, users::put).patch(Scope::Write, users::patch);
    let friend = put(Scope::Write, relations::befriend).patch(Scope::Write, relations::update_friend);
    vec![
        ("/v1/users", get(Scope::Read, users::list)),
        ("/v1/users:batchGet", post(Scope::Read, users::batch_get)),
        ("/v1/users:batchUpdate", post(Scope::Write, users::batch_update).body_limit(BATCH_BYTES)),
        ("/v1/users/{account}", user.get(Scope::Read, users::get).delete(Scope::Erase, users::delete)),
        ("/v1/users/{account}/changes", get(Scope::Read, user_changes::changes)),
        ("/v1/users/{account}/export", get(Scope::Private, users::export)),
        ("/v1/users/{account}/friends", get(Scope::Read, relations::friends)),
        ("/v1/users/{account}/friends/{peer}", friend.delete(Scope::Write, relations::unfriend)),
        ("/v1/users/{account}/requests", get(Scope::Read, relations::requests)),
        (
            "/v1/users/{account}/requests/{peer}",
            put(Scope::Write, relations::ask).delete(Scope::Write, relations::cancel),
        ),
        ("/v1/users/{account}/requests/{peer}/accept", post(Scope::Write, relations::accept)),
        ("/v1/users/{account}/requests/{peer}/reject", post(Scope::Write, relations::reject)),
        ("/v1/users/{account}/blocks", get(Scope::Read, relations::blocks)),
        (
            "/v1/users/{account}/blocks/{peer}",
            put(Scope::Write, relations::block).delete(Scope::Write, relations::unblock),
        ),
        (
            "/v1/users/{account}/muted/{peer}",
            put(Scope::Write, relations::mute).delete(Scope::Write, relations::unmute),
        ),
    ]
}
