//! What the metrics show of this node among the others.

use crate::metrics::{Kind, NodeState};
use crate::service::Service;
use crate::store::nodes::NodePhase;

impl Service {
    /// Sets the gauges, if there are other nodes.
    pub(in crate::service) fn gauge_cluster(&self) {
        let Some(node) = &self.shared else { return };
        let (metrics, applied) = (&self.metrics.cluster, self.applied_revision());
        let leads = self.delivers();
        let state = node.state.lock();
        let others = || state.others.iter().filter(|row| row.phase != NodePhase::Dead);
        let stops = others().filter(|row| row.phase != NodePhase::Serves).count() + usize::from(state.stops.is_some());
        let newest = others().map(|row| row.applied).fold(self.store.head(), u64::max);
        let away = state.contact.elapsed();
        for (state, count) in [("STOPS", stops), ("SERVES", others().count() + 1 - stops)] {
            metrics.nodes.get_or_create(&NodeState { state }).set(count as i64);
        }
        metrics.feed_lag_changes.set(newest.saturating_sub(applied).cast_signed());
        metrics.contact_age.set(away.as_secs_f64());
        metrics.cut_off.set(i64::from(away >= node.settings.unready_after));
        metrics.leads.get_or_create(&Kind { kind: "WEBHOOKS" }).set(i64::from(leads));
    }
}
