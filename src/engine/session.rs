//! What one virtual user knows: its number, its random stream, the variables it has captured and the data rows it was given.

use crate::clock;
use crate::scenario::plan::{AtEnd, Plan, SlotId, Take};
use crate::scenario::template::{Context, Value};
use crate::seed::{self, Purpose, Stream};
use rand::RngExt as _;

/// What tells a user from the others of its load part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Decides what it draws by chance, and which journey of a mix it follows.
    pub(super) id: u64,
    /// Its row of a `take: unique` table, from the first that the part may take.
    pub(super) row: u64,
    /// The row of a `take: sequential` table that it begins with.
    pub(super) turn: u64,
}

impl Number {
    /// Of a user who is the `id`-th in every respect.
    pub(super) const fn plain(id: u64) -> Self {
        Self { id, row: id, turn: id }
    }
}

/// Variables captured before the first iteration stay; those of an iteration go with it.
pub(super) struct Session {
    pub(super) number: Number,
    pub(super) iteration: u64,
    /// Index of its load part.
    part: u32,
    stream: Stream,
    slots: Box<[Option<Value>]>,
    /// The variables as `once_per_user` left them; `None` when there were none, which is the usual case.
    base: Option<Box<[Option<Value>]>>,
    /// A table ran out for this user: what it says to do then.
    pub(super) exhausted: Option<AtEnd>,
}

impl Session {
    pub(super) fn new(plan: &Plan, part: usize, number: Number) -> Self {
        Self {
            number,
            iteration: 0,
            part: u32::try_from(part).unwrap_or(u32::MAX),
            stream: seed::stream(plan.seed, Purpose::User, part as u64, number.id),
            slots: vec![None; plan.slots.len()].into_boxed_slice(),
            base: None,
            exhausted: None,
        }
    }

    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub(super) fn set(&mut self, slot: SlotId, value: Value) {
        self.slots[usize::from(slot)] = Some(value);
    }

    /// Keeps what `once_per_user` captured for all iterations to come.
    pub(super) fn keep_as_base(&mut self) {
        if self.slots.iter().any(Option::is_some) {
            self.base = Some(self.slots.clone());
        }
    }

    /// Forgets what the last iteration captured.
    pub(super) fn begin_iteration(&mut self) {
        match &self.base {
            Some(base) => self.slots.clone_from(base),
            None => self.slots.iter_mut().for_each(|slot| *slot = None),
        }
    }

    pub(super) fn view<'a>(&'a mut self, plan: &'a Plan) -> View<'a> {
        View { session: self, plan }
    }
}

/// A session together with the plan it runs, as templates and conditions see it.
pub(super) struct View<'a> {
    session: &'a mut Session,
    plan: &'a Plan,
}

impl Context for View<'_> {
    fn slot(&self, slot: SlotId) -> Option<&Value> {
        self.session.slots[usize::from(slot)].as_ref()
    }

    fn data(&mut self, table: u16, column: u16) -> Option<&str> {
        let rows = &self.plan.data[usize::from(table)];
        let count = rows.rows.len() as u64;
        let (Number { id, row, turn }, iteration) = (self.session.number, self.session.iteration);
        let wanted = match rows.take {
            Take::Unique => rows.first_rows.get(self.session.part as usize).copied().unwrap_or(0) + row,
            Take::Sequential => turn.wrapping_add(iteration),
            // A stream of its own, so that reading a table does not move the user's other choices.
            Take::Random => seed::stream(self.plan.seed ^ iteration, Purpose::Data, u64::from(table), id)
                .random_range(0..count.max(1)),
        };
        if wanted >= count && (count == 0 || rows.at_end != AtEnd::Recycle) {
            self.session.exhausted = Some(rows.at_end);
            return None;
        }
        let row = usize::try_from(wanted % count).ok()?;
        self.plan.data[usize::from(table)].rows[row].get(usize::from(column)).map(AsRef::as_ref)
    }

    fn user_id(&self) -> u64 {
        self.session.number.id
    }

    fn iteration(&self) -> u64 {
        self.session.iteration
    }

    fn unix_ms(&self) -> u64 {
        clock::unix_ms()
    }

    fn stream(&mut self) -> &mut Stream {
        &mut self.session.stream
    }
}
