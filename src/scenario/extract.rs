//! Conditions, checks and extracts over one response: compiled from the scenario, evaluated without knowing how the bytes came.

use super::plan::SlotId;

/// One response as checks see it. `head` and `body` are empty when the step keeps neither.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'a> {
    pub status: u16,
    /// Raw header block after the status line, as received.
    pub head: &'a [u8],
    pub body: &'a [u8],
}

#[derive(Clone, Debug)]
pub struct Condition {}

#[derive(Clone, Debug)]
pub struct Check {}

#[derive(Clone, Debug)]
pub struct Extract {
    pub slot: SlotId,
}
