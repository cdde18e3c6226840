//! From lists of guarded stations to pools inside pools.

use super::model::{Branch, Fault, Pool, Station, fault};
use std::collections::BTreeSet;

/// The tree of pools and stations; faults are added where the pools do not make one.
pub(super) fn grow(stations: &[Station], pools: &[Pool], faults: &mut Vec<Fault>) -> Branch {
    let known = faults.len();
    let sets: Vec<BTreeSet<usize>> =
        pools.iter().enumerate().map(|(index, pool)| guarded(index, pool, stations, faults)).collect();
    for (index, set) in sets.iter().enumerate() {
        for (earlier, other) in sets[..index].iter().enumerate() {
            if !set.is_disjoint(other) && !set.is_subset(other) && !set.is_superset(other) {
                let shared: Vec<&str> =
                    set.intersection(other).map(|station| stations[*station].name.as_str()).collect();
                let what = format!(
                    "`{}` and `{}` both guard {}, and each guards what the other does not",
                    pools[earlier].name,
                    pools[index].name,
                    shared.join(", ")
                );
                let right = "let one guard all that the other does, or nothing of it";
                faults.push(fault(&format!("pools[{index}].guards"), &what, right));
            }
        }
    }
    if faults.len() > known {
        return Branch::default();
    }
    // From the outside in: whoever guards more is outside, and of two that guard the same the one that is listed first.
    let mut order: Vec<usize> = (0..pools.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(sets[*index].len()));
    let all: BTreeSet<usize> = (0..stations.len()).collect();
    branch(&all, &order, &sets)
}

/// What lies in `inside`: the pools of `order` that do, and the stations that none of them guards.
fn branch(inside: &BTreeSet<usize>, order: &[usize], sets: &[BTreeSet<usize>]) -> Branch {
    let mut rest = inside.clone();
    let mut left: Vec<usize> = order.to_vec();
    let mut pools = Vec::new();
    while let Some(outer) = left.first().copied() {
        let (within, beside): (Vec<usize>, Vec<usize>) =
            left[1..].iter().partition(|index| sets[**index].is_subset(&sets[outer]));
        rest.retain(|station| !sets[outer].contains(station));
        pools.push((outer, branch(&sets[outer], &within, sets)));
        left = beside;
    }
    pools.sort_by_key(|(index, _)| *index);
    Branch { stations: rest.into_iter().collect(), pools }
}

fn guarded(index: usize, pool: &Pool, stations: &[Station], faults: &mut Vec<Fault>) -> BTreeSet<usize> {
    let mut set = BTreeSet::new();
    for (position, name) in pool.guards.iter().enumerate() {
        let path = format!("pools[{index}].guards[{position}]");
        match stations.iter().position(|station| station.name == *name) {
            Some(station) if set.insert(station) => {}
            Some(_) => faults.push(fault(&path, &format!("`{name}` is named twice"), "name it once")),
            None => {
                let names: Vec<&str> = stations.iter().map(|station| station.name.as_str()).collect();
                let right = format!("the stations are {}", names.join(", "));
                faults.push(fault(&path, &format!("there is no station `{name}`"), &right));
            }
        }
    }
    if pool.guards.is_empty() {
        let right = "name the stations at which a request has a slot";
        faults.push(fault(&format!("pools[{index}].guards"), "it guards nothing", right));
    }
    set
}
