//! A database that refuses a gateway: what that says, what callers are told, and that it goes on once the database is mended.

use std::time::Duration;

use hyper::Method;
use rosterd_client::{ClientError, Replica};
use rosterd_postgres_server::{self as postgres_server, ROLE, Server};
use rosterd_protocol::Encoding;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, World, finished};
use crate::tls::Authority;

async fn patch(gateway: &Gateway, nick: &str) -> u16 {
    gateway.call(Method::PATCH, "/v1/users/ann", json!({"nick": nick}).to_string()).await.0
}

/// Waits until a write is done again.
async fn until_written(gateway: &Gateway, nick: &str) {
    let written = async {
        while patch(gateway, nick).await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, written).await.expect("writes go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_a_right_that_is_taken_and_another_password_are_named_and_nothing_is_lost() {
    let access = format!(
        "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all {ROLE} 127.0.0.1/32 scram-sha-256\n"
    );
    let Some(server) = Server::start_with(&[], &[("pg_hba.conf", &access)]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let (world, store) = (World::new(), format!("store.url={}", server.url(ROLE, "x")));
    let gateway = world.start_with(&[&store, "store.write_timeout=2s"]);
    gateway.populate(&["ann"], &[]).await;
    for (breaks, mends, told) in [
        (
            "CREATE FUNCTION rosterd.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON rosterd.users
                 FOR EACH ROW EXECUTE FUNCTION rosterd.full_disk()",
            "DROP TRIGGER full_disk ON rosterd.users",
            "No space left on device (53100",
        ),
        (
            "REVOKE INSERT ON rosterd.feed FROM rosterd",
            "GRANT INSERT ON rosterd.feed TO rosterd",
            "permission denied for table feed (42501",
        ),
        (
            "ALTER ROLE rosterd PASSWORD 'another'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = 'rosterd'",
            "ALTER ROLE rosterd PASSWORD 'secret'",
            "password authentication failed for user \"rosterd\" (28P01",
        ),
    ] {
        let before = gateway.user("ann").await;
        server.sql("x", breaks);
        assert_eq!(patch(&gateway, "not written").await, 503, "{told}");
        world.until_logged(told).await;
        server.sql("x", mends);
        let after = async {
            loop {
                let (status, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
                if status == 200 {
                    return user;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert_eq!(timeout(PATIENCE, after).await.expect("reads go on"), before, "nothing of it was done");
        until_written(&gateway, told).await;
        assert_eq!(gateway.user("ann").await["nick"], told);
    }
    let log = world.log();
    assert_eq!(log.matches("the store can write again").count(), 3, "{log}");
    assert!(!log.contains("secret"), "{log}");
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_database_that_cannot_be_read_and_then_lacks_nothing() {
    let Some(server) = postgres_server::shared() else { return };
    let made = server.database();
    let database = &made.name;
    let (world, store) = (World::new(), format!("store.url={}", server.url(ROLE, database)));
    let gateway = world.start_with(&[&store]);
    gateway.populate(&["ann", "bob"], &[]).await;
    let mut ann = gateway.login("ann", Encoding::Json).await;
    // Who writes has a connection, and nobody else gets one.
    server.sql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"));
    server.sql(
        "postgres",
        &format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = '{database}' AND application_name = 'rosterd reader'"
        ),
    );
    gateway.put("/v1/users/ann/friends/bob", json!({})).await;
    world.until_logged("the store cannot read").await;
    let refused = gateway.try_resume("bob", Encoding::Json, Replica::default()).await;
    match refused {
        Err(ClientError::Refused(error)) => assert_eq!(error.code, 503, "{error:?}"),
        other => panic!("{:?}", other.map(|peer| peer.reply)),
    }
    server.sql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"));
    ann.until(|replica| replica.friends().contains_key("bob") && replica.users().contains_key("bob")).await;
    ann.agrees(&gateway, Encoding::Json).await;
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_has_ended_is_refused_with_that_word() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = params.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    let files = [("server.crt", certificate.as_str()), ("server.key", key.as_str())];
    let Some(server) = Server::start_with(&["ssl = on"], &files) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let world = World::new();
    let list = world.path().join("authorities.pem");
    std::fs::write(&list, &certificate).unwrap();
    let store = format!("store.url={}?sslmode=require", server.url(ROLE, "x"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rosterd"));
    command.env("SSL_CERT_FILE", &list).args(["serve", "--set", &store, "--config"]).arg(world.config());
    let output = finished(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("certificate expired"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_under_a_gateway_is_named_and_a_renewed_one_needs_no_restart() {
    let authority = Authority::new();
    let access = format!(
        "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhostssl all {ROLE} 127.0.0.1/32 scram-sha-256\n"
    );
    let (certificate, key) = authority.server();
    let files = [("server.crt", &*certificate), ("server.key", &*key), ("pg_hba.conf", &*access)];
    let Some(server) = Server::start_with(&["ssl = on"], &files) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let world = World::new();
    let list = world.path().join("authorities.pem");
    std::fs::write(&list, &authority.pem).unwrap();
    let world = World { through: Some(format!("SSL_CERT_FILE='{}' exec \"$@\"", list.display())), ..world };
    let store = format!("store.url={}?sslmode=require", server.url(ROLE, "x"));
    let gateway = world.start_with(&[&store, "store.write_timeout=1s"]);
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut bob = gateway.login("bob", Encoding::Json).await;
    // The server takes another certificate over, and has everybody come again, with the next connection or one soon after.
    let data = server.socket().unwrap().0.join("data");
    let show = |(certificate, key): (String, String)| {
        std::fs::write(data.join("server.crt"), certificate).unwrap();
        std::fs::write(data.join("server.key"), key).unwrap();
        server.sql("postgres", "SELECT pg_reload_conf()");
    };
    let end_sessions = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'rosterd'";
    show(authority.former_server());
    let named = async {
        while !world.log().contains("certificate expired") {
            server.sql("postgres", end_sessions);
            patch(&gateway, "perhaps").await;
        }
    };
    timeout(PATIENCE, named).await.expect("it is named");
    server.sql("postgres", end_sessions);
    assert_eq!(patch(&gateway, "not written").await, 503);
    assert_eq!(server.sql("postgres", end_sessions), "0", "nobody is let in");
    show(authority.server());
    until_written(&gateway, "written").await;
    bob.until(|replica| replica.users()["ann"].nick == "written").await;
    world.until_logged("the store can write again").await;
    assert!(!world.log().contains("secret"), "{}", world.log());
    assert_eq!(gateway.terminate().await, Some(0));
}
