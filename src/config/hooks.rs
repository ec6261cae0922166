//! `[hooks.profile]`, `[hooks.friend]` and `[hooks.status]`: the servers that are asked before a client's write.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::called_server::{CalledServer, Wrong};
use super::choice::{self, HookFailure};
use super::form::{self, Secret};
use crate::outbound::{OutboundSettings, SigningSecrets};
use rosterd_engine::model::Profile;
use rosterd_protocol::{EventFields, nearest};

/// The least and the most that a decision may take.
const TIMEOUT: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// The most calls at the same time, and the most that wait.
const CALLS: [usize; 2] = [1024, 65_536];

/// `[hooks]`: the servers that are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HooksConfig {
    /// Before a client changes its profile.
    pub profile: HookConfig,
    /// Before a client asks for a friendship, or adds a friend.
    pub friend: HookConfig,
    /// Before a client sets its status.
    pub status: HookConfig,
}

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookConfig {
    /// `https://HOST/PATH`, or `http` to this machine; empty = nobody is asked.
    pub url: String,
    /// What requests are signed with: `whsec_` and base64.
    pub secret: Secret,
    /// The secret before, with which requests are signed as well until `previous_until`.
    pub previous_secret: Secret,
    /// The end of `previous_secret`.
    #[serde(with = "form::moment")]
    pub previous_until: Option<SystemTime>,
    /// How long a decision may take, from the command to the last byte of the answer, 50 ms to 5 s.
    #[serde(with = "form::duration")]
    pub timeout: Duration,
    /// What happens to a write about which there is no decision.
    #[serde(with = "choice")]
    pub on_failure: HookFailure,
    /// The most calls at the same time, 1 to 1024.
    #[serde(with = "form::count")]
    pub in_flight: usize,
    /// The most calls that wait for one of them to end, up to 65,536.
    #[serde(with = "form::count")]
    pub waiting: usize,
    /// The fields that the hook is shown.
    pub fields: Vec<String>,
    /// The fields of a profile whose change is asked about; none = any.
    pub profile_fields: Vec<String>,
    /// A PEM file with the authorities that are trusted; empty = those of this machine.
    pub ca: PathBuf,
    /// A PEM file with the gateway's certificate; empty = none.
    pub client_certificate: PathBuf,
    /// A PEM file with its key.
    pub client_key: PathBuf,
    /// The networks that the hook's address must be in; none = any.
    pub networks: Vec<String>,
}

impl Default for HookConfig {
    fn default() -> Self {
        let fields = ["nick", "avatar", "sign", "gender", "custom", "message"];
        Self {
            url: String::new(),
            secret: Secret::default(),
            previous_secret: Secret::default(),
            previous_until: None,
            timeout: Duration::from_secs(1),
            on_failure: HookFailure::Undecided,
            in_flight: 64,
            waiting: 256,
            fields: fields.map(str::to_owned).to_vec(),
            profile_fields: Vec::new(),
            ca: PathBuf::new(),
            client_certificate: PathBuf::new(),
            client_key: PathBuf::new(),
            networks: Vec::new(),
        }
    }
}

impl HookConfig {
    /// Whether there is a server to ask.
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }

    fn server(&self) -> CalledServer<'_> {
        CalledServer {
            url: &self.url,
            plain: false,
            networks: &self.networks,
            ca: &self.ca,
            client_certificate: &self.client_certificate,
            client_key: &self.client_key,
            timeout: self.timeout,
            connections: self.in_flight,
            secret: &self.secret,
            previous_secret: &self.previous_secret,
            previous_until: self.previous_until,
        }
    }

    /// Returns how the hook is called.
    ///
    /// # Errors
    /// The first key that is wrong, and what would be right.
    pub fn outbound(&self) -> Result<OutboundSettings, Wrong> {
        self.server().outbound()
    }

    /// Returns what requests are signed with.
    ///
    /// # Errors
    /// The first key that is wrong, and what would be right.
    pub fn secrets(&self) -> Result<SigningSecrets, Wrong> {
        self.server().secrets()
    }

    /// Returns the fields that the hook is shown.
    ///
    /// # Errors
    /// One that there is not.
    pub fn fields(&self) -> Result<EventFields, Wrong> {
        EventFields::parse(&self.fields.join(",")).map_err(|error| ("fields", error.message))
    }

    /// Returns the fields of a profile whose change is asked about; none = any.
    ///
    /// # Errors
    /// One that there is not.
    pub fn profile_fields(&self) -> Result<Vec<&'static str>, Wrong> {
        let known = || Profile::FIELDS.into_iter().chain([Profile::OWN]);
        let find = |name: &String| known().find(|known| known == name);
        let found = self.profile_fields.iter().map(|name| find(name).ok_or(name)).collect::<Result<_, _>>();
        found.map_err(|name| {
            let near = nearest(name, known());
            let hint =
                near.map_or_else(|| known().collect::<Vec<_>>().join(", "), |near| format!("did you mean {near}?"));
            ("profile_fields", format!("there is no field \"{name}\" of a profile; {hint}"))
        })
    }

    fn problems(&self) -> Vec<Wrong> {
        let wrong = [self.outbound().err(), self.secrets().err(), self.fields().err(), self.profile_fields().err()];
        let mut wrong: Vec<_> = wrong.into_iter().flatten().collect();
        if self.on_failure == HookFailure::Undecided {
            let why = "is needed where url is set: what happens while the hook does not answer? \
                       \"allow\" lets every write pass, \"deny\" refuses them all";
            wrong.push(("on_failure", why.to_owned()));
        }
        if !(TIMEOUT[0]..=TIMEOUT[1]).contains(&self.timeout) {
            let timeout = humantime::format_duration(self.timeout);
            wrong.push(("timeout", format!("is {timeout}, must be 50ms to 5s")));
        }
        if !(1..=CALLS[0]).contains(&self.in_flight) {
            wrong.push(("in_flight", format!("is {}, must be 1 to {}", self.in_flight, CALLS[0])));
        }
        if self.waiting > CALLS[1] {
            wrong.push(("waiting", format!("is {}, must be 0 to {}", self.waiting, CALLS[1])));
        }
        wrong
    }
}

