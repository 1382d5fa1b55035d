//! What a venue lets through: message limits in fixed windows of its own time.

use crate::command::Kind;

/// At most `max` messages of the kinds counted in each window; windows start at multiples of their length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimit {
    pub window_ns: i64,
    pub max: u32,
    /// Weights of a message by kind; 0: not counted and not limited.
    pub place: u32,
    pub amend: u32,
    pub cancel: u32,
}

impl MessageLimit {
    pub(super) fn is_valid(&self) -> bool {
        self.window_ns > 0
    }

    fn weight(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Place => self.place,
            Kind::Amend => self.amend,
            Kind::Cancel | Kind::CancelAll => self.cancel,
            _ => 0,
        }
    }
}

/// One limit and the window it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    limit: MessageLimit,
    number: i64,
    used: u32,
}

impl Window {
    pub fn new(limit: MessageLimit) -> Self {
        Self { limit, number: i64::MIN, used: 0 }
    }
}

/// Counts a message against every limit and returns whether all let it through. What is refused counts too, as venues
/// count it.
pub(super) fn passes(windows: &mut [Window], kind: Kind, now_ns: i64) -> bool {
    let mut passes = true;
    for window in windows {
        let weight = window.limit.weight(kind);
        let number = now_ns.div_euclid(window.limit.window_ns);
        if number != window.number {
            (window.number, window.used) = (number, 0);
        }
        window.used = window.used.saturating_add(weight);
        passes &= weight == 0 || window.used <= window.limit.max;
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lets_its_maximum_through_and_begins_anew() {
        let limit = MessageLimit { window_ns: 1_000, max: 3, place: 1, amend: 2, cancel: 0 };
        let mut windows = [Window::new(limit)];
        let mut sent = |kind, at| passes(&mut windows, kind, at);
        assert!(sent(Kind::Place, 0) && sent(Kind::Amend, 999));
        assert!(!sent(Kind::Place, 999) && sent(Kind::Cancel, 999));
        assert!(sent(Kind::Place, 1_000));
    }
}
