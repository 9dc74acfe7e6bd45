//! Maps give memory back when a crowd has gone.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Below so many places nothing is given back: it would be asked for again at once.
const PLACES_MIN: usize = 64;

/// Call it after something was removed: a map that is filled to less than a quarter is made half as
/// large as it was or smaller, so that a crowd's room is given back, at a constant cost on average.
pub fn shrink<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > PLACES_MIN && map.len() < map.capacity() / 4 {
        map.shrink_to((map.len() * 2).max(PLACES_MIN / 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_leaves_nothing_behind() {
        let mut map: HashMap<u32, u32> = (0..100_000).map(|n| (n, n)).collect();
        for n in 0..100_000 {
            map.remove(&n);
            shrink(&mut map);
            assert!(map.capacity() <= 4 * PLACES_MIN + 8 * map.len(), "{}", map.capacity());
        }
        assert!(map.is_empty() && map.capacity() <= PLACES_MIN);
    }
}
