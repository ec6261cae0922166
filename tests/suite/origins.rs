//! Which pages may connect, what a URL may not hold, and that settings can be read anew while connections stay.

use rosterd::app::{App, Reloaded};
use rosterd::config::{self, SettingsOptions};

use crate::api::Api;
use crate::auth::{token, with_secret};
use crate::raw::{Raw, upgrade};
use crate::support::{Gateway, World};

/// The status of an upgrade with these headers.
async fn status(gateway: &Gateway, more: &str) -> u16 {
    Raw::try_open(gateway.clients, more).await.err().unwrap_or(101)
}

#[tokio::test]
async fn a_page_from_elsewhere_may_connect_only_if_the_settings_name_it() {
    let world = with_secret();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    for (more, expected) in [
        ("", 101),
        // The gateway's own address, by the request's `Host`.
        ("Origin: http://test\r\n", 101),
        ("Origin: https://TEST\r\n", 101),
        ("Origin: https://app.example.com\r\n", 403),
        ("Origin: http://test.evil.example\r\n", 403),
        ("Origin: http://test:8080\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: \r\n", 403),
        ("Origin: http://\r\n", 403),
        ("Origin: http://test\r\nOrigin: http://evil.example\r\n", 403),
        ("Origin: http://\u{f6}.example\r\n", 403),
        ("Origin: https://app.example.com\r\nSec-WebSocket-Protocol: rosterd.v1.json\r\n", 403),
        ("Sec-WebSocket-Origin: https://app.example.com\r\n", 101),
    ] {
        assert_eq!(status(&gateway, more).await, expected, "{more}");
    }
    gateway.until_metric("rosterd_refused_total", "ORIGIN", |refused| refused == 9.0).await;
    drop(gateway);
    let listed = world.start_with(&["clients.origins=https://app.example.com,https://*.example.org"]);
    for (origin, expected) in [
        ("https://app.example.com", 101),
        ("https://a.b.example.org", 101),
        ("https://example.org", 403),
        ("https://app.example.com.evil.example", 403),
        ("http://app.example.com", 403),
    ] {
        assert_eq!(status(&listed, &format!("Origin: {origin}\r\n")).await, expected, "{origin}");
    }
    drop(listed);
    // In development any page may, a file too, unless there is a list.
    let world = World::new();
    for (overrides, expected) in [(&[][..], 101), (&["clients.origins=https://app.example.com"], 403)] {
        let gateway = world.start_with(overrides);
        for origin in ["http://localhost:3000", "null", "https://evil.example"] {
            assert_eq!(status(&gateway, &format!("Origin: {origin}\r\n")).await, expected, "{origin}");
        }
    }
}

