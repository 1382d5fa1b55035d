//! What was signed within a window that slides, in slots.

const SLOTS: usize = 32;

/// Sums of the last `window_ns`: never counted too short, too long by at most a thirty-first (and 32 ns).
#[derive(Debug, Clone)]
pub(crate) struct Window {
    slot_ns: i64,
    /// The newest slot's number since 1970.
    newest: i64,
    slots: [(i128, u32); SLOTS],
    sum: i128,
    count: u32,
}

impl Window {
    pub(crate) fn new(window_ns: i64) -> Self {
        // 31 whole slots and the one that fills cover the window wherever it begins.
        let slot_ns = (window_ns / (SLOTS as i64 - 1) + 1).max(1);
        Self { slot_ns, newest: 0, slots: [(0, 0); SLOTS], sum: 0, count: 0 }
    }

    /// Returns value and count of what still counts. A clock that went back leaves the window where it was.
    pub(crate) fn spent(&mut self, now_ns: i64) -> (i128, u32) {
        let now = now_ns.div_euclid(self.slot_ns);
        if now.saturating_sub(self.newest) >= SLOTS as i64 {
            (self.slots, self.sum, self.count) = ([(0, 0); SLOTS], 0, 0);
            self.newest = now;
        }
        while self.newest < now {
            self.newest += 1;
            let slot = &mut self.slots[self.newest.rem_euclid(SLOTS as i64) as usize];
            self.sum -= slot.0;
            self.count -= slot.1;
            *slot = (0, 0);
        }
        (self.sum, self.count)
    }

    /// Counts one more; `spent` was asked at this time.
    pub(crate) fn add(&mut self, value: i128) {
        let slot = &mut self.slots[self.newest.rem_euclid(SLOTS as i64) as usize];
        slot.0 += value;
        slot.1 += 1;
        self.sum += value;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_counts_for_the_whole_window_and_not_much_longer() {
        for window_ns in [1i64, 31, 1_000, 3_600_000_000_000] {
            for began in [1_790_000_000_000_000_000i64, 1_790_000_000_000_000_000 + window_ns / 3] {
                let mut window = Window::new(window_ns);
                assert_eq!(window.spent(began), (0, 0));
                window.add(5);
                assert_eq!(window.spent(began + window_ns - 1), (5, 1));
                assert_eq!(window.spent(began + SLOTS as i64 * window.slot_ns), (0, 0));
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_frees_nothing() {
        let mut window = Window::new(310);
        window.spent(10_000);
        window.add(7);
        assert_eq!(window.spent(5), (7, 1));
        window.add(1);
        assert_eq!(window.spent(10_001), (8, 2));
    }
}
