//! Finds settings that are valid and, together, probably not what the operator wants.

use super::settings::Config;
use rosterd_engine::model::{Audience, FriendsPolicy};

impl Config {
    /// Returns what an operator should know about these settings; each text names its key and says what to do.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let for_friends: Vec<_> = self.profile.visibility.fields().into_iter().filter(is_for_friends).collect();
        if self.friends.policy == FriendsPolicy::Request || for_friends.is_empty() {
            return Vec::new();
        }
        let names: Vec<_> = for_friends.iter().map(|(name, _)| format!("profile.visibility.{name}")).collect();
        vec![format!(
            "friends.policy lets every account make itself a friend of any other, and so see what is for friends: {}. \
             Set friends.policy = \"request\", or the audience of these fields to \"everyone\" or \"self\"",
            names.join(", ")
        )]
    }
}

fn is_for_friends((_, audience): &(&'static str, Audience)) -> bool {
    *audience == Audience::Friends
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
