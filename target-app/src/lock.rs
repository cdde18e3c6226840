//! The taking of a lock. Nothing here panics half-way through a change of what a mutex guards, so one that is poisoned guards a sound state.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
