//! Follows the other nodes: whether they live, and what their sessions do.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::incoming::receive;
use super::presence::publish;
use super::shared_node::SharedNode;
use crate::hub::SharedRules;
use crate::service::Service;
use crate::store::StoreError;
use crate::store::nodes::{JoiningNode, NodeLook, NodePhase, NodeRow};
use rosterd_engine::model::{Millis, NodeId};

/// How often the own changes are looked for.
const OWN: Duration = Duration::from_millis(25);

/// How long a stop waits for the others to learn of it.
const LAST: Duration = Duration::from_secs(2);

impl Service {
    /// Serves the accounts together with other nodes.
    #[must_use]
    pub fn with_others(self, node: Arc<SharedNode>) -> Self {
        self.follow_rules();
        Self { shared: Some(node), ..self }
    }

    /// Returns what shares the accounts with other nodes, if there are any.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<SharedNode>> {
        self.shared.as_ref()
    }

    /// Joins the other nodes, and reads who is there. Call it before the first login.
    ///
    /// # Errors
    /// Another node has other settings where all must have the same; or the database is away.
    pub async fn join_others(&self) -> Result<(), StoreError> {
        let Some(node) = &self.shared else { return Ok(()) };
        join(self, node).await?;
        let look = node.store.beat(node.id(), node.own_beat(self.applied_revision(), self.node_status())).await?;
        // Whoever is dead is found so again.
        for row in take_look(self, node, look).await {
            node.state.lock().burying.remove(&row.id);
        }
        while read(self, node).await? {}
        Ok(())
    }

    /// Tells the other nodes that this one stops: its accounts count as being there for this long, because their clients are
    /// on their way to others.
    pub async fn begin_to_leave(&self, grace: Duration) {
        let Some(node) = &self.shared else { return };
        node.state.lock().stops = Some(grace);
        let beat = node.store.beat(node.id(), node.own_beat(self.applied_revision(), self.node_status()));
        if !matches!(timeout(LAST, beat).await, Ok(Ok(_))) {
            tracing::warn!("other gateways could not be told that this one stops");
        }
    }

    /// Stores what the last sessions did.
    pub async fn leave_others(&self) {
        let Some(node) = &self.shared else { return };
        if !matches!(timeout(LAST, publish(self, node)).await, Ok(Ok(()))) {
            tracing::warn!("other gateways could not be told of the last sessions that ended");
        }
    }

    /// What all nodes do alike.
    fn shared_rules(&self) -> SharedRules {
        SharedRules { limit: self.settings.sessions, linger: self.settings.linger }
    }
}

async fn join(service: &Service, node: &SharedNode) -> Result<(), StoreError> {
    let joining = JoiningNode {
        name: node.settings.name.clone(),
        version: node.settings.version.clone(),
        rules: node.settings.rules.clone(),
        dead_after: node.settings.dead_after.as_millis() as Millis,
    };
    let mut own = node.own.lock().await;
    let me = node.store.join(joining).await?;
    node.state.lock().me = me;
    // What ended meanwhile nobody knows of under this id.
    let _ = service.hub.take_own_changes(usize::MAX);
    own.begin_again(service.hub.all_own());
    Ok(())
}

/// Says every so often that this node lives, and looks at the others, for ever. Notes once the database has been away for too
/// long.
///
/// # Panics
/// The removal of a dead node has panicked.
pub async fn keep_beat(service: Arc<Service>) {
    let Some(node) = service.shared.clone() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(node.settings.beat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut failing, mut burials) = (false, JoinSet::new());
    loop {
        ticks.tick().await;
        while let Some(ended) = burials.try_join_next() {
            ended.expect("a burial does not panic");
        }
        let beat = node.own_beat(service.applied_revision(), service.node_status());
        match node.store.beat(node.id(), beat).await {
            Ok(look) => {
                failing = false;
                for row in take_look(&service, &node, look).await {
                    // A large one takes a while, and the beat goes on.
                    burials.spawn(bury(service.clone(), node.clone(), row));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "other gateways cannot be reached; it is tried again");
                }
            }
        }
        let away = node.state.lock().contact.elapsed();
        if away >= node.settings.cut_off && !node.over.send_replace(true) {
            let seconds = away.as_secs();
            tracing::error!(seconds, "the database has been away for longer than cluster.cut_off: the gateway ends");
        }
    }
}

/// Takes what a look found, and returns the nodes that are to be removed.
async fn take_look(service: &Service, node: &SharedNode, look: NodeLook) -> Vec<NodeRow> {
    node.clock.set(look.now);
    service.hub.set_time(look.now);
    if !look.is_known {
        tracing::warn!("other gateways have called this one dead: it joins them again");
        if let Err(error) = join(service, node).await {
            tracing::warn!(%error, "it could not join them; it is tried again");
        }
    }
    let LookedAt { over, gone } = look_at(service, node, &look);
    for (id, left_at) in gone {
        forget(service, node, id, left_at).await;
        node.state.lock().forgotten.remove(&id);
    }
    for row in look.others {
        if let NodePhase::Stops { since, .. } = row.phase
            && !node.state.lock().forgotten.contains(&row.id)
        {
            service.hub.node_stops(row.id, since);
        }
    }
    let mut state = node.state.lock();
    over.into_iter().filter(|row| state.burying.insert(row.id)).collect()
}