impl HooksConfig {
    /// Returns the hooks with their names.
    pub fn each(&self) -> [(&'static str, &HookConfig); 3] {
        [("profile", &self.profile), ("friend", &self.friend), ("status", &self.status)]
    }

    /// Finds what is wrong with the hooks that are asked: each key, and what would be right.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut list = Vec::new();
        let mut wrong = |name: &str, (key, message): Wrong| list.push((format!("hooks.{name}.{key}"), message));
        for (name, hook) in self.each().into_iter().filter(|(_, hook)| hook.is_on()) {
            hook.problems().into_iter().for_each(|problem| wrong(name, problem));
        }
        for (name, hook) in self.each().into_iter().filter(|(name, _)| *name != "profile") {
            if !hook.profile_fields.is_empty() {
                wrong(name, ("profile_fields", "is for hooks.profile alone; remove it".to_owned()));
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::time::UNIX_EPOCH;

    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

    fn good() -> HookConfig {
        HookConfig {
            url: "https://moderation.example.com/rosterd".to_owned(),
            secret: Secret::new(SECRET),
            on_failure: HookFailure::Deny,
            ..HookConfig::default()
        }
    }

    fn wrong(hooks: HooksConfig) -> Vec<String> {
        let config = Config { hooks, ..Config::default() };
        let found = config.check().err().map_or_else(String::new, |error| error.to_string());
        found.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        type Break = fn(&mut HookConfig);
        let none = [""; 0];
        assert_eq!(wrong(HooksConfig::default()), none);
        assert_eq!(
            wrong(HooksConfig { profile: good(), friend: good(), status: good() }),
            none,
            "one server may be both"
        );
        let cases: [(Break, &str); 18] = [
            (|h| h.on_failure = HookFailure::Undecided, "hooks.profile.on_failure: is needed where url is set"),
            (|h| h.url = "http://moderation.example.com/".into(), "hooks.profile.url: needs TLS"),
            (|h| h.url = "https://u:p@moderation.example.com/".into(), "hooks.profile.url: takes no user"),
            (
                |h| h.secret = Secret::new("hunter2hunter2hunter2hunter2"),
                "hooks.profile.secret: must begin with whsec_",
            ),
            (|h| h.secret = Secret::default(), "hooks.profile.secret: must begin with whsec_"),
            (|h| h.previous_secret = Secret::new(SECRET), "hooks.profile.previous_until: is needed"),
            (|h| h.previous_until = Some(UNIX_EPOCH), "hooks.profile.previous_until: is set, but"),
            (|h| h.fields = vec!["nik".into()], "did you mean nick?"),
            (|h| h.profile_fields = vec!["nik".into()], "hooks.profile.profile_fields: there is no field \"nik\""),
            (
                |h| h.profile_fields = vec!["message".into()],
                "hooks.profile.profile_fields: there is no field \"message\"",
            ),
            (|h| h.timeout = Duration::from_millis(49), "hooks.profile.timeout: is 49ms, must be 50ms to 5s"),
            (|h| h.timeout = Duration::from_secs(6), "hooks.profile.timeout: is 6s, must be 50ms to 5s"),
            (|h| h.in_flight = 0, "hooks.profile.in_flight: is 0, must be 1 to 1024"),
            (|h| h.in_flight = 1025, "hooks.profile.in_flight: is 1025, must be 1 to 1024"),
            (|h| h.waiting = 65_537, "hooks.profile.waiting: is 65537, must be 0 to 65536"),
            (|h| h.networks = vec!["10.0.0.1".into()], "hooks.profile.networks: \"10.0.0.1\" is not a network"),
            (|h| h.client_key = "key.pem".into(), "hooks.profile.client_certificate: is needed"),
            (|h| h.client_certificate = "cert.pem".into(), "hooks.profile.client_key: is needed"),
        ];
        for (change, message) in cases {
            let mut profile = good();
            change(&mut profile);
            let found = wrong(HooksConfig { profile: profile.clone(), ..HooksConfig::default() });
            assert!(found.len() == 1 && found[0].contains(message), "{message}: {found:?}");
            assert!(!found[0].contains("hunter2"));
            profile.url = String::new();
            assert_eq!(wrong(HooksConfig { profile, ..HooksConfig::default() }), none, "nobody is asked: {message}");
        }
        let other = HookConfig { profile_fields: vec!["nick".into()], ..HookConfig::default() };
        let found = wrong(HooksConfig { friend: other.clone(), status: other, ..HooksConfig::default() });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("hooks.friend.profile_fields: is for hooks.profile"), "{found:?}");
        assert!(found[1].starts_with("hooks.status.profile_fields: is for hooks.profile"), "{found:?}");
    }
}
