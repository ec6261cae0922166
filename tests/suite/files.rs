//! The store's files: who may read them, what is left in them of an erased account, and which process may use them.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Gateway, PATIENCE, World};

/// Sets the umask under which everybody may read and write what is created.
const OPEN_UMASK: &str = "umask 0; exec \"$@\"";

fn modes(world: &World, names: &[&str]) -> Vec<String> {
    let mode = |name: &&str| std::fs::metadata(world.path().join(name)).map(|data| data.mode() & 0o777);
    names.iter().map(|name| format!("{name} {:o}", mode(name).unwrap_or_default())).collect()
}

/// Runs a subcommand under the open umask.
fn run_open(world: &World, arguments: &[&str]) {
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", OPEN_UMASK, "open", env!("CARGO_BIN_EXE_rosterd")]).args(arguments);
    let output = shell.arg("--config").arg(world.config()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn only_its_owner_reads_any_file_of_a_store_whatever_the_umask() {
    let world = World { through: Some(OPEN_UMASK.to_owned()), ..World::new() };
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let files = ["rosterd.db", "rosterd.db-wal", "rosterd.db-shm", "rosterd.db.lock"];
    assert_eq!(modes(&world, &files), files.map(|name| format!("{name} 600")));
    let copy = world.path().join("copy.db");
    run_open(&world, &["backup", copy.to_str().unwrap()]);
    assert_eq!(gateway.terminate().await, Some(0));
    run_open(&world, &["restore", copy.to_str().unwrap()]);
    let files = ["copy.db", "rosterd.db", "rosterd.db.replaced"];
    assert_eq!(modes(&world, &files), files.map(|name| format!("{name} 600")));
    // The umask was open indeed.
    let mut shell = std::process::Command::new("bash");
    let touch = shell.args(["-c", OPEN_UMASK, "open", "touch"]).arg(world.path().join("touched"));
    assert!(touch.status().unwrap().success());
    assert_eq!(modes(&world, &["touched"]), ["touched 666"]);
}

async fn call(gateway: &Gateway, method: Method, path: &str, body: serde_json::Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    gateway.backend().await.request(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// How often each secret is in a file, which may be missing. No store of this process has the file open.
fn found(file: &Path, secrets: &[&str]) -> Vec<usize> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    secrets.iter().map(|secret| text.matches(secret).count()).collect()
}

#[tokio::test]
async fn of_an_erased_account_no_byte_is_left_in_the_database_its_log_or_a_copy() {
    let world = World::new();
    let gateway = world.start();
    let secrets = ["NickOfEve", "SignOfEve", "MailOfEve", "EveAsksBob", "AliasOfEve", "secret-token-of-eve-1"];
    let friends: Vec<_> = (0..300).map(|n| format!("friend{n:03}")).collect();
    let names: Vec<_> = friends.iter().map(String::as_str).chain(["eve", "bob", "mallory"]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| ("eve", friend.as_str())).collect();
    gateway.populate(&names, &pairs).await;
    let eve = json!({"nick": "NickOfEve", "sign": "SignOfEve", "email": "MailOfEve@example.org"});
    call(&gateway, Method::PATCH, "/v1/users/eve", eve).await;
    call(&gateway, Method::PUT, "/v1/users/eve/requests/bob", json!({"message": "EveAsksBob"})).await;
    call(&gateway, Method::PATCH, "/v1/users/eve/friends/friend007", json!({"alias": "AliasOfEve"})).await;
    // A block keeps the whole profile a second time.
    call(&gateway, Method::PUT, "/v1/users/eve/blocks/mallory", json!(null)).await;
    call(&gateway, Method::PUT, "/v1/users/eve/token", json!({"secret": "secret-token-of-eve-1"})).await;
    let (database, log) = (world.path().join("rosterd.db"), world.path().join("rosterd.db-wal"));
    let before: Vec<_> = found(&database, &secrets).iter().zip(found(&log, &secrets)).map(|(a, b)| a + b).collect();
    assert!(before[..5].iter().all(|count| *count > 0), "they are on the disk: {before:?}");
    assert_eq!(before[5], 0, "a token is never stored");

    call(&gateway, Method::DELETE, "/v1/users/eve", json!(null)).await;
    let copy = world.path().join("copy.db");
    world.run_well(&["backup", copy.to_str().unwrap()]);
    assert_eq!(found(&copy, &secrets), [0; 6], "a copy holds it no longer");
    let begun = Instant::now();
    while found(&database, &secrets) != [0; 6] || found(&log, &secrets) != [0; 6] {
        let left = (found(&database, &secrets), found(&log, &secrets));
        assert!(begun.elapsed() < 3 * PATIENCE, "left in the database and the log: {left:?}");
        // Other writes go on meanwhile, and keep the log in use.
        call(&gateway, Method::PATCH, "/v1/users/bob", json!({"nick": format!("{:?}", begun.elapsed())})).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(found(&database, &["friend007"])[0] > 0, "the others are there");
}

#[tokio::test]
async fn a_store_is_locked_under_whatever_name_it_is_used() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let copy = world.path().join("copy.db");
    world.run_well(&["backup", copy.to_str().unwrap()]);
    let elsewhere = World::new();
    let file = elsewhere.path().join("import.ndjson");
    std::fs::write(&file, r#"{"user": {"account": "eve"}}"#).unwrap();
    let link = elsewhere.path().join("link.db");
    symlink(world.path().join("rosterd.db"), &link).unwrap();
    symlink(world.path(), elsewhere.path().join("folder")).unwrap();
    let through_folder = elsewhere.path().join("folder/rosterd.db");
    let hard = elsewhere.path().join("hard.db");
    let commands = [vec!["serve"], vec!["import", file.to_str().unwrap()], vec!["restore", copy.to_str().unwrap()]];
    let refused = |name: &Path, why: &str| {
        for command in &commands {
            let (url, offline) = (format!("store.url=sqlite:{}", name.display()), "ops.listen=127.0.0.1:1");
            let mut arguments = command.clone();
            arguments.extend(["--set", &url]);
            if command[0] == "import" {
                arguments.extend(["--set", offline]);
            }
            let said = world.run_badly(&arguments);
            assert!(said.contains(why), "{command:?} of {}: {said}", name.display());
        }
    };
    refused(&link, "is used by another rosterd process");
    refused(&through_folder, "is used by another rosterd process");
    std::fs::hard_link(world.path().join("rosterd.db"), &hard).unwrap();
    refused(&hard, "2 names (hard links)");
    // Also without the other process: it may come back under the other name.
    assert_eq!(gateway.terminate().await, Some(0));
    refused(&hard, "2 names (hard links)");
    refused(&link, "2 names (hard links)");
    std::fs::remove_file(&hard).unwrap();
    // Through the link it is the same store, and a restore leaves the link.
    let url = format!("store.url=sqlite:{}", link.display());
    world.run_well(&["restore", copy.to_str().unwrap(), "--set", &url]);
    assert!(link.is_symlink() && world.path().join("rosterd.db.replaced").exists());
    let gateway = world.start_with(&[&url]);
    assert_eq!(gateway.user("ann").await["account"], "ann");
}
