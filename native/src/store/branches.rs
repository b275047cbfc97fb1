//! Which blocks above the base keep their state when the head has moved; the twin of `l2engine/store/branches.py`.

use crate::errors::StateError;
use revm::primitives::{B256, B256Map, HashSet};

/// A block that has a state above the base.
#[derive(Clone, Copy)]
pub struct Link {
    pub number: u64,
    pub hash: B256,
    pub parent: B256,
    /// What its state takes, in bytes.
    pub size: usize,
}

/// The blocks to keep: those below the head, those on top of it, and side branches whole, those first that
/// begin highest, as long as they fit into `side_blocks` and `side_bytes`. A side branch must begin on a block below the head, or on one that `can_stand_on` accepts.
pub fn choose_kept(
    mut links: Vec<Link>,
    head: B256,
    can_stand_on: impl Fn(B256) -> Result<bool, StateError>,
    mut side_blocks: usize,
    mut side_bytes: usize,
) -> Result<HashSet<B256>, StateError> {
    links.sort_unstable_by_key(|link| (link.number, link.hash));
    let parents: B256Map<B256> = links.iter().map(|link| (link.hash, link.parent)).collect();
    let mut kept: HashSet<B256> = HashSet::default();
    let mut ancestor = head;
    while let Some(parent) = parents.get(&ancestor)
        && kept.insert(ancestor)
    {
        ancestor = *parent;
    }
    let mut above: HashSet<B256> = HashSet::from_iter([head]);
    let mut branches: Vec<Vec<Link>> = Vec::new();
    let mut branch_of: B256Map<usize> = B256Map::default();
    for link in links {
        if kept.contains(&link.hash) {
            continue;
        }
        if above.contains(&link.parent) {
            above.insert(link.hash);
        } else if let Some(&branch) = branch_of.get(&link.parent) {
            branch_of.insert(link.hash, branch);
            branches[branch].push(link);
        } else if kept.contains(&link.parent) || can_stand_on(link.parent)? {
            branch_of.insert(link.hash, branches.len());
            branches.push(vec![link]);
        }
    }
    for branch in branches.iter().rev() {
        let size: usize = branch.iter().map(|link| link.size).sum();
        if branch.len() <= side_blocks && size <= side_bytes {
            (side_blocks, side_bytes) = (side_blocks - branch.len(), side_bytes - size);
            kept.extend(branch.iter().map(|link| link.hash));
        }
    }
    kept.extend(above);
    Ok(kept)
}
