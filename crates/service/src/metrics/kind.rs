//! The label of most families of metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// One label, whose value is from a small fixed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the label's own name")]
pub struct Kind {
    pub kind: &'static str,
}
