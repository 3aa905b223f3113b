//! The effect of a change on a running proxy.

use schemars::JsonSchema;
use serde::Serialize;

use crate::envoy::FileText;
use crate::envoy::artifact::Artifact;
use crate::envoy::xds;
use crate::plan::change::{Action, Change};

/// The effect of a change on the connections of a running proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Impact {
    /// None: Envoy does not read the files that change.
    None,
    /// Only clusters change: connections stay.
    Clusters,
    /// The sampling changes, and nothing else that a running Envoy reads.
    Runtime,
    /// Whole listeners come or go: the connections of the others stay.
    Listeners,
    /// Listeners change: open connections drain.
    Drain,
    /// The bootstrap changes, which Envoy reads only when it starts.
    Restart,
}

impl Impact {
    /// The effect of a change.
    pub(super) fn of(change: &Change) -> Self {
        let differs = |artifact: Artifact| change.before.get(&artifact) != change.after.get(&artifact);
        match change.action {
            Action::Add | Action::Remove => Self::None,
            Action::Change if differs(Artifact::Bootstrap) => Self::Restart,
            Action::Change if differs(Artifact::Lds) && keeps_common_listeners(change) => Self::Listeners,
            Action::Change if differs(Artifact::Lds) => Self::Drain,
            Action::Change if differs(Artifact::Rtds) => Self::Runtime,
            Action::Change if differs(Artifact::Cds) => Self::Clusters,
            Action::Change => Self::None,
        }
    }

    /// The effect in words. Envoy drains for ten minutes unless it is told otherwise (`--drain-time-s`), and then closes
    /// what is still open.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "nothing that a running Envoy reads",
            Self::Clusters => "no connection is touched",
            Self::Runtime => "at once, on open connections too; none is closed",
            Self::Listeners => "connections of the other listeners stay",
            Self::Drain => "new connections only; old ones drain, and are cut after 600 s",
            Self::Restart => "takes effect when Envoy starts again",
        }
    }
}

/// Whether the listeners that are there before and after the change are the same.
fn keeps_common_listeners(change: &Change) -> bool {
    let [before, after] = [&change.before, &change.after].map(|files| files.get(&Artifact::Lds).map(FileText::text));
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    let (Some(before), Some(after)) = (xds::texts(&before), xds::texts(&after)) else {
        return false;
    };
    let stays = |(name, text): (&&str, &&str)| after.get(name).is_none_or(|new| new == text);
    before.iter().all(stays)
}
