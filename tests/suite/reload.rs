//! SIGHUP: settings are read again, what can be exchanged is, and a bad file changes nothing.

use rosterd_protocol::Encoding;

use crate::support::{Gateway, World};

/// Hangs up and waits until the gateway has done what comes of it.
pub async fn reload(gateway: &Gateway) {
    let before = gateway.metric("rosterd_config_reloads_total").await;
    gateway.hang_up();
    while gateway.metric("rosterd_config_reloads_total").await == before {}
}

#[tokio::test]
async fn what_changed_is_taken_over_or_said_to_need_a_restart() {
    let mut world = World::with("[log]\nlevel = \"info\"\n");
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    reload(&gateway).await;
    assert!(!world.log().contains("need a restart"), "{}", world.log());

    world.settings = "[log]\nlevel = \"debug\"\n[sessions]\nmax = 3\n".to_owned();
    world.config();
    reload(&gateway).await;
    world.until_logged("live=\"log.level\"").await;
    world.until_logged("keys=\"sessions.max\"").await;
    // The level is in use: this is said at debug.
    assert!(!world.log().contains("an HTTP connection ended"));
    let half = tokio::net::TcpStream::connect(gateway.clients).await.unwrap();
    half.try_write(b"no request\r\n\r\n").unwrap();
    world.until_logged("an HTTP connection ended").await;
    // And nobody has noticed.
    alice.nick("still here").await;
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let mut world = World::with("[log]\nlevel = \"info\"\n");
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    for (settings, why) in [
        ("[log]\nlevel = \"debug\"\n[shutdown]\nrate = 0\n", "shutdown.rate: is 0, must be 1 to 1000000"),
        ("[log]\nlevel = \"debug\"\nlevle = 1\n", "did you mean log.level?"),
        ("[log\n", "this is not TOML"),
        ("[clients.tls]\nkey = \"/nowhere\"\n", "clients.tls.certificate: is needed"),
    ] {
        world.settings = settings.to_owned();
        world.config();
        reload(&gateway).await;
        world.until_logged(why).await;
    }
    std::fs::remove_file(world.path().join("config.toml")).unwrap();
    reload(&gateway).await;
    world.until_logged("cannot be read").await;
    assert!(!world.log().contains("settings are read again"), "{}", world.log());
    alice.nick("still here").await;
    assert_eq!(gateway.terminate().await, Some(0));
}

/// What a stop does is decided when it comes.
#[tokio::test]
async fn a_stop_goes_by_the_newest_settings() {
    let mut world = World::with("[shutdown]\nlame_duck = \"10m\"\n");
    let gateway = world.start();
    world.settings = String::new();
    world.config();
    reload(&gateway).await;
    assert_eq!(gateway.terminate().await, Some(0));
}
