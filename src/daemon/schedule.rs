//! The time of the next reconciliation, from debounce, rescan and retries. Callers pass the clock in.

use std::time::Duration;

use tokio::time::Instant;

/// The settings for the times of reconciliations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    /// Time without an event after which a change is reconciled.
    pub debounce: Duration,
    /// Longest time from the first event to the reconciliation.
    pub debounce_max: Duration,
    /// Time after which a reconciliation follows the last one without an event.
    pub rescan: Duration,
}

/// The reason for a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The daemon starts.
    Start,
    /// Records an event: the source may have changed.
    Changed,
    /// The time for a rescan has come, events or not.
    Rescan,
    /// The last reconciliation left something open.
    Retry,
    /// A request came.
    Request,
}

/// The longest delay of a retry, whatever its caller wants.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The events so far, and when a reconciliation is due for them.
#[derive(Debug)]
pub(super) struct Schedule {
    timing: Timing,
    pending: Option<Reason>,
    /// The first and the last event since the last reconciliation began.
    events: Option<(Instant, Instant)>,
    last_reconciliation: Instant,
    retry: Option<Instant>,
    attempts: u32,
}

impl Schedule {
    /// A schedule on which the first reconciliation is due at once.
    pub(super) fn new(timing: Timing, now: Instant) -> Self {
        Self {
            timing,
            pending: Some(Reason::Start),
            events: None,
            last_reconciliation: now,
            retry: None,
            attempts: 0,
        }
    }

    pub(super) fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// Records an event: the source may have changed.
    pub(super) fn changed(&mut self, now: Instant) {
        let first = self.events.map_or(now, |(first, _)| first);
        self.events = Some((first, now));
    }

    /// Makes a reconciliation due at once.
    pub(super) fn ask(&mut self) {
        self.pending.get_or_insert(Reason::Request);
    }

    /// Records the begin of a reconciliation, which answers everything so far.
    pub(super) fn begin(&mut self, now: Instant) {
        self.pending = None;
        self.events = None;
        self.retry = None;
        self.last_reconciliation = now;
    }

    /// Records that a reconciliation left something open: a retry follows after `first`, then twice that, up to
    /// `longest`.
    pub(super) fn retry(&mut self, first: Duration, longest: Duration, now: Instant) {
        let factor = 2_u32.saturating_pow(self.attempts);
        let delay = first.saturating_mul(factor).min(longest).min(LONGEST_RETRY);
        self.attempts = self.attempts.saturating_add(1);
        self.retry = Some(now + delay);
    }

    /// Records that a reconciliation left nothing open.
    pub(super) fn settled(&mut self) {
        self.attempts = 0;
    }

    /// The time of the next reconciliation, and its reason.
    pub(super) fn next(&self) -> (Instant, Reason) {
        if let Some(reason) = self.pending {
            return (self.last_reconciliation, reason);
        }
        let changed = self.events.map(|(first, last)| {
            let at = (last + self.timing.debounce).min(first + self.timing.debounce_max);
            (at, Reason::Changed)
        });
        let retry = self.retry.map(|at| (at, Reason::Retry));
        let rescan = (self.last_reconciliation + self.timing.rescan, Reason::Rescan);
        [changed, retry]
            .into_iter()
            .flatten()
            .fold(rescan, |first, other| if other.0 < first.0 { other } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        debounce: Duration::from_millis(100),
        debounce_max: Duration::from_secs(2),
        rescan: Duration::from_secs(60),
    };

    /// A schedule whose first reconciliation began at the instant that comes with it.
    fn begun() -> (Schedule, Instant) {
        let now = Instant::now();
        let mut schedule = Schedule::new(TIMING, now);
        assert_eq!(schedule.next(), (now, Reason::Start));
        schedule.begin(now);
        (schedule, now)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_makes_one_turn_after_quiet_time() {
        let (mut schedule, start) = begun();
        for i in 1..=5 {
            schedule.changed(start + ms(50 * i));
        }
        assert_eq!(schedule.next(), (start + ms(350), Reason::Changed));
    }

    #[test]
    fn a_trickle_cannot_postpone_a_turn_for_ever() {
        let (mut schedule, start) = begun();
        for i in 1..=1000 {
            schedule.changed(start + ms(90 * i));
        }
        assert_eq!(schedule.next(), (start + ms(90 + 2000), Reason::Changed));
    }

    #[test]
    fn what_happens_during_a_turn_is_due_after_it() {
        let (mut schedule, start) = begun();
        schedule.begin(start + ms(10));
        schedule.changed(start + ms(20));
        assert_eq!(schedule.next(), (start + ms(120), Reason::Changed));
        schedule.ask();
        assert_eq!(schedule.next().1, Reason::Request);
        schedule.begin(start + ms(30));
        assert_eq!(schedule.next(), (start + ms(60_030), Reason::Rescan));
    }

    #[test]
    fn attempts_come_less_and_less_often_until_one_settles() {
        let (mut schedule, start) = begun();
        let delay = |schedule: &mut Schedule| {
            schedule.retry(ms(1000), ms(60_000), start);
            schedule.next().0 - start
        };
        let delays: Vec<_> = (0..8).map(|_| delay(&mut schedule)).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60].map(Duration::from_secs));
        schedule.settled();
        assert_eq!(delay(&mut schedule), ms(1000));
        // What changed is looked at earlier.
        schedule.changed(start);
        assert_eq!(schedule.next(), (start + ms(100), Reason::Changed));
    }
}
