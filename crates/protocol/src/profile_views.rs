//! A profile in its three views, each of them encoded at most once.

use std::sync::Arc;

use super::EncodedProfile;
use rosterd_engine::model::{Audience, Profile, Visibility};

/// The encoded views of one profile. Audiences that see the same share one.
#[derive(Debug)]
pub struct ProfileViews {
    whole: Arc<Profile>,
    own: Arc<EncodedProfile>,
    friends: Arc<EncodedProfile>,
    everyone: Arc<EncodedProfile>,
}

impl ProfileViews {
    /// Derives the views of a profile. Nothing is encoded yet.
    #[must_use]
    pub fn new(profile: Arc<Profile>, visibility: &Visibility) -> Self {
        let view =
            |audience| visibility.view(&profile, audience).map(|view| Arc::new(EncodedProfile::new(Arc::new(view))));
        let (own, friends, everyone) = (view(Audience::Own), view(Audience::Friends), view(Audience::Everyone));
        let own = own.unwrap_or_else(|| Arc::new(EncodedProfile::new(profile.clone())));
        let friends = friends.unwrap_or_else(|| own.clone());
        // Friends are a smaller audience: if everyone sees the whole profile, so do friends.
        let everyone = everyone.unwrap_or_else(|| friends.clone());
        Self { whole: profile, own, friends, everyone }
    }

    /// Returns the view of an audience.
    #[must_use]
    pub fn encoded(&self, audience: Audience) -> &Arc<EncodedProfile> {
        match audience {
            Audience::Own => &self.own,
            Audience::Friends => &self.friends,
            Audience::Everyone => &self.everyone,
        }
    }

    /// Returns the whole profile, of which not even the account itself may see everything.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.whole
    }
}
