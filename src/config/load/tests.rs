//! What a file, the environment and flags may say, and how each mistake is answered.

mod contract;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{LogFormat, Mode, default_text};

/// Loads a file with this text (none for ""), this environment and these flags. The file shows as "config.toml".
fn load_with(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<LoadedConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    if !text.is_empty() {
        fs::write(&file, text).unwrap();
    }
    let own = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let options = SettingsOptions { file: None, overrides: own(flags) };
    let environment = own(environment).into_iter().map(|(k, v)| (k.into(), v.into()));
    let folder = format!("{}/", folder.path().display());
    load_from(&options, &file, environment).map_err(|error| error.to_string().replace(&folder, ""))
}

fn file(text: &str) -> Result<Config, String> {
    load_with(text, &[], &[]).map(|loaded| loaded.config)
}

fn environment(list: &[(&str, &str)]) -> Result<Config, String> {
    load_with("", list, &[]).map(|loaded| loaded.config)
}

#[test]
fn the_annotated_file_says_the_defaults_and_every_key() {
    assert_eq!(file(default_text()), Ok(Config::default()));
    let written: Table = default_text().parse().unwrap();
    for key in keys().keys() {
        assert!(!value(&written, key).is_table(), "{key} is not in config.toml");
    }
}

/// The example of a named section in the annotated file, without the marks that make it a comment.
fn example_of(table: &NamedTable) -> String {
    let head = format!("# [{}.", table.path);
    let lines = default_text().lines().skip_while(|line| !line.starts_with(&head));
    let lines = lines.map_while(|line| line.strip_prefix("# ")).collect::<Vec<_>>();
    assert!(!lines.is_empty(), "config.toml has no example of [{}.NAME]", table.path);
    lines.join("\n")
}

#[test]
fn the_annotated_file_has_an_example_of_each_named_section_with_every_key() {
    for table in named_tables() {
        let example = example_of(&table);
        let written: Table = example.parse().unwrap();
        let path: Vec<_> = table.path.split('.').collect();
        let sections = path.iter().fold(&Value::Table(written), |section, name| &section[*name]).clone();
        for (name, section) in sections.as_table().unwrap() {
            assert_eq!(check_name(name), Ok(()));
            for key in table.keys.keys() {
                assert!(section.get(key).is_some(), "{key} is not in the example of [{}.NAME]", table.path);
            }
        }
        // It is read as it stands; only its values may be incomplete.
        let layers = load_with(&example, &[], &[]);
        assert!(!layers.err().unwrap_or_default().contains("there is no"), "{example}");
    }
}

#[test]
fn a_named_section_is_read_from_everywhere() {
    let text =
        "[ops.keys.crm]\nscopes = [\"read\"]\nuntil = \"2027-01-01T00:00:00Z\"\n[ops.keys.a_b]\nscopes = [\"feed\"]";
    let hash = "a".repeat(64);
    let variables = [
        ("ROSTERD_OPS__KEYS__CRM__SHA256", &*hash),
        ("ROSTERD_OPS__KEYS__A_B__KEY", "0123456789abcdef"),
        ("ROSTERD_OPS__KEYS__OTHER__SCOPES", "read, write"),
    ];
    let flags = [("ops.keys.other.key", "0123456789abcdeg"), ("ops.keys.crm.scopes", "write")];
    let loaded = load_with(text, &variables, &flags).unwrap();
    let keys = &loaded.config.ops.keys;
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["a_b", "crm", "other"]);
    assert_eq!((&keys["crm"].sha256, keys["crm"].until.is_some()), (&hash, true));
    let scopes = |name: &str| keys[name].scopes.iter().map(crate::keys::Scope::word).collect::<Vec<_>>().join(",");
    assert_eq!([scopes("crm"), scopes("other"), scopes("a_b")], ["write", "read,write", "feed"]);
    assert_eq!(keys["a_b"].key.expose(), "0123456789abcdef");
    let overridden: Vec<_> = loaded.overridden.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(overridden.len(), 5, "{overridden:?}");
    // What changed is named like any other setting, sections that came and went too.
    let text = text.replace("[ops.keys.a_b]", "[ops.keys.b]\nkey = \"0123456789abcdef\"");
    let other = load_with(&text, &[variables[0], variables[2]], &flags).unwrap();
    let changed = ["ops.keys.a_b.key", "ops.keys.a_b.scopes", "ops.keys.b.key", "ops.keys.b.scopes"];
    assert_eq!(loaded.changed(&other), changed);
    assert_eq!(other.changed(&loaded), changed);
}

