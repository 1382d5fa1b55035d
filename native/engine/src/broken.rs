//! What makes an event impossible: it contradicts what the kernel knows.

use crate::command::ClientId;
use crate::event::Kind;
use crate::portfolio::Overflow;

/// The event contradicts what is known: the caller stops trading and tells someone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// No such kind of event.
    Kind(u8),
    /// One of our trades, or a command's answer, names an instrument that is not configured.
    Instrument(u32),
    Asset(i64),
    Venue(u32),
    /// A trade of more lots than the order has left.
    Overfilled {
        id: ClientId,
        left: i64,
        found: i64,
    },
    /// A trade without lots or price, or of another side or instrument than its order.
    Fill {
        id: ClientId,
    },
    /// A report that says nothing known.
    Answer {
        id: ClientId,
        found: i64,
    },
    /// A payload that is not what its event says.
    Payload {
        kind: Kind,
        why: &'static str,
    },
    /// An amount does not fit.
    Overflow,
    /// An epoch beyond what client ids carry, or one that does not rise.
    Epoch(i64),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |id: &ClientId| String::from_utf8_lossy(&id.text()).into_owned();
        match self {
            Self::Kind(kind) => write!(f, "{kind} is no kind of event"),
            Self::Instrument(at) => write!(f, "an event of ours names instrument {at}, which is not configured"),
            Self::Asset(at) => write!(f, "an event names asset {at}, which is not configured"),
            Self::Venue(at) => write!(f, "an event names venue {at}, which is not configured"),
            Self::Overfilled { id, left, found } => {
                write!(f, "order {}: a trade of {found} lots exceeds the {left} that are left", text(id))
            }
            Self::Fill { id } => write!(f, "order {}: a trade that cannot be its own", text(id)),
            Self::Answer { id, found } => write!(f, "order {}: a report of {found:#x}, which means nothing", text(id)),
            Self::Payload { kind, why } => write!(f, "{kind:?}: malformed payload: {why}"),
            Self::Overflow => f.write_str("an amount does not fit its integer"),
            Self::Epoch(epoch) => write!(f, "epoch {epoch} does not follow"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<Overflow> for Broken {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}
