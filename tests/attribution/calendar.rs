//! What happens next: a heap of four branches, written without iterators, since a debug build pays for each of them and the grid is
//! some twenty million events.

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<T> {
    pub at: f64,
    pub what: T,
}

/// Entries by their place on an axis, the smallest first.
#[derive(Debug)]
pub(crate) struct Calendar<T> {
    heap: Vec<Entry<T>>,
}

impl<T: Copy> Calendar<T> {
    pub(crate) fn new() -> Self {
        Self { heap: Vec::new() }
    }

    pub(crate) fn first_at(&self) -> Option<f64> {
        if self.heap.is_empty() { None } else { Some(self.heap[0].at) }
    }

    pub(crate) fn push(&mut self, at: f64, what: T) {
        let mut hole = self.heap.len();
        self.heap.push(Entry { at, what });
        while hole > 0 {
            let parent = (hole - 1) / 4;
            if self.heap[parent].at <= at {
                break;
            }
            self.heap[hole] = self.heap[parent];
            hole = parent;
        }
        self.heap[hole] = Entry { at, what };
    }

    pub(crate) fn pop(&mut self) -> Option<Entry<T>> {
        let last = self.heap.pop()?;
        let count = self.heap.len();
        if count == 0 {
            return Some(last);
        }
        let top = self.heap[0];
        let mut hole = 0;
        loop {
            let mut child = 4 * hole + 1;
            if child >= count {
                break;
            }
            let end = if child + 4 < count { child + 4 } else { count };
            let mut least = child;
            child += 1;
            while child < end {
                if self.heap[child].at < self.heap[least].at {
                    least = child;
                }
                child += 1;
            }
            if self.heap[least].at >= last.at {
                break;
            }
            self.heap[hole] = self.heap[least];
            hole = least;
        }
        self.heap[hole] = last;
        Some(top)
    }
}
