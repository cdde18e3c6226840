//! `plimsoll agent`: one agent of a run, started by the coordinator, which speaks to it over its standard input. Not for people.

use super::{Process, exit};
use crate::swarm::agent;

pub(super) fn agent(process: &mut Process<'_>) -> u8 {
    let served = (|| {
        let link = rustix::io::dup(rustix::stdio::stdin())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = runtime.block_on(agent::serve(link, process.env));
        // Whatever is left of the run has no one to report to.
        runtime.shutdown_background();
        served
    })();
    match served {
        Ok(()) => exit::OK,
        Err(error) => {
            process
                .complain(&format!("plimsoll agent: {error}; it is started by `plimsoll run`, not by hand"));
            exit::IO
        }
    }
}
