//! Fan-out from end to end in one process: a gateway on loopback, its store on a real file, and clients that read. The
//! clock stops when every client has every update: nothing is left in any queue.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use hyper::Method;
use rosterd::app::App;
use rosterd::config::{Config, StoreUrl};
use rosterd_client::{Backend, Client, Replica};
use rosterd_protocol::Encoding;
use tokio::runtime::Runtime;

/// A gateway, and clients that are all friends of `star`.
struct Scene {
    _directory: tempfile::TempDir,
    app: App,
    backend: Backend,
    watchers: Vec<Client>,
    times: u64,
}

impl Scene {
    async fn new(watchers: usize, encoding: Encoding) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config::default();
        config.store.url = StoreUrl::Sqlite(directory.path().join("rosterd.db"));
        (config.clients.listen, config.ops.listen) = (([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into());
        config.demo.users = false;
        let app = App::start(&config).await.expect("a gateway");
        let mut backend = Backend::connect(app.ops, "").await.expect("the ops listener");
        let users = (0..watchers)
            .map(|n| format!("{{\"user\":{{\"account\":\"w{n}\"}}}}\n{{\"friendship\":[\"star\",\"w{n}\"]}}\n"));
        let lines = std::iter::once("{\"user\":{\"account\":\"star\"}}\n".to_owned()).chain(users).collect();
        backend.request(Method::POST, "/v1/import", lines).await.expect("an import");
        let url = format!("ws://{}/v1/ws", app.clients);
        let clients = (0..watchers).map(async |n| {
            let mut client = Client::connect(&url, encoding).await.expect("a connection");
            client.login(&format!("w{n}"), &mut Replica::default()).await.expect("a login");
            client
        });
        Self { _directory: directory, app, backend, watchers: join_all(clients).await, times: 0 }
    }

    /// From the request of one update until everyone has it.
    async fn update(&mut self) -> Duration {
        self.times += 1;
        let nick = format!("Nick {}", self.times);
        let begun = Instant::now();
        let path = "/v1/users/star";
        self.backend.request(Method::PATCH, path, format!("{{\"nick\":\"{nick}\"}}")).await.expect("an update");
        join_all(self.watchers.iter_mut().map(async |watcher| {
            loop {
                let frame = watcher.next().await.expect("a frame");
                if frame.changes.is_some_and(|changes| changes.users.iter().any(|user| user.nick == nick)) {
                    return;
                }
            }
        }))
        .await;
        begun.elapsed()
    }
}

fn fanout(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("fan-out");
    group.sample_size(20);
    for (watchers, encoding) in
        [(1, Encoding::Json), (50, Encoding::Json), (50, Encoding::Protobuf), (500, Encoding::Json)]
    {
        let mut scene = runtime.block_on(Scene::new(watchers, encoding));
        group.throughput(Throughput::Elements(watchers as u64));
        group.bench_function(BenchmarkId::new(format!("until all have it, {encoding:?}"), watchers), |b| {
            b.iter_custom(|times| {
                runtime.block_on(async {
                    let mut sum = Duration::ZERO;
                    for _ in 0..times {
                        sum += scene.update().await;
                    }
                    sum
                })
            });
        });
        drop(scene.watchers);
        runtime.block_on(scene.app.stop());
    }
    group.finish();
}

criterion_group!(benches, fanout);
criterion_main!(benches);
