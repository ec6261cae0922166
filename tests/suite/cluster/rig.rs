//! Some gateways on one database.

use rosterd_postgres_server::{self as postgres_server, Database, ROLE, Server};

use crate::support::{Gateway, World};

/// What every gateway of a test has: time enough for a busy machine, and not more.
pub const SETTINGS: [&str; 4] =
    ["cluster.enabled=true", "cluster.beat=300ms", "cluster.dead_after=3s", "shutdown.away=0s"];

/// Gateways that share a database.
pub struct Cluster {
    pub gateways: Vec<Gateway>,
    worlds: Vec<World>,
    server: &'static Server,
    database: Database,
    settings: Vec<String>,
    /// More lines of the settings.
    file: String,
    /// A command that gateways are started through from now on.
    pub through: Option<String>,
}

impl Cluster {
    /// Starts so many gateways on a new database; `None` where there is no server.
    pub fn start(gateways: usize, settings: &[&str]) -> Option<Self> {
        Self::start_with(gateways, settings, "")
    }

    /// The same with more lines of the settings.
    pub fn start_with(gateways: usize, settings: &[&str], file: &str) -> Option<Self> {
        let server = postgres_server::shared()?;
        let database = server.database();
        let settings = SETTINGS.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
        let (worlds, file, through) = (Vec::new(), file.to_owned(), None);
        let mut cluster = Self { gateways: Vec::new(), worlds, server, database, settings, file, through };
        for _ in 0..gateways {
            cluster.add();
        }
        Some(cluster)
    }

    /// `store.url` of the database.
    pub fn store(&self) -> String {
        format!("store.url={}", self.server.url(ROLE, &self.database.name))
    }

    /// Starts one more gateway.
    pub fn add(&mut self) {
        self.add_with(&[]);
    }

    /// Starts one more gateway, with more settings than the others.
    pub fn add_with(&mut self, settings: &[&str]) {
        let world = World { through: self.through.clone(), ..World::with(&self.file) };
        self.gateways.push(self.start_at(&world, &self.store(), settings));
        self.worlds.push(world);
    }

    /// Starts one more gateway, which reaches the database at another address.
    pub fn add_behind(&mut self, address: &str) {
        let world = World::with(&self.file);
        let store = self.store().replace(&self.server.address(), address);
        self.gateways.push(self.start_at(&world, &store, &[]));
        self.worlds.push(world);
    }

    /// Where the database listens.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Starts a gateway again that has ended.
    pub fn restart(&mut self, at: usize) {
        let gateway = self.start_at(&self.worlds[at], &self.store(), &[]);
        self.gateways.insert(at, gateway);
    }

    fn start_at(&self, world: &World, store: &str, more: &[&str]) -> Gateway {
        let settings = std::iter::once(store).chain(self.settings.iter().map(String::as_str));
        world.start_with(&settings.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// Gives one of the gateways other lines of settings, for when it reads them again.
    pub fn settings_of(&mut self, at: usize, file: &str) {
        file.clone_into(&mut self.worlds[at].settings);
        self.worlds[at].config();
    }

    /// The world of one of the gateways.
    pub fn world(&self, at: usize) -> &World {
        &self.worlds[at]
    }

    /// Runs one more gateway, which is to refuse to start; what it says.
    pub fn refused(&self, settings: &[&str]) -> String {
        let (world, store) = (World::new(), self.store());
        let mut arguments = vec!["serve"];
        for setting in std::iter::once(&store).chain(&self.settings).map(String::as_str).chain(settings.iter().copied())
        {
            arguments.extend(["--set", setting]);
        }
        world.run_badly(&arguments)
    }

    /// A query of the database; the result as text.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database.name, sql)
    }

    /// Ends all gateways, one after the other; their exit codes.
    pub async fn terminate(&mut self) -> Vec<Option<i32>> {
        let mut codes = Vec::new();
        for gateway in self.gateways.drain(..) {
            codes.push(gateway.terminate().await);
        }
        codes
    }
}

/// Waits until a gateway has so many sessions.
pub async fn until_sessions(gateway: &Gateway, sessions: u32) {
    gateway.until_metric("rosterd_sessions", "", |found| found == f64::from(sessions)).await;
}
