//! Finds settings that are valid and, together, probably not what the operator wants.

use super::settings::Config;
use rosterd_engine::model::{Audience, FriendsPolicy};

impl Config {
    /// Returns what an operator should know about these settings; each text names its key and says what to do.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let fields = self.profile.visibility.fields().into_iter().filter(|(_, to)| *to == Audience::Friends);
        let own = self.profile.fields.iter().filter(|(_, field)| field.visibility == Audience::Friends);
        let names = fields.map(|(name, _)| format!("profile.visibility.{name}"));
        let names: Vec<_> = names.chain(own.map(|(name, _)| format!("profile.fields.{name}.visibility"))).collect();
        if self.friends.policy == FriendsPolicy::Request || names.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "friends.policy lets every account make itself a friend of any other, and so see what is for friends: {}. \
             Set friends.policy = \"request\", or the audience of these fields to \"everyone\" or \"self\"",
            names.join(", ")
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_for_friends_are_warned_of_where_friends_need_no_consent() {
        let mut config = Config::default();
        assert_eq!(config.friends.policy, FriendsPolicy::Request);
        for (policy, warns) in
            [(FriendsPolicy::Request, false), (FriendsPolicy::Direct, true), (FriendsPolicy::Both, true)]
        {
            config.friends.policy = policy;
            config.profile.visibility.tel = Audience::Friends;
            let warnings = config.warnings();
            assert_eq!(warnings.iter().any(|text| text.contains("for friends: profile.visibility.tel.")), warns);
            config.profile.visibility.tel = Audience::Own;
            assert_eq!(config.warnings(), [""; 0]);
        }
    }
}
