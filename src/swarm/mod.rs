//! The swarm: one coordinator and n agents, always. What differs is what lies between them. In one process an agent is a crew of shards,
//! each a thread, and the words go through channels ([`crew`]). Where one process is not enough (descriptors, ports), agents are child
//! processes ([`children`] starts them, [`agent`] is what runs inside), and the same words go as frames over a socket pair ([`frame`],
//! [`protocol`]). An agent derives its share of every schedule from (i, n) alone; nobody is asked in the path of a request.

pub mod agent;
pub mod children;
pub mod crew;
mod frame;
pub mod last_words;
mod protocol;
mod seconds;
mod usage;
