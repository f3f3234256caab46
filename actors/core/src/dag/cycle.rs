//! Whether a graph of tasks has a cycle, and which. A pure function: linear in nodes and edges, and
//! without recursion, so that a chain of any length does no harm. Called by the hub, which takes no
//! graph that has one.

/// The nodes of a cycle, each before the next and the last before the first; `None` if there is none.
/// Of the nodes `0..len`, `edges` has each pair (before, after).
pub fn find_cycle(len: usize, edges: &[(u32, u32)]) -> Option<Vec<u32>> {
    let mut open = vec![0_u32; len];
    let mut starts = vec![0_u32; len + 1];
    for (before, after) in edges {
        open[*after as usize] += 1;
        starts[*before as usize + 1] += 1;
    }
    for node in 0..len {
        starts[node + 1] += starts[node];
    }
    let mut followers = vec![0_u32; edges.len()];
    let mut places = starts.clone();
    for (before, after) in edges {
        let place = &mut places[*before as usize];
        followers[*place as usize] = *after;
        *place += 1;
    }
    let mut free: Vec<u32> = (0..len as u32).filter(|node| open[*node as usize] == 0).collect();
    let mut left = len;
    while let Some(node) = free.pop() {
        left -= 1;
        let range = starts[node as usize] as usize..starts[node as usize + 1] as usize;
        for after in &followers[range] {
            open[*after as usize] -= 1;
            if open[*after as usize] == 0 {
                free.push(*after);
            }
        }
    }
    (left > 0).then(|| walk_back(&open, edges))
}

/// Of the nodes that wait for another of their kind: back from one to the other until one is met
/// again.
fn walk_back(open: &[u32], edges: &[(u32, u32)]) -> Vec<u32> {
    let mut before_of = vec![None; open.len()];
    for (before, after) in edges {
        // What comes after one that is open is open too.
        if open[*before as usize] > 0 {
            before_of[*after as usize].get_or_insert(*before);
        }
    }
    let mut seen_at = vec![None; open.len()];
    let mut path = Vec::new();
    // Each node that is open waits for one that is, so that the walk ends only where it was before.
    let mut next = open.iter().position(|open| *open > 0).map(|node| node as u32);
    while let Some(node) = next {
        if let Some(start) = seen_at[node as usize] {
            path.drain(..start);
            break;
        }
        seen_at[node as usize] = Some(path.len());
        path.push(node);
        next = before_of[node as usize];
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes away nodes that nobody is before, as long as there are some: the naive rule.
    fn has_cycle(len: usize, edges: &[(u32, u32)]) -> bool {
        let mut left: Vec<u32> = (0..len as u32).collect();
        loop {
            let is_blocked = |node: &u32| {
                edges.iter().any(|(before, after)| after == node && left.contains(before))
            };
            let blocked: Vec<u32> = left.iter().copied().filter(is_blocked).collect();
            if blocked.len() == left.len() {
                return !left.is_empty();
            }
            left = blocked;
        }
    }

    fn is_cycle(path: &[u32], edges: &[(u32, u32)]) -> bool {
        let pairs = path.iter().zip(path.iter().cycle().skip(1));
        !path.is_empty() && pairs.into_iter().all(|(a, b)| edges.contains(&(*a, *b)))
    }

    proptest! {
        #[test]
        fn a_cycle_is_found_if_the_naive_rule_finds_one(
            len in 1..12_usize,
            pairs in prop::collection::vec((0..12_u32, 0..12_u32), 0..20),
        ) {
            let edges: Vec<_> = pairs.into_iter().map(|(a, b)| (a % len as u32, b % len as u32)).collect();
            match find_cycle(len, &edges) {
                Some(path) => prop_assert!(is_cycle(&path, &edges), "{path:?} in {edges:?}"),
                None => prop_assert!(!has_cycle(len, &edges), "{edges:?}"),
            }
        }
    }

    #[test]
    fn the_path_names_the_cycle_alone_in_its_direction() {
        let edges = [(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)];
        let path = find_cycle(5, &edges).expect("a cycle");
        assert!(is_cycle(&path, &edges) && path.len() == 3, "{path:?}");
        assert_eq!(find_cycle(2, &[(1, 1)]), Some(vec![1]));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_and_a_fan_of_a_million_are_no_harm() {
        // FAULTS 45: linear, and no recursion.
        const LEN: u32 = 100_000;
        let chain: Vec<_> = (1..LEN).map(|node| (node - 1, node)).collect();
        assert_eq!(find_cycle(LEN as usize, &chain), None);
        let fan: Vec<_> = (1..LEN).map(|node| (node, 0)).collect();
        assert_eq!(find_cycle(LEN as usize, &fan), None);
        let wide: Vec<_> = (1..10 * LEN).map(|node| (0, node)).collect();
        assert_eq!(find_cycle(10 * LEN as usize, &wide), None);
        let ring: Vec<_> = (0..LEN).map(|node| (node, (node + 1) % LEN)).collect();
        assert_eq!(find_cycle(LEN as usize, &ring).map(|path| path.len()), Some(LEN as usize));
    }
}
