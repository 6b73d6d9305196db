//! Realtime signals for which the program's queue has no room. They are kept in order, and are few: the
//! rest stays in our own queue, and when that is full, the kernel tells the sender (EAGAIN,
//! sigqueue(3)).
//!
//! RLIMIT_SIGPENDING counts the signals that are queued for all processes of a user, and the kernel
//! compares the count with the limit of the process that is to get one more (getrlimit(2)). So what is
//! queued for us takes room from the program, and more has to be taken from our queue until one fits
//! into the program's.

use super::MAX_RETRY_DELAY;
use crate::sys::{SignalInfo, SignalQueueLimit, SignalSet, take_pending_signal};
use core::time::Duration;
use std::collections::VecDeque;

/// How many signals are kept before our own limit is lowered, and how many more after that: other
/// processes of the user may be faster than we are to use the room that each leaves.
const STEP: usize = 16;

#[derive(Default)]
pub(super) struct Backlog {
    /// In the order in which they came.
    signals: VecDeque<SignalInfo>,
    retry_delay: Duration,
    /// Set when there are [`STEP`] signals.
    bounds: Option<Bounds>,
}

#[derive(Clone, Copy)]
struct Bounds {
    capacity: usize,
    /// Our own limit, as it was before.
    own_limit: SignalQueueLimit,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    /// The pause before the signals are sent again.
    pub(super) fn retry_delay(&self) -> Duration {
        self.retry_delay
    }

    /// The signal to send next.
    pub(super) fn first(&self) -> Option<SignalInfo> {
        self.signals.front().copied()
    }

    /// Removes the first signal, which has been sent.
    pub(super) fn remove_first(&mut self) {
        self.signals.pop_front();
    }

    /// Appends a signal that did not fit into the program's queue.
    pub(super) fn push(&mut self, info: SignalInfo) {
        self.signals.push_back(info);
    }

    /// Takes one more signal from our own queue, to make room for the program's. Returns whether there
    /// was one and it may be kept.
    pub(super) fn take_one_more(&mut self, program: i32) -> bool {
        if self.signals.len() >= STEP && self.bounds.is_none() {
            self.bounds = Bounds::new(program);
        }
        // If the limits are unknown, everything may have to be taken.
        let capacity = self.bounds.map_or(usize::MAX, |bounds| bounds.capacity);
        if self.signals.len() < capacity
            && let Some(info) = take_pending_signal(SignalSet::REALTIME)
        {
            self.signals.push_back(info);
            true
        } else {
            false
        }
    }

    /// After an attempt to send: the first further one follows at once, and each other one after twice
    /// the pause. When nothing is left, all is as before.
    pub(super) fn end_attempt(&mut self, is_sent: bool) {
        if self.is_empty() {
            if let Some(Bounds { own_limit, .. }) = self.bounds {
                own_limit.set_own(own_limit.soft());
            }
            // Frees its memory too.
            *self = Self::default();
        } else if is_sent {
            self.retry_delay = Duration::ZERO;
        } else {
            let doubled = self.retry_delay.saturating_mul(2);
            self.retry_delay = doubled.clamp(Duration::from_millis(1), MAX_RETRY_DELAY);
        }
    }
}

impl Bounds {
    /// Lowers our own limit below the program's, so that nobody fills the room that we make by queueing
    /// more for us. If our limit was higher, there may be as many signals to take as the difference.
    fn new(program: i32) -> Option<Self> {
        let own_limit = SignalQueueLimit::of(0)?;
        let (own, program) = (own_limit.soft(), SignalQueueLimit::of(program)?.soft());
        own_limit.set_own(own.min(program).saturating_sub(1));
        let difference = usize::try_from(own.saturating_sub(program)).unwrap_or(usize::MAX);
        Some(Self { capacity: difference.saturating_add(STEP * 2), own_limit })
    }
}