#[tokio::test]
async fn without_a_key_the_server_api_takes_nothing_from_pages() {
    let world = World::new();
    let gateway = world.start_with(&["ops.api_key="]);
    let ask = async |host: &str, more: &str| {
        let body = r#"{"nick":"Mallory"}"#;
        let length = body.len();
        let head = format!("PUT /v1/users/eve HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
        let request = format!("{head}Content-Length: {length}\r\n{more}\r\n{body}");
        let (_, head) = Raw::request(gateway.ops, request.as_bytes()).await;
        head.split(' ').nth(1).unwrap().to_owned()
    };
    for (host, more) in [
        ("127.0.0.1:7679", "Origin: https://evil.example\r\n"),
        ("127.0.0.1:7679", "Origin: null\r\n"),
        // Its own listener serves one page, the console, which marks what it asks for.
        ("127.0.0.1:7679", "Origin: http://127.0.0.1:7679\r\n"),
        ("localhost", "Sec-Fetch-Site: cross-site\r\n"),
        ("localhost", "Sec-Fetch-Site: same-site\r\n"),
        ("evil.example", ""),
        ("evil.example:7679", "Sec-Fetch-Site: same-origin\r\n"),
        ("127.0.0.1.evil.example", ""),
        ("localhost@evil.example", ""),
        ("", ""),
    ] {
        assert_eq!(ask(host, more).await, "403", "{host} {more}");
    }
    assert_eq!(Api(gateway.backend().await).get("/v1/users/eve").await.0, 404);
    for (host, more) in [
        ("127.0.0.1:7679", ""),
        ("LOCALHOST:7679", ""),
        ("[::1]:7679", ""),
        // Typed in by hand, or followed from the same place.
        ("localhost:7679", "Sec-Fetch-Site: none\r\n"),
    ] {
        assert!(["200", "201"].contains(&ask(host, more).await.as_str()), "{host} {more}");
    }
    // A key is what no page has; where one is needed, nothing else is looked at.
    drop(gateway);
    let gateway = world.start_with(&["ops.api_key=0123456789abcdef0123456789abcdef"]);
    let key = "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n";
    let get =
        format!("GET /v1/users/eve HTTP/1.1\r\nHost: rosterd.internal\r\nOrigin: https://admin.example\r\n{key}\r\n");
    let (_, head) = Raw::request(gateway.ops, get.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn a_url_holds_no_token() {
    let world = with_secret();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let ask = async |query: &str| {
        let request = String::from_utf8(upgrade("")).unwrap().replacen("/v1/ws", &format!("/v1/ws?{query}"), 1);
        let (raw, head) = Raw::request(gateway.clients, request.as_bytes()).await;
        (raw, head.split(' ').nth(1).unwrap().to_owned())
    };
    for query in ["token=x", "a=1&access_token=x", "TOKEN=x", "token", "jwt=", "id_token=x&y"] {
        let (mut raw, status) = ask(query).await;
        assert_eq!(status, "400", "{query}");
        assert!(raw.body(40).await.contains("token"));
    }
    gateway.until_metric("rosterd_refused_total", "TOKEN_IN_URL", |refused| refused == 6.0).await;
    // Others are not looked at.
    for query in ["v=2", "tokens=x", "a=token=x"] {
        let (mut raw, status) = ask(query).await;
        assert_eq!(status, "101", "{query}");
        assert!(raw.log_in(&token("ann", 600)).await.login_reply.is_some());
    }
}

#[tokio::test]
async fn keys_origins_and_limits_can_be_read_anew_while_sessions_stay() {
    let world = with_secret();
    let file = world.config();
    let with = |overrides: &[(&str, &str)]| {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let options = SettingsOptions { file: Some(file.clone()), overrides: overrides.iter().map(own).collect() };
        config::load(&options).unwrap()
    };
    let start = with(&[("auth.create_accounts", "true")]);
    let app = App::start(&start.config).await.unwrap();
    let page = "Origin: https://app.example.com\r\n";
    let open = async |more: &str| Raw::try_open(app.clients, more).await;
    // The first login makes the account.
    assert!(open("").await.unwrap().log_in(&token("ann", 600)).await.login_reply.is_some());
    let mut ann = open("").await.unwrap();
    assert!(ann.log_in(&token("ann", 600)).await.login_reply.is_some());
    while ann.server().await.synced.is_none() {}
    assert_eq!(open(page).await.err(), Some(403));

    let new_secret = "fedcba9876543210fedcba9876543210";
    let changed = [
        ("auth.create_accounts", "true"),
        ("auth.hs256_secret", new_secret),
        ("clients.origins", "https://app.example.com"),
        ("limits.commands_per_second", "1"),
        ("limits.commands_burst", "5"),
        ("limits.frame_bytes", "2000"),
    ];
    let reload = |after: &[(&str, &str)]| Reloaded::take_over(&app.parts(), &start, &with(after));
    let reloaded = reload(&changed).unwrap();
    assert_eq!((reloaded.live.len(), reloaded.restart.len()), (5, 0), "{reloaded:?}");
    let mut page = open(page).await.unwrap();
    let error = page.log_in(&token("ann", 600)).await.error.unwrap();
    assert_eq!(error.code, 302, "{error:?}");
    let mut bob = open("").await.unwrap();
    let by_new = crate::auth::signed(new_secret, &crate::auth::claims("bob", 600));
    assert!(bob.log_in(&by_new).await.login_reply.is_some());
    // Who was there is there still, and goes by the new rates.
    let mut refused = 0;
    for _ in 0..8 {
        refused += u32::from(ann.command(crate::support::nick_command("Ann")).await.error.is_some());
    }
    assert!(refused > 0);

    // What cannot be used changes nothing: not the keys although the list is good, nor the other way round.
    std::fs::write(world.path().join("bad.json"), "nonsense").unwrap();
    let bad = world.path().join("bad.json").display().to_string();
    let unusable = [("auth.hs256_secret", ""), ("auth.jwks_file", bad.as_str()), ("clients.origins", "")];
    let error = reload(&unusable).unwrap_err();
    assert!(error.contains("auth.jwks_file"), "{error}");
    assert!(open("Origin: https://app.example.com\r\n").await.is_ok());
    let mut again = open("").await.unwrap();
    assert!(again.log_in(&by_new).await.login_reply.is_some());
    // In another mode other rules hold: that takes a restart.
    let mode = reload(&[("auth.mode", "static"), ("auth.hs256_secret", ""), ("limits.fragments", "7")]).unwrap();
    assert_eq!(mode.live, [""; 0]);
    assert_eq!(app.stop().await, 0);
}
