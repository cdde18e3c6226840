//! The app's place in the queue for a core. Whoever measures on the same machine must not wait behind what it measures: its clocks would
//! show that wait as if the app had been slow. So the app can be told to step back; on a machine of its own that changes nothing.

use rustix::process::{getpriority_process, setpriority_process};

/// Raises the niceness, and never lowers it. To be called before there are threads, which take it over; a fleet's replicas have it from
/// their supervisor.
pub(crate) fn step_back(niceness: i32) {
    if getpriority_process(None).is_ok_and(|own| own < niceness) {
        // Where it may not, everything works as it does otherwise.
        let _ = setpriority_process(None, niceness);
    }
}