#[test]
fn a_named_section_that_is_wrong_is_answered_with_what_is_right() {
    for (text, answer) in [
        (
            "[ops.keys.crm]\nsha265 = \"\"",
            "config.toml:2:1: there is no key ops.keys.crm.sha265; did you mean ops.keys.crm.sha256?",
        ),
        ("[ops.keys.CRM]", "config.toml:1:11: ops.keys: \"CRM\" is not a name; write 1 to 32 characters out of"),
        ("[ops.keys.\"a.b\"]", "config.toml:1:11: ops.keys: \"a.b\" is not a name"),
        ("[ops.keys]\ncrm = 5", "config.toml:2:1: ops.keys.crm is a section; write [ops.keys.crm] and its keys below"),
        ("[ops]\nkeys = 5", "config.toml:2:1: ops.keys is a section; write [ops.keys.NAME] and its keys below"),
        ("[[ops.keys]]", "config.toml:1:7: ops.keys is a section; write [ops.keys.NAME] and its keys below"),
        ("[ops.key.crm]\nx = 1", "config.toml:1:6: there is no section \"ops.key\"; did you mean [ops.keys]?"),
        ("[ops.keys.crm]\nscopes = 5", "config.toml:2:10: ops.keys.crm.scopes takes a list of texts in quotes, not"),
        (
            "[ops.keys.crm]\nscopes = [\"raed\"]",
            "config.toml:2:10: ops.keys.crm.scopes: \"raed\" is not a scope; did you mean \"read\"?",
        ),
        (
            "[ops.keys.crm]\nscopes = [\"everything\"]",
            "config.toml:2:10: ops.keys.crm.scopes: \"everything\" is not a scope; the scopes are read",
        ),
        ("[ops.keys.crm]", "config.toml:1:11: ops.keys.crm: has no key; `rosterd key crm` makes one"),
        ("[ops.keys.crm]\nuntil = \"soon\"", "config.toml:2:9: ops.keys.crm.until: \"soon\" is not a moment"),
        ("[ops.keys.crm.more]\nx = 1", "config.toml:1:15: there is no section \"ops.keys.crm.more\""),
    ] {
        let error = file(text).unwrap_err();
        assert!(error.starts_with(answer), "{text}: {error}");
    }
    for (name, meant) in [
        ("ROSTERD_OPS__KEYS__CRM__SHA265", "ROSTERD_OPS__KEYS__CRM__SHA256"),
        ("ROSTERD_OPS__KEYS__CRM_SHA256", "ROSTERD_OPS__KEYS__CRM__SHA256"),
        ("ROSTERD_OPS__KEYS__CRM", "ROSTERD_OPS__KEYS__CRM__KEY"),
    ] {
        let error = environment(&[(name, "hunter2")]).unwrap_err();
        assert!(error.starts_with(name) && error.ends_with(&format!("did you mean {meant}?")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = environment(&[("ROSTERD_OPS__KEYS__2CRM__SHA256", "x")]).unwrap_err();
    assert!(error.contains("\"2crm\" is not a name"), "{error}");
    let error = load_with("", &[], &[("ops.keys.CRM.key", "hunter2")]).unwrap_err();
    assert!(error.contains("\"CRM\" is not a name") && !error.contains("hunter2"), "{error}");
}

/// What a file says of a key.
fn value<'a>(written: &'a Table, key: &str) -> &'a Value {
    let (first, rest) = key.split_once('.').unwrap();
    rest.split('.').fold(&written[first], |section, name| &section[name])
}

#[test]
fn a_list_is_written_as_one_or_in_the_environment_with_commas() {
    let two = ["https://a.example".to_owned(), "https://b.example".to_owned()];
    let written = "[clients]\norigins = [\"https://a.example\", \"https://b.example\"]\n";
    assert_eq!(file(written).unwrap().clients.origins, two);
    for text in ["https://a.example, https://b.example", "[\"https://a.example\", \"https://b.example\"]"] {
        let config = environment(&[("ROSTERD_CLIENTS__ORIGINS", text)]).unwrap();
        assert_eq!(config.clients.origins, two, "{text}");
    }
    assert_eq!(environment(&[("ROSTERD_CLIENTS__ORIGINS", "")]).unwrap().clients.origins, [""; 0]);
    for (bad, why) in [
        (
            "[clients]\norigins = \"https://a.example\"\n",
            "config.toml:2:11: clients.origins takes a list of texts in quotes",
        ),
        ("[clients]\norigins = [\"https://a.example\", 7]\n", "config.toml:2:11: clients.origins: invalid type"),
        ("[clients]\norigins = [\"a.example\"]\n", "config.toml:2:11: clients.origins: \"a.example\" is not an origin"),
        (
            "[clients]\ntrusted_proxies = [\"proxy\"]\n",
            "config.toml:2:19: clients.trusted_proxies: \"proxy\" is not an address",
        ),
    ] {
        let error = file(bad).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let loaded = load_with("", &[("PATH", "/bin"), ("ROSTERD_PORT", "tcp://10.0.0.1:7678")], &[]).unwrap();
    assert_eq!((loaded.config, loaded.file, loaded.overridden), (Config::default(), None, vec![]));
}

#[test]
fn a_named_file_must_exist() {
    let options = SettingsOptions { file: Some("/nowhere/rosterd.toml".into()), overrides: vec![] };
    let error = load_from(&options, Path::new(FILE), []).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/rosterd.toml: cannot be read"), "{error}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let text = "[clients]\nheartbeat = \"2s\"\nstall_timeout = \"2s\"\n[limits]\nlogin_timeout = \"2s\"\n";
    let variables = [("ROSTERD_CLIENTS__HEARTBEAT", "3s"), ("ROSTERD_CLIENTS__STALL_TIMEOUT", "3s")];
    let flags = [("clients.heartbeat", "5s"), ("clients.heartbeat", "4s")];
    let loaded = load_with(text, &variables, &flags).unwrap();
    let (clients, limits) = (&loaded.config.clients, &loaded.config.limits);
    assert_eq!(
        (clients.heartbeat, clients.stall_timeout, limits.login_timeout),
        (Duration::from_secs(4), Duration::from_secs(3), Duration::from_secs(2))
    );
    assert_eq!(loaded.config.shutdown, Config::default().shutdown);
    let overridden: Vec<_> = loaded.overridden.iter().map(|(k, by)| (k.as_str(), by.as_str())).collect();
    assert_eq!(
        overridden,
        [("clients.heartbeat", "the command line"), ("clients.stall_timeout", "ROSTERD_CLIENTS__STALL_TIMEOUT")]
    );
    assert!(loaded.file.is_some());
}

#[test]
fn the_environment_is_read_by_the_type_of_its_key() {
    let digits = "12345678901234567890123456789012";
    let config = environment(&[
        ("ROSTERD_OPS__API_KEY", "1234567890123456"),
        ("ROSTERD_AUTH__MODE", "jwt"),
        ("ROSTERD_AUTH__HS256_SECRET", digits),
        ("ROSTERD_AUTH__CREATE_ACCOUNTS", "true"),
        ("ROSTERD_LIMITS__FRAME_BYTES", " 4096 "),
        ("ROSTERD_LOG__FORMAT", "json"),
        ("ROSTERD_STORE__TOMBSTONE_RETENTION", "1h 30m"),
        ("ROSTERD_FEED__RETENTION", "1h"),
    ])
    .unwrap();
    assert_eq!((config.ops.api_key.expose(), config.auth.hs256_secret.expose()), ("1234567890123456", digits));
    assert_eq!((config.auth.mode, config.log.format), (Mode::Jwt, LogFormat::Json));
    assert!(config.auth.create_accounts);
    assert_eq!((config.limits.frame_bytes, config.store.tombstone_retention), (4096, Duration::from_mins(90)));
}

#[test]
fn a_section_in_a_section_is_read_from_everywhere() {
    use rosterd_engine::model::{Audience, FriendsPolicy};
    let text = "[profile.visibility]\ntel = \"friends\"\nemail = \"self\"\n[friends]\npolicy = \"direct\"";
    let variables = [("ROSTERD_PROFILE__VISIBILITY__EMAIL", "friends"), ("ROSTERD_PROFILE__VISIBILITY__SIGN", "self")];
    let loaded = load_with(text, &variables, &[("profile.visibility.sign", "everyone")]).unwrap();
    let visibility = &loaded.config.profile.visibility;
    assert_eq!(
        (visibility.tel, visibility.email, visibility.sign, visibility.nick),
        (Audience::Friends, Audience::Friends, Audience::Everyone, Audience::Everyone)
    );
    assert_eq!(loaded.config.friends.policy, FriendsPolicy::Direct);
    // The same without a header of its own.
    assert_eq!(file("[profile]\nvisibility = { tel = \"self\" }").unwrap().profile.visibility.tel, Audience::Own);
}

#[test]
fn an_unknown_name_in_the_file_is_answered_with_its_place_and_the_nearest_one() {
    for (text, answer) in [
        (
            "[clients]\n  hartbeat = \"2s\"",
            "config.toml:2:3: there is no key clients.hartbeat; did you mean clients.heartbeat?",
        ),
        ("clients.listn = 1", "config.toml:1:9: there is no key clients.listn; did you mean clients.listen?"),
        ("\n[client]\nlisten = 1", "config.toml:2:2: there is no section \"client\"; did you mean [clients]?"),
        (
            "[clients]\nframe_bytes = 1",
            "config.toml:2:1: there is no key clients.frame_bytes; did you mean limits.frame_bytes?",
        ),
        ("api_key = \"x\"", "config.toml:1:1: there is no section \"api_key\"; did you mean ops.api_key?"),
        (
            "listen = \"x\"",
            "config.toml:1:1: there is no section \"listen\"; did you mean clients.listen or ops.listen?",
        ),
        ("[demo]\nzzz = 1", "config.toml:2:1: there is no key demo.zzz; [demo] has users"),
        (
            "[profile.visibility]\ntell = 1",
            "config.toml:2:1: there is no key profile.visibility.tell; did you mean profile.visibility.tel?",
        ),
        ("[profile]\ntel = 1", "config.toml:2:1: there is no key profile.tel; did you mean profile.visibility.tel?"),
        (
            "[profile.visible]\ntel = 1",
            "config.toml:1:10: there is no section \"profile.visible\"; did you mean [profile.visibility]?",
        ),
        (
            "[profile]\nvisibility = 1",
            "config.toml:2:1: profile.visibility is a section; write [profile.visibility] and its keys below",
        ),
        ("clients = 5", "config.toml:1:1: clients is a section; write [clients] and its keys below"),
        ("[[clients]]\nlisten = 1", "config.toml:1:3: clients is a section; write [clients] and its keys below"),
    ] {
        assert_eq!(file(text), Err(answer.to_owned()), "{text}");
    }
    let error = file("[zzz]\n").unwrap_err();
    assert!(
        error.ends_with(
            "the sections are auth, clients, clients.tls, cluster, demo, feed, friends, hooks.friend, hooks.profile, hooks.status, limits, log, ops, ops.console, ops.keys, ops.tls, \
             presence, profile.fields, profile.visibility, profile.write, sessions, shutdown, store, webhooks"
        ),
        "{error}"
    );
}

#[test]
fn an_unknown_variable_is_answered_with_the_nearest_one() {
    for (name, meant) in [
        ("ROSTERD_CLIENTS__HARTBEAT", "ROSTERD_CLIENTS__HEARTBEAT"),
        ("ROSTERD_CLIENT__HEARTBEAT", "ROSTERD_CLIENTS__HEARTBEAT"),
        ("ROSTERD_OP__API_KEI", "ROSTERD_OPS__API_KEY"),
        ("ROSTERD_ops__api_key", "ROSTERD_OPS__API_KEY"),
        ("ROSTERD_OPS_API_KEY", "ROSTERD_OPS__API_KEY"),
        ("ROSTERD_PROFILE__VISIBILITY__TELL", "ROSTERD_PROFILE__VISIBILITY__TEL"),
        ("ROSTERD_PROFILE__VISIBILITY_TEL", "ROSTERD_PROFILE__VISIBILITY__TEL"),
        ("ROSTERD_VISIBILITY__TEL", "ROSTERD_PROFILE__VISIBILITY__TEL"),
    ] {
        let error = environment(&[(name, "hunter2")]).unwrap_err();
        assert!(error.starts_with(name) && error.ends_with(&format!("did you mean {meant}?")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(environment(&[("ROSTERD_X__Y", "")]).unwrap_err().contains("the sections are auth, clients"));
}

#[test]
fn an_unknown_flag_is_an_error_too() {
    let error = load_with("", &[], &[("clients.hartbeat", "1s")]).unwrap_err();
    assert_eq!(error, "the command line: there is no key clients.hartbeat; did you mean clients.heartbeat?");
}

#[test]
fn a_value_that_is_wrong_is_answered_with_its_key_its_place_and_what_is_right() {
    for (text, answer) in [
        (
            "[clients]\nheartbeat = 25",
            "config.toml:2:13: clients.heartbeat takes a text in quotes, not a value of type integer",
        ),
        (
            "[limits]\nframe_bytes = \"1\"",
            "config.toml:2:15: limits.frame_bytes takes a whole number, not a value of type string",
        ),
        ("[demo]\nusers = 1", "config.toml:2:9: demo.users takes true or false, not a value of type integer"),
        ("[limits]\nframe_bytes = -1", "config.toml:2:15: limits.frame_bytes: -1 is not a number of bytes"),
        (
            "[auth]\nmode = \"jwtt\"",
            "config.toml:2:8: auth.mode: \"jwtt\" is not a mode; write \"development\", \"jwt\" or \"static\"",
        ),
        (
            "[friends]\npolicy = \"none\"",
            "config.toml:2:10: friends.policy: \"none\" is not a policy; write \"request\", \"direct\" or \"both\"",
        ),
        (
            "[sessions]\npolicy = \"two\"",
            "config.toml:2:10: sessions.policy: \"two\" is not a policy; write \"all\", \"one_per_device_type\", \"one_per_device_id\" or \"one\"",
        ),
        ("[sessions]\nmax = 0", "config.toml:2:7: sessions.max: is 0, must be 1 to 1000"),
        ("[sessions]\nmax = -1", "config.toml:2:7: sessions.max: -1 is not a number of things"),
        (
            "[presence]\nenabled = \"on\"",
            "config.toml:2:11: presence.enabled takes true or false, not a value of type string",
        ),
        ("[presence]\nlinger = \"2h\"", "config.toml:2:10: presence.linger: is 2h, must be 0s to 1h"),
        (
            "[profile.visibility]\nnick = \"friends\"\ntel = \"none\"",
            "config.toml:3:7: profile.visibility.tel: \"none\" is nobody; write \"everyone\", \"friends\" or \"self\"",
        ),
        ("[log]\nformat = \"\"", "config.toml:2:10: log.format: \"\" is not a format; write \"text\" or \"json\""),
        ("[clients]\nheartbeat = \"11m\"", "config.toml:2:13: clients.heartbeat: is 11m, must be 1s to 10m"),
    ] {
        assert_eq!(file(text), Err(answer.to_owned()), "{text}");
    }
    for (text, part) in [
        ("[clients]\nheartbeat = \"25\"", "\"25\" is not a duration; write a number and a unit"),
        ("[clients]\nlisten = \"localhost:1\"", "\"localhost:1\" is not an address; write IP:PORT"),
        ("[store]\nurl = \"mysql://a:hunter2@b\"", "config.toml:2:7: store.url: there is no store \"mysql\""),
        ("[store]\nurl = \"postgres://:hunter2@\"", "config.toml:2:7: store.url: "),
        ("[limits]\nframe_bytes = 99999999999999999999999", "limits.frame_bytes"),
    ] {
        let error = file(text).unwrap_err();
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
    }
    for (name, text, answer) in [
        ("ROSTERD_DEMO__USERS", "yes", "ROSTERD_DEMO__USERS: demo.users takes true or false"),
        ("ROSTERD_LIMITS__FRAME_BYTES", "", "ROSTERD_LIMITS__FRAME_BYTES: limits.frame_bytes takes a whole number"),
    ] {
        assert_eq!(environment(&[(name, text)]), Err(answer.to_owned()));
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = "[clients]\nhartbeat = 1\nlisten = \"x\"\nheartbeat = \"x\"\n[log]\nformat = 5\n";
    let error = load_with(text, &[("ROSTERD_DEMO__USERS", "x")], &[("log.levle", "info")]).unwrap_err();
    let places: Vec<_> = error.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "config.toml:2:1",
            "config.toml:6:10",
            "ROSTERD_DEMO__USERS",
            "the command line",
            "config.toml:4:13",
            "config.toml:3:10"
        ]
    );
}

#[test]
fn no_secret_is_shown_by_any_error() {
    for text in [
        "[ops]\napi_key = 12345678",
        "[ops]\napi_key = \"12345678\n",
        "[ops]\napi_key = 12345678-x",
        "[ops]\napi_key \"12345678\"",
        "[ops]\napi_key = [\"12345678\"]",
        "[ops]\napi_key = \"12345678\"",
        "[ops]\napi_key = \"12345678\\q\"",
        "[ops]\napi_key = \"12345678\"\napi_key = \"12345678\"",
        "[auth]\nhs256_secret = \"12345678\"",
        "[ops.keys.crm]\nkey = 12345678",
        "[ops.keys.crm]\nkey = [\"12345678\"]",
        "[auth]\nhs256_secret = 123456789012345678901234567890",
    ] {
        let error = file(text).unwrap_err();
        assert!(error.starts_with("config.toml:") && !error.contains("12345678"), "{error}");
    }
}

#[test]
fn what_is_not_utf_8_is_named_and_not_shown() {
    use std::os::unix::ffi::OsStringExt;
    let bad = || OsString::from_vec(vec![b'x', 0xff]);
    let variables = [(bad(), bad()), (OsString::from("ROSTERD_OPS__API_KEY"), bad())];
    let error = load_from(&SettingsOptions::default(), Path::new("/nowhere/config.toml"), variables).unwrap_err();
    assert_eq!(error.to_string(), "ROSTERD_OPS__API_KEY: ops.api_key: the value is not UTF-8");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\[(clients|ops|x)\\]\n)?(listen|api_key|.{0,5}) ?= ?.{0,20}\n?.{0,10}", value in ".*") {
        let _ = load_with(&text, &[("ROSTERD_LIMITS__FRAME_BYTES", &value)], &[(&text, &value)]);
    }
}

#[test]
fn a_url_is_shown_without_who_calls_and_without_its_query() {
    for (given, shown) in [
        ("https://example.com/in", "https://example.com/in"),
        ("https://user:word@example.com:8443/in?token=word", "https://…@example.com:8443/in?…"),
        ("postgres://user:p%40ss@db/rosterd?sslmode=require", "postgres://…@db/rosterd?…"),
        ("https://a@b@example.com", "https://…@example.com"),
        ("sqlite:data/rosterd.db", "sqlite:data/rosterd.db"),
        ("", ""),
    ] {
        assert_eq!(without_credentials(Value::String(given.to_owned())), Value::String(shown.to_owned()), "{given}");
    }
}
