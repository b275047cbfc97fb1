//! A moment that may be brought forward while somebody watches for it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the start of this process.
pub struct Moment(AtomicU64);

impl Moment {
    /// So many seconds from now; infinity is never.
    pub fn in_seconds(seconds: f64) -> Self {
        Self(AtomicU64::new(nanoseconds(seconds)))
    }

    /// Move it to so many seconds from now.
    pub fn set(&self, seconds: f64) {
        self.0.store(nanoseconds(seconds), Ordering::Relaxed);
    }

    pub fn passed(&self) -> bool {
        since_start() >= self.0.load(Ordering::Relaxed)
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    since_start().saturating_add((seconds.max(0.0) * 1e9) as u64)
}

fn since_start() -> u64 {
    START.elapsed().as_nanos() as u64
}
