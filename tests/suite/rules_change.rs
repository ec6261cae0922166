//! Rules about who sees what that change, at a restart and while sessions live: those who see a difference receive it, and
//! nobody else receives anything.

use futures::future::BoxFuture;
use hyper::Method;
use rosterd_client::Replica;
use rosterd_postgres_server as postgres_server;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, Peer, World, to};

const JSON: Encoding = Encoding::Json;
const FULL: i32 = v1::SyncMode::Full as i32;

/// What a gateway logs when every view is in line.
const DONE: &str = "are in force for all profiles";

/// How the settings change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Restart,
    HangUp,
    /// For two gateways together, by a command.
    Apply,
}

/// A gateway or two, and three clients: `ann`, her friend `bob`, and `eve`, who watches her. `cat`, whom `bob` lists too, has no own
/// fields.
struct Changing {
    world: World,
    /// Overrides of the settings, which name the store.
    store: Vec<String>,
    how: How,
    gateway: Gateway,
    /// Where bob and eve are, if there is another.
    other: Option<(World, Gateway)>,
    ann: Peer,
    bob: Peer,
    eve: Peer,
}

fn field(name: &str, rest: &str) -> String {
    format!("[profile.fields.{name}]\ntype = \"text\"\n{rest}\n")
}

fn set(fields: &Value) -> ClientCommand {
    ClientCommand::UpdateMyInfo(serde_json::from_value(json!({"fields": fields})).unwrap())
}

fn own(user: &v1::User) -> Value {
    serde_json::to_value(&user.fields).unwrap()
}

fn seen(replica: &Replica) -> Value {
    replica.users().get("ann").map_or(Value::Null, own)
}

impl Changing {
    async fn new(how: How, store: Vec<String>, settings: &str) -> Self {
        let world = World::with(settings);
        let gateway = start(&world, &store);
        gateway.populate(&["ann", "bob", "cat", "eve"], &[("ann", "bob"), ("bob", "cat")]).await;
        let other = (how == How::Apply).then(|| {
            let world = World::with(settings);
            let gateway = start(&world, &store);
            (world, gateway)
        });
        let there = other.as_ref().map_or(&gateway, |(_, gateway)| gateway);
        let (ann, bob) = (gateway.login("ann", JSON).await, there.login("bob", Encoding::Protobuf).await);
        let mut eve = there.login("eve", JSON).await;
        eve.watch(&["ann"]).await;
        eve.until(|replica| replica.users().contains_key("ann")).await;
        Self { world, store, how, gateway, other, ann, bob, eve }
    }

    /// Brings other settings into force, and waits until every view is in line, if `moves` says that some may not be.
    fn change(mut self, settings: &str, moves: bool) -> BoxFuture<'_, Self> {
        Box::pin(async move {
            settings.clone_into(&mut self.world.settings);
            let before = self.done();
            let hash = |schema: &Value| schema["hash"].clone();
            let wanted: Value = serde_json::from_str(&self.world.run_well(&["schema"])).unwrap();
            let this = match self.how {
                How::HangUp => {
                    self.world.config();
                    self.gateway.hang_up();
                    self
                }
                How::Restart => self.restarted(moves).await,
                How::Apply => {
                    let mut arguments = vec!["rules", "apply"];
                    self.store.iter().for_each(|setting| arguments.extend(["--set", setting]));
                    let said = self.world.run_well(&arguments);
                    assert!(said.contains("all 2 gateways go by them"), "{said}");
                    // No sooner does it say so.
                    let there = &self.other.as_ref().unwrap().1;
                    for gateway in [&self.gateway, there] {
                        let (_, schema) = gateway.call(Method::GET, "/v1/schema", "").await;
                        assert_eq!(hash(&schema), hash(&wanted));
                    }
                    self
                }
            };
            let before = if this.how == How::Restart { 0 } else { before };
            let begun = tokio::time::Instant::now();
            let in_force = async |this: &Self| {
                let (_, schema) = this.gateway.call(Method::GET, "/v1/schema", "").await;
                hash(&schema) == hash(&wanted) && (!moves || this.done() - before == 1)
            };
            while !in_force(&this).await {
                assert!(begun.elapsed() < PATIENCE, "{}", this.world.log());
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            this
        })
    }

    /// How often all views were in line after a change.
    fn done(&self) -> usize {
        let other = self.other.as_ref().map_or_else(String::new, |(world, _)| world.log());
        (self.world.log() + &other).matches(DONE).count()
    }

