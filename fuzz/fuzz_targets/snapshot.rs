//! A second that an agent sends is taken in or refused, whatever bytes it comes as.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::measure::snapshot::Snapshot;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(second) = postcard::from_bytes::<Snapshot>(bytes) {
        let mut sum = Snapshot::default();
        sum.add(&second);
        assert_eq!(sum.loop_lag.count(), second.loop_lag.count());
    }
});
