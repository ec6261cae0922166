//! The schema of profiles as clients get it, made once for each state of the rules.

use std::sync::Arc;

use parking_lot::Mutex;

use rosterd_engine::model::{Visibility, WriteRights};
use rosterd_protocol::v1;

/// Keeps the newest schema, because every login names its hash.
///
/// It asks which rules are in force each time instead of being told when they change, so nobody can forget to.
#[derive(Debug, Default)]
pub(super) struct SchemaCache(Mutex<Option<MadeSchema>>);

#[derive(Debug)]
struct MadeSchema {
    // What it was made of. Held, so that nothing else can have the same address.
    rules: Arc<Visibility>,
    rights: Arc<WriteRights>,
    schema: Arc<v1::GetSchemaReply>,
}

impl SchemaCache {
    /// Returns the schema by these rules. It compares which ones they are, and not what is in them.
    pub(super) fn of(&self, rules: Arc<Visibility>, rights: Arc<WriteRights>) -> Arc<v1::GetSchemaReply> {
        let mut made = self.0.lock();
        let of_these = |made: &&MadeSchema| Arc::ptr_eq(&made.rules, &rules) && Arc::ptr_eq(&made.rights, &rights);
        if let Some(made) = made.as_ref().filter(of_these) {
            return made.schema.clone();
        }
        let schema = Arc::new(rosterd_protocol::schema(&rules.own, &rights));
        *made = Some(MadeSchema { rules, rights, schema: schema.clone() });
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_made_once_until_the_rules_are_others() {
        let cache = SchemaCache::default();
        let (rules, rights) = (Arc::new(Visibility::default()), Arc::new(WriteRights::default()));
        let first = cache.of(rules.clone(), rights.clone());
        assert!(Arc::ptr_eq(&first, &cache.of(rules.clone(), rights)));
        let of_backend: Arc<WriteRights> = Arc::new(["nick"].into_iter().collect());
        let second = cache.of(rules, of_backend.clone());
        assert_eq!((second.backend_only.as_slice(), second.hash == first.hash), (&["nick".to_owned()][..], false));
        let third = cache.of(Arc::new(Visibility::default()), of_backend);
        assert!(!Arc::ptr_eq(&second, &third) && second == third);
    }
}
