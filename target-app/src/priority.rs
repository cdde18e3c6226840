//! The app's place in the queue for a core. Whoever measures on the same machine must not wait behind what it measures: its clocks would
//! show that wait as if the app had been slow. So the app steps back, and on a machine of its own that changes nothing.

use rustix::process::{getpriority_process, setpriority_process};

/// What `nice` adds when it is not told how much: beside a process of the usual niceness that is a share of one in ten, and such a process
/// that wakes comes first.
const NICENESS: i32 = 10;

/// To be called before there are threads, which take it over. A fleet's replicas have it from their supervisor.
pub(crate) fn step_back() {
    if getpriority_process(None).is_ok_and(|niceness| niceness < NICENESS) {
        // Where it may not, everything works as it does otherwise.
        let _ = setpriority_process(None, NICENESS);
    }
}
