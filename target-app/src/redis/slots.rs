//! Which node of a cluster keeps a key: a key belongs to one of 16,384 slots by its hash, and each node has a range of slots (Redis Cluster
//! specification, "Key distribution model").

use crc16::{State, XMODEM};

const SLOTS: u16 = 16_384;

/// The slot of a key. Of a key with something in braces only that is hashed, so that keys which belong together stay together.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    State::<XMODEM>::calculate(hashed_part(key)) % SLOTS
}

fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        Some(length) if length > 0 => &rest[..length],
        _ => key,
    }
}

/// First and last slot of a node among so many, as `redis-cli --cluster create` deals them out.
pub(super) fn range_of(node: u32, nodes: u32) -> (u16, u16) {
    let first = |node: u32| (f64::from(SLOTS) * f64::from(node) / f64::from(nodes)).round() as u16;
    (first(node), first(node + 1) - 1)
}

/// The node that keeps a key, counted from zero.
pub(crate) fn node_of(key: &str, nodes: u32) -> u32 {
    node_of_slot(slot_of(key.as_bytes()), nodes)
}

pub(super) fn node_of_slot(slot: u16, nodes: u32) -> u32 {
    (0..nodes).find(|node| slot <= range_of(*node, nodes).1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{SLOTS, node_of_slot, range_of, slot_of};

    #[test]
    fn keys_have_the_slots_that_the_specification_gives_them() {
        // CRC16 of "123456789" is 0x31c3 (appendix A); the other is what CLUSTER KEYSLOT answers.
        assert_eq!(slot_of(b"123456789"), 0x31c3 % SLOTS);
        assert_eq!(slot_of(b"somekey"), 11_058);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"), "nothing in the first braces: all of it counts");
    }

    #[test]
    fn ranges_are_those_of_redis_cli_and_cover_every_slot_once() {
        assert_eq!([0, 1, 2].map(|node| range_of(node, 3)), [(0, 5460), (5461, 10_922), (10_923, 16_383)]);
        for nodes in 1..=64 {
            let mut next = 0;
            for node in 0..nodes {
                let (first, last) = range_of(node, nodes);
                assert!(first == next && last >= first);
                assert_eq!((node_of_slot(first, nodes), node_of_slot(last, nodes)), (node, node));
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }
}
