//! A profile in its three views, each a card that is encoded once.

use std::sync::Arc;

use super::EncodedProfile;
use rosterd_engine::model::{Audience, Profile, Visibility};

/// The cards of one profile. Audiences that see the same share one.
#[derive(Debug)]
pub struct ProfileViews {
    own: Arc<EncodedProfile>,
    friends: Arc<EncodedProfile>,
    everyone: Arc<EncodedProfile>,
}

impl ProfileViews {
    /// Nothing is encoded yet.
    #[must_use]
    pub fn new(profile: Arc<Profile>, visibility: &Visibility) -> Self {
        let view =
            |audience| visibility.view(&profile, audience).map(|view| Arc::new(EncodedProfile::new(Arc::new(view))));
        let (friends, everyone) = (view(Audience::Friends), view(Audience::Everyone));
        let own = Arc::new(EncodedProfile::new(profile));
        let friends = friends.unwrap_or_else(|| own.clone());
        // What friends see in full is seen by everyone in full only if nothing is hidden from anyone.
        let everyone = everyone.unwrap_or_else(|| friends.clone());
        Self { own, friends, everyone }
    }

    /// What this audience sees.
    #[must_use]
    pub fn encoded(&self, audience: Audience) -> &Arc<EncodedProfile> {
        match audience {
            Audience::Own => &self.own,
            Audience::Friends => &self.friends,
            Audience::Everyone => &self.everyone,
        }
    }

    /// The whole profile.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        self.own.profile()
    }
}
