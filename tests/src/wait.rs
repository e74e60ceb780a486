//! Waiting for an event, with a deadline.

use std::time::{Duration, Instant};

/// How long anything on an idle loopback may take on a busy two-core machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer; at the deadline the test fails with `what`.
///
/// # Panics
/// At the deadline.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    wait_longer(what, DEADLINE, &mut ask)
}

/// The same with a deadline of its own.
///
/// # Panics
/// At the deadline.
pub fn wait_longer<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", limit.as_secs());
        // The event has no descriptor that could be waited on (a file of another process).
        std::thread::sleep(Duration::from_millis(20));
    }
}