    /// Stops the gateway and starts it anew; the clients come back with what they held.
    fn restarted(self, moves: bool) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let Self { world, store, how, gateway, ann, bob, eve, .. } = self;
            let held = [ann, bob, eve].map(|peer| peer.replica);
            assert_eq!(gateway.terminate().await, Some(0));
            let gateway = start(&world, &store);
            if moves {
                // Who comes back before that is sent a view once as it was and once more with its new version.
                world.until_logged(DONE).await;
            }
            let [ann, bob, eve] = held;
            let ann = gateway.resume("ann", JSON, ann).await;
            let bob = gateway.resume("bob", Encoding::Protobuf, bob).await;
            let mut eve = gateway.resume("eve", JSON, eve).await;
            for peer in [&ann, &bob, &eve] {
                assert_ne!(peer.reply.sync, FULL, "{:?}", peer.reply);
            }
            eve.watch(&["ann"]).await;
            eve.until(|replica| replica.users().contains_key("ann")).await;
            Self { world, store, how, gateway, other: None, ann, bob, eve }
        })
    }

    /// Waits until all see this of ann's fields, and looks that fresh clients see it, too.
    async fn see(&mut self, me: Value, bob: Value, eve: Value) {
        self.ann.until(|replica| replica.me().is_some_and(|ann| own(ann) == me)).await;
        self.bob.until(|replica| seen(replica) == bob).await;
        self.eve.until(|replica| seen(replica) == eve).await;
        assert_eq!(seen(&self.gateway.login("bob", JSON).await.replica), bob);
        // What is in a catch-up may come once more, right after it; the answers come later.
        assert_eq!(own(&self.bob.look_up("ann").await), bob);
        assert_eq!(own(&self.eve.look_up("ann").await), eve);
        self.bob.agrees(&self.gateway, JSON).await;
    }

    /// The version of ann that each of the three has.
    fn versions(&self) -> [u64; 3] {
        let of = |peer: &Peer| peer.replica.users()["ann"].version;
        [self.ann.replica.me().unwrap().version, of(&self.bob), of(&self.eve)]
    }
}

fn start(world: &World, store: &[String]) -> Gateway {
    world.start_with(&store.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Every kind of change, on a store.
fn all_changes(how: How, store: Vec<String>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let for_friends = field("pronouns", "visibility = \"friends\"");
        let (tags, diary) = (field("tag", ""), field("diary", "visibility = \"self\""));
        let mut all = Changing::new(how, store, &format!("{for_friends}{tags}{diary}")).await;
        all.ann.request(set(&json!({"pronouns": "they", "tag": "red", "diary": "d"}))).await;
        let mine = json!({"pronouns": "they", "tag": "red", "diary": "d"});
        let (both, tag) = (json!({"pronouns": "they", "tag": "red"}), json!({"tag": "red"}));
        all.see(mine.clone(), both.clone(), tag.clone()).await;

        // A field that everyone sees from now on: that is news to eve alone.
        let [_, of_bob, of_eve] = all.versions();
        let for_all = field("pronouns", "");
        let mut all = all.change(&format!("{for_all}{tags}{diary}"), true).await;
        all.see(mine.clone(), both.clone(), both.clone()).await;
        assert_eq!(all.versions()[1], of_bob, "bob sees what he saw");
        assert!(all.versions()[2] > of_eve);

        // A field that is gone: nobody sees its value, which stays.
        let mut all = all.change(&format!("{for_all}{diary}"), true).await;
        let pronouns = json!({"pronouns": "they"});
        all.see(json!({"pronouns": "they", "diary": "d"}), pronouns.clone(), pronouns.clone()).await;
        assert_eq!(all.gateway.user("ann").await["fields"]["tag"], "red");
        assert_eq!(all.ann.refused(set(&json!({"tag": "blue"}))).await.code, 414);

        // It comes back.
        let mut all = all.change(&format!("{for_all}{tags}{diary}"), true).await;
        all.see(mine.clone(), both.clone(), both.clone()).await;

        // A new one has no values: nobody receives anything, and it can be written.
        let before = all.versions();
        let about = field("about", "");
        // At a reload it may be one that comes back, so all profiles are looked at.
        let looks = all.how == How::HangUp;
        let mut all = all.change(&format!("{for_all}{tags}{diary}{about}"), looks).await;
        all.see(mine.clone(), both.clone(), both.clone()).await;
        assert_eq!(all.versions(), before);
        all.ann.request(set(&json!({"about": "me", "diary": null}))).await;
        let with_about = json!({"pronouns": "they", "tag": "red", "about": "me"});
        all.see(with_about.clone(), with_about.clone(), with_about.clone()).await;

        // Narrower: what is there stays until it is written.
        let before = all.versions();
        let narrow = field("pronouns", "max_length = 2");
        let mut all = all.change(&format!("{narrow}{tags}{diary}{about}"), false).await;
        all.see(with_about.clone(), with_about.clone(), with_about.clone()).await;
        assert_eq!(all.versions(), before);
        all.ann.request(set(&json!({"tag": "blue"}))).await;
        // Before the next change: later it would look to him as if that had come.
        all.bob.until(|replica| seen(replica)["tag"] == "blue").await;
        assert_eq!(all.ann.refused(set(&json!({"pronouns": "she"}))).await.code, 414);

        // Hidden from all but the account: the others lose it.
        let hidden = field("pronouns", "visibility = \"self\"");
        let mut all = all.change(&format!("{hidden}{tags}{diary}{about}"), true).await;
        let rest = json!({"tag": "blue", "about": "me"});
        all.see(json!({"pronouns": "they", "tag": "blue", "about": "me"}), rest.clone(), rest.clone()).await;
        all.ann.request(set(&json!({"pronouns": "it"}))).await;
        all.bob.quiet().await;
        all.eve.quiet().await;
        // Those who saw no difference in cat, who has no fields, have received nothing of it.
        assert_eq!(all.bob.replica.users()["cat"].version, all.gateway.user("cat").await["version"].as_u64().unwrap());
        // A field of every profile changes in the same way.
        let tel = "[profile.visibility]\ntel = \"self\"\n";
        all.gateway.patch("/v1/users/ann", json!({"tel": "5"})).await;
        all.bob.until(|replica| replica.users()["ann"].tel == "5").await;
        let mut all = all.change(&format!("{hidden}{tags}{diary}{about}{tel}"), true).await;
        all.bob.until(|replica| replica.users()["ann"].tel.is_empty()).await;
        all.eve.until(|replica| replica.users()["ann"].tel.is_empty()).await;
        assert_eq!(all.gateway.terminate().await, Some(0));
    })
}

