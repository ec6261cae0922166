//! Rules about who sees what that change under clients: what they hold in the end is what they would get anew.

use proptest::prelude::*;

use super::*;
use crate::model::{FieldWriter, OwnChanges, OwnField, OwnKind, OwnValue};

/// Who sees `tel`, and who sees the own field `level`, if there is one.
type Audiences = (Audience, Option<Audience>);

fn rules((tel, level): Audiences) -> Visibility {
    let field = |audience| OwnField { kind: OwnKind::Boolean, default: None, audience, writer: FieldWriter::Backend };
    let own = level.map(|audience| ("level".into(), field(audience))).into_iter().collect();
    Visibility { tel, own: std::sync::Arc::new(own), ..Visibility::default() }
}

/// What happens, in any order.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Tel(bool),
    Level(Option<bool>),
    /// A client that holds nothing logs in.
    Login(usize),
    Rules(Audiences),
    /// The change of the rules goes on by a step.
    Step,
    /// The process ends, and the next one begins, perhaps with other settings.
    Restart(Option<Audiences>),
}

fn happening() -> impl Strategy<Value = Happening> {
    let audience = || prop::sample::select(Audience::ALL.to_vec());
    let audiences = || (audience(), prop::option::of(audience()));
    prop_oneof![
        any::<bool>().prop_map(Happening::Tel),
        any::<Option<bool>>().prop_map(Happening::Level),
        (0..6usize).prop_map(Happening::Login),
        audiences().prop_map(Happening::Rules),
        Just(Happening::Step),
        Just(Happening::Step),
        prop::option::of(audiences()).prop_map(Happening::Restart),
    ]
}

/// What a client holds of the profile: its version, and what it shows.
type Held = Option<(u64, Profile)>;

struct Changing {
    profile: Profile,
    /// What decisions go by, what is shown, what the store keeps, and what the settings say.
    decided: Visibility,
    shown: Visibility,
    kept: String,
    wanted: Audiences,
    revision: u64,
    /// Two clients of each audience, all of them connected.
    clients: [Held; 6],
}

impl Changing {
    fn new() -> Self {
        let wanted = (Audience::Everyone, Some(Audience::Everyone));
        let profile = Profile::new(account("a"), 1, 0);
        let rules = rules(wanted);
        let kept = rules.to_text("");
        let clients = Default::default();
        Self { profile, decided: rules.clone(), shown: rules, kept, wanted, revision: 1, clients }
    }

    fn view(&self, at: usize) -> (u64, Profile) {
        let audience = Audience::ALL[at / 2];
        let shown = self.shown.view(&self.profile, audience).unwrap_or_else(|| self.profile.clone());
        let nothing = Profile::new(account("a"), 0, 0);
        (self.profile.last_change(audience).version, Profile { tel: shown.tel, own: shown.own, ..nothing })
    }

    /// Carries a command out, and sends what changed to the clients that see it.
    fn run(&mut self, command: &Command) {
        let users = vec![std::sync::Arc::new(self.profile.clone())];
        let current = CurrentRows { users, ..CurrentRows::default() };
        let decision = decide(&current, command, self.revision + 1, 0, &self.decided).unwrap();
        let Some(Row::Profile(next)) = decision.rows.first() else { return };
        self.revision += 1;
        self.profile = Profile::clone(next);
        for at in 0..self.clients.len() {
            let (version, view) = self.view(at);
            let is_news = self.clients[at].as_ref().is_some_and(|(held, _)| version > *held);
            if is_news && version == self.revision {
                self.clients[at] = Some((version, view));
            }
        }
    }

    fn write(&mut self, patch: Fields) {
        let patch = patch.check().unwrap();
        self.run(&Command::SetProfile { account: account("a"), patch, create: false, if_version: None });
    }

    fn put(&mut self, rules: Visibility) {
        self.kept = rules.to_text(&self.kept);
        self.decided = rules;
    }

    /// Goes on with the change of the rules; the order is that of the service.
    fn step(&mut self) {
        let is_shown = self.shown.fields() == self.decided.fields() && self.shown.own == self.decided.own;
        match self.decided.change.clone() {
            _ if !is_shown => self.shown = self.decided.clone(),
            None => {}
            Some(change) if change.since.is_none() => {
                let next = self.decided.shown_since(self.revision);
                self.put(next);
            }
            Some(_) => {
                self.run(&Command::MoveViews { account: account("a"), purges: None });
                let settled = Visibility { change: None, ..self.decided.clone() };
                self.put(settled);
            }
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Tel(set) => {
                self.write(Fields { tel: Some(if set { "5".to_owned() } else { String::new() }), ..Fields::default() });
            }
            Happening::Level(value) if self.decided.own.audience("level").is_some() => {
                let set = [("level".into(), value.map(OwnValue::Boolean))].into();
                self.write(Fields { own: OwnChanges { set, clears_others: false }, ..Fields::default() });
            }
            Happening::Level(_) => {}
            Happening::Login(at) => self.clients[at] = Some(self.view(at)),
            Happening::Rules(wanted) => {
                // One change begins when what was decided before is shown.
                let is_shown = self.shown.fields() == self.decided.fields() && self.shown.own == self.decided.own;
                if is_shown && wanted != self.wanted {
                    self.wanted = wanted;
                    let next = rules(wanted).after(&self.decided);
                    self.put(next);
                }
            }
            Happening::Step => self.step(),
            Happening::Restart(wanted) => {
                self.wanted = wanted.unwrap_or(self.wanted);
                self.shown = rules(self.wanted);
                self.decided = rules(self.wanted).opening(&self.kept, self.revision).unwrap();
                self.kept = self.decided.to_text(&self.kept);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_client_holds_in_the_end_what_it_may_see(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut it = Changing::new();
        for happening in happenings {
            it.happens(happening);
        }
        for _ in 0..4 {
            it.step();
        }
        prop_assert!(it.decided.change.is_none());
        for at in 0..it.clients.len() {
            if let Some(held) = &it.clients[at] {
                prop_assert_eq!(held, &it.view(at), "client {}", at);
            }
        }
        // Once it is over, what is hidden moves nothing.
        let before = it.clients.clone();
        let hidden = it.decided.tel == Audience::Own;
        it.happens(Happening::Tel(it.profile.tel.is_empty()));
        if hidden {
            prop_assert_eq!(&before[..4], &it.clients[..4]);
        }
    }
}
