//! What the executor and one of its users share: the executor says when to leave; the user says what it is in the middle of, so
//! that being cut off at the end of a drain is counted with the age it had reached.

use crate::clock::Nanos;
use crate::endpoint::EndpointId;
use std::cell::Cell;

#[derive(Debug, Default)]
pub(super) struct Control {
    /// Leave at the end of the iteration.
    pub(super) retire: Cell<bool>,
    /// Start of the iteration under way.
    pub(super) iteration_since: Cell<Option<Nanos>>,
    /// Endpoint of the request that is on the wire.
    pub(super) on_wire: Cell<Option<EndpointId>>,
}
