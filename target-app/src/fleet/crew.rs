//! The processes of a fleet that are kept alive at this moment: who is taken on, who is let go, and what became of the others.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::keeper::{Event, Keeper, Launch};
use super::place::{Place, Role};
use super::restarts::FailingProcess;
use super::roll::Roll;
use super::supervisor::FleetError;
use crate::server::ServeError;

/// One process there may be.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) address: SocketAddr,
    pub(super) environment: Vec<(&'static str, String)>,
}

/// What all processes of a fleet have in common.
pub(super) struct Terms {
    pub(super) launch: Launch,
    pub(super) directory: PathBuf,
    pub(super) drain: Duration,
    pub(super) events: mpsc::Sender<Event>,
}

pub(super) struct Crew {
    terms: Terms,
    parts: Vec<Part>,
    roll: Roll,
    keepers: JoinSet<(Place, Result<(), FailingProcess>)>,
    /// Replicas that are wanted.
    wanted: u32,
    /// Processes that were let go and still live. Nobody takes their place before they are gone.
    leaving: Vec<Place>,
    /// Of those that are kept alive, how each is told to stop.
    stops: Vec<(Place, watch::Sender<bool>)>,
}

impl Crew {
    /// Of these parts, none of which is there yet.
    pub(super) fn of(parts: Vec<Part>, terms: Terms) -> Self {
        let roll = Roll::of(parts.iter().map(|part| part.place));
        Self {
            terms,
            parts,
            roll,
            keepers: JoinSet::new(),
            wanted: 0,
            leaving: Vec::new(),
            stops: Vec::new(),
        }
    }

    pub(super) fn roll(&self) -> &Roll {
        &self.roll
    }

    /// Replicas that are kept alive.
    pub(super) fn replicas(&self) -> u32 {
        self.stops.iter().filter(|(place, _)| place.role == Role::Replica).count() as u32
    }

    /// Takes on so many replicas, the first ones, and all that are no replicas; lets the others go. Each has then the time it has for its
    /// requests.
    pub(super) fn have(&mut self, replicas: u32) {
        self.wanted = replicas;
        for part in self.parts.clone() {
            let wanted = part.place.role != Role::Replica || part.place.number < replicas;
            let there = self.stops.iter().position(|(place, _)| *place == part.place);
            match (wanted, there) {
                (true, None) => {
                    self.roll.want(part.place, true);
                    if !self.leaving.contains(&part.place) {
                        self.take_on(part);
                    }
                }
                (false, None) => self.roll.want(part.place, false),
                (false, Some(index)) => {
                    let (place, stop) = self.stops.swap_remove(index);
                    self.roll.want(place, false);
                    self.leaving.push(place);
                    // It fails only where its keeper has given up.
                    let _ = stop.send(true);
                }
                (true, Some(_)) => {}
            }
        }
    }

    fn take_on(&mut self, part: Part) {
        let Part { place, address, environment } = part;
        let (stop, stopping) = watch::channel(false);
        let keeper = Keeper {
            place,
            launch: self.terms.launch.clone(),
            address,
            environment,
            directory: self.terms.directory.clone(),
            drain: self.terms.drain,
            roll: self.roll.clone(),
            events: self.terms.events.clone(),
            stopping,
        };
        self.keepers.spawn(keeper.keep());
        self.stops.push((place, stop));
    }

    /// Waits until a process cannot be kept alive. One that was let go is none of those.
    pub(super) async fn failure(&mut self) -> FleetError {
        loop {
            match self.keepers.join_next().await {
                Some(Ok((gone, Ok(())))) => {
                    self.leaving.retain(|place| *place != gone);
                    self.have(self.wanted);
                }
                Some(Ok((_, Err(failing)))) => return failing.into(),
                Some(Err(e)) => {
                    return ServeError::Setup(format!("the keeper of a process failed: {e}")).into();
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Lets all go, and waits until they are gone.
    pub(super) async fn dismiss(mut self) {
        for (_, stop) in &self.stops {
            // It fails only where its keeper has given up.
            let _ = stop.send(true);
        }
        while self.keepers.join_next().await.is_some() {}
    }
}