/// What is to be done after a look.
struct LookedAt {
    /// Nodes that are dead, or have stopped for longer than their grace.
    over: Vec<NodeRow>,
    /// Nodes that others have removed, and when they were last there.
    gone: Vec<(NodeId, Millis)>,
}

fn look_at(service: &Service, node: &SharedNode, look: &NodeLook) -> LookedAt {
    let read = service.hub.elsewhere_read();
    let mut state = node.state.lock();
    state.contact = Instant::now();
    let beats: Vec<_> = look.others.iter().map(|row| (row.id, row.beat)).collect();
    let at = state.begun.elapsed();
    let found = state.observer.look(at, &beats);
    let before = std::mem::replace(&mut state.others, look.others.clone());
    let is_over = |row: &&NodeRow| match row.phase {
        NodePhase::Serves => found.dead.contains(&row.id),
        NodePhase::Stops { since, grace } => look.now >= since.saturating_add(grace),
        NodePhase::Dead => true,
    };
    let over = look.others.iter().filter(is_over).cloned().collect();
    let is_there = |id: &NodeId| look.others.iter().any(|row| row.id == *id);
    // One that joined after this look may have been read already: only one that is missing twice is no more.
    let missing = read.into_iter().map(|(id, _)| id).filter(|id| !is_there(id)).collect();
    let missing_before = std::mem::replace(&mut state.missing, missing);
    let gone = state.missing.iter().filter(|id| found.gone.contains(id) || missing_before.contains(id));
    let last = |id: &NodeId| before.iter().find(|row| row.id == *id).map_or(look.now, |row| row.beat_time);
    let gone = gone.map(|id| (*id, last(id))).collect();
    state.forgotten.retain(is_there);
    LookedAt { over, gone }
}

/// Forgets the sessions of a node that is no more, some at a time.
async fn forget(service: &Service, node: &SharedNode, id: NodeId, left_at: Millis) {
    node.state.lock().forgotten.insert(id);
    let _reading = node.directory.lock().await;
    while service.hub.forget_node(id, left_at, service.shared_rules()) {
        tokio::task::yield_now().await;
    }
}

/// Forgets a node that is dead or has stopped, and removes it from the database.
async fn bury(service: Arc<Service>, node: Arc<SharedNode>, row: NodeRow) {
    if row.phase != NodePhase::Dead {
        tracing::info!(node = row.name, "a gateway is no more");
    }
    forget(&service, &node, row.id, row.beat_time).await;
    match remove(&service, &node, &row).await {
        Ok(true) => {}
        Ok(false) => {
            // Its beat has moved: it lives.
            node.state.lock().forgotten.remove(&row.id);
        }
        // It stays forgotten, and the next look tries again.
        Err(error) => tracing::warn!(%error, "a dead gateway could not be removed; it is tried again"),
    }
    node.state.lock().burying.remove(&row.id);
}

/// Removes a node from the database; false if it lives.
async fn remove(service: &Service, node: &SharedNode, row: &NodeRow) -> Result<bool, StoreError> {
    if !node.store.call_dead(row.id, row.beat).await? {
        return Ok(false);
    }
    if row.phase == NodePhase::Serves {
        node.metrics.nodes_lost.inc();
    }
    // Who is back within the offline grace never went, for those either who follow what the store says.
    tokio::time::sleep(service.settings.linger).await;
    node.store.bury(row.id).await?;
    Ok(true)
}

/// Reads what the sessions on other nodes did; true if there may be more.
async fn read(service: &Service, node: &SharedNode) -> Result<bool, StoreError> {
    let _reading = node.directory.lock().await;
    let forgotten = node.state.lock().forgotten.clone();
    let known = service.hub.elsewhere_read().into_iter().filter(|(id, _)| !forgotten.contains(id));
    let known = known.chain(forgotten.iter().map(|id| (*id, u64::MAX))).collect();
    let pages = node.store.read_sessions(node.id(), known).await?;
    let mut any = false;
    for page in pages {
        // It is being forgotten since this was read.
        if node.state.lock().forgotten.contains(&page.node) {
            continue;
        }
        any = true;
        if let NodePhase::Stops { since, .. } = page.phase {
            service.hub.node_stops(page.node, since);
        }
        for some in page.changes.chunks(64) {
            service.hub.take_elsewhere(page.node, some.to_vec(), service.shared_rules());
            tokio::task::yield_now().await;
        }
    }
    node.state.lock().contact = Instant::now();
    Ok(any)
}

/// Stores what the sessions here do, reads what those of others do, and carries out what other nodes ask, for ever.
pub async fn follow_sessions(service: Arc<Service>) {
    let Some(node) = service.shared.clone() else { return std::future::pending().await };
    let (mut looked, mut failing) = (Instant::now(), false);
    loop {
        let told = timeout(OWN, node.store.told()).await.is_ok();
        let mut done = publish(&service, &node).await;
        if done.is_ok() && (told || looked.elapsed() >= node.settings.poll) {
            looked = Instant::now();
            done = follow(&service, &node).await;
        }
        match done {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "who is on other gateways cannot be followed; it is tried again");
                }
                tokio::time::sleep(node.settings.poll).await;
            }
        }
    }
}

async fn follow(service: &Arc<Service>, node: &Arc<SharedNode>) -> Result<(), StoreError> {
    while read(service, node).await? {}
    receive(service, node).await
}