#[tokio::test]
async fn clients_receive_the_difference_at_a_restart_and_nothing_else() {
    all_changes(How::Restart, Vec::new()).await;
}

#[tokio::test]
async fn clients_that_are_connected_receive_the_difference_and_nothing_else() {
    all_changes(How::HangUp, Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_on_postgresql() {
    for how in [How::Restart, How::HangUp] {
        let Some(server) = postgres_server::shared() else { return };
        let database = server.database();
        all_changes(how, vec![format!("store.url={}", server.url(postgres_server::ROLE, &database.name))]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_on_two_gateways() {
    let Some(server) = postgres_server::shared() else { return };
    let database = server.database();
    let store = format!("store.url={}", server.url(postgres_server::ROLE, &database.name));
    let settings = ["cluster.enabled=true", "cluster.beat=300ms"].map(str::to_owned);
    all_changes(How::Apply, [vec![store], settings.into()].concat()).await;
}

#[tokio::test]
async fn one_who_is_blocked_sees_a_change_of_the_rules_as_all_others_do() {
    for how in [How::Restart, How::HangUp] {
        let (pronouns, tags) = (field("pronouns", "visibility = \"friends\""), field("tag", ""));
        let mut all = Changing::new(how, Vec::new(), &format!("{pronouns}{tags}")).await;
        all.ann.request(set(&json!({"pronouns": "they", "tag": "red"}))).await;
        let (both, tag) = (json!({"pronouns": "they", "tag": "red"}), json!({"tag": "red"}));
        all.see(both.clone(), both.clone(), tag.clone()).await;
        all.ann.request(to::block("bob")).await;
        all.ann.request(to::block("eve")).await;
        all.ann.request(set(&json!({"pronouns": "she", "tag": "blue"}))).await;
        let mine = json!({"pronouns": "she", "tag": "blue"});
        all.see(mine.clone(), both.clone(), tag.clone()).await;
        // A field that is hidden: bob has what he saw, without it.
        let hidden = field("pronouns", "visibility = \"self\"");
        let mut all = all.change(&format!("{hidden}{tags}"), true).await;
        all.see(mine.clone(), tag.clone(), tag.clone()).await;
        // One that is gone.
        let mut all = all.change(&hidden, true).await;
        all.see(json!({"pronouns": "she"}), json!({}), json!({})).await;
        // After the block they see what others see.
        let mut all = all.change(&format!("{pronouns}{tags}"), true).await;
        all.see(mine.clone(), both.clone(), tag.clone()).await;
        all.ann.request(to::unblock("bob")).await;
        all.ann.request(to::unblock("eve")).await;
        all.see(mine.clone(), mine.clone(), json!({"tag": "blue"})).await;
    }
}

/// Whether the store knows of rules before those in force.
fn is_under_way(world: &World) -> bool {
    let file = rusqlite::Connection::open(world.path().join("rosterd.db")).unwrap();
    let text: String = file.query_row("SELECT visibility FROM meta", [], |record| record.get(0)).unwrap();
    text.lines().count() > 1
}

#[tokio::test]
async fn a_change_that_was_cut_off_goes_on_and_one_that_is_taken_back_ends_where_it_began() {
    let (tags, hidden) = (field("tag", ""), field("tag", "visibility = \"self\""));
    let mut all = Changing::new(How::Restart, Vec::new(), &tags).await;
    all.ann.request(set(&json!({"tag": "red"}))).await;
    all.see(json!({"tag": "red"}), json!({"tag": "red"}), json!({"tag": "red"})).await;
    let before = all.versions();
    for (settings, sees) in [(&tags, json!({"tag": "red"})), (&hidden, json!({}))] {
        let Changing { mut world, store, how, gateway, ann, bob, eve, .. } = all;
        let held = [ann, bob, eve].map(|peer| peer.replica);
        assert_eq!(gateway.terminate().await, Some(0));
        // An import opens the store under the rules of the settings, and moves no view.
        hidden.clone_into(&mut world.settings);
        let file = world.path().join("empty.ndjson");
        std::fs::write(&file, "").unwrap();
        world.run_well(&["import", file.to_str().unwrap()]);
        assert!(is_under_way(&world), "the change began, and is not complete");
        settings.clone_into(&mut world.settings);
        let gateway = start(&world, &store);
        world.until_logged(DONE).await;
        assert!(!is_under_way(&world));
        let [ann, bob, eve] = held;
        let ann = gateway.resume("ann", JSON, ann).await;
        let bob = gateway.resume("bob", Encoding::Protobuf, bob).await;
        let mut eve = gateway.resume("eve", JSON, eve).await;
        eve.watch(&["ann"]).await;
        all = Changing { world, store, how, gateway, other: None, ann, bob, eve };
        all.see(json!({"tag": "red"}), sees.clone(), sees.clone()).await;
    }
    assert!(all.versions()[1] > before[1]);
}

#[tokio::test]
async fn what_is_left_of_a_field_goes_when_it_is_purged() {
    let (tags, diary) = (field("tag", ""), field("diary", "visibility = \"self\""));
    let mut all = Changing::new(How::HangUp, Vec::new(), &format!("{tags}{diary}")).await;
    let tag = json!({"tag": "red"});
    all.ann.request(set(&json!({"tag": "red", "diary": "d"}))).await;
    all.see(json!({"tag": "red", "diary": "d"}), tag.clone(), tag).await;
    all.ann.request(to::block("bob")).await;
    let said = all.world.run_badly(&["schema", "purge", "diary"]);
    assert!(said.contains("profile.fields.diary is in the settings"), "{said}");
    let (status, answer) = all.gateway.call(Method::POST, "/v1/schema/diary/purge", "").await;
    assert_eq!((status, &answer["error"]["field"]), (400, &json!("field")), "{answer}");
    let mut all = all.change(&diary, true).await;
    all.see(json!({"diary": "d"}), json!({}), json!({})).await;
    assert_eq!(all.gateway.user("ann").await["fields"]["tag"], "red");
    let (_, part) = all.gateway.call(Method::POST, "/v1/schema/tag/purge", "").await;
    assert_eq!(part, json!({"changed": 2}), "the profile, and the copy that bob sees");
    assert_eq!(all.gateway.user("ann").await["fields"], json!({"diary": "d"}));
    let (_, audit) = all.gateway.call(Method::GET, "/v1/audit?limit=10", "").await;
    assert!(audit.to_string().contains("field.purged"), "{audit}");
    all.bob.quiet().await;
    all.eve.quiet().await;
    // Without a gateway, in the store.
    let world = World { settings: String::new(), ..all.world };
    assert_eq!(all.gateway.terminate().await, Some(0));
    let said = world.run_well(&["schema", "purge", "diary"]);
    assert!(said.contains("diary was removed from 2 profiles"), "{said}");
    let gateway = world.start();
    assert_eq!(gateway.user("ann").await.get("fields"), None);
}
