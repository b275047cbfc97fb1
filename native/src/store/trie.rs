//! The Merkle-Patricia trie over nodes that are found by their path; the twin of `l2engine/store/trie.py`.
//!
//! An update unfolds the nodes on the way to its keys into memory, changes them there, and folds them up again: that is when
//! nodes are encoded and hashed, each once. A row that was read and is not written again is gone. Keys have 32 bytes, so a
//! branch never has a value. Source: Yellow Paper, appendix D.

use crate::errors::StateError;
use crate::rlp;
use crate::store::node::{self, Child, Children, Node, Reference, compact, empty_children, node_key};
use rayon::prelude::*;
use revm::primitives::{B256, Bytes, b256, keccak256};

pub const EMPTY_ROOT: B256 = b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

/// Fewer keys than this are not worth other threads.
const PARALLEL_FROM: usize = 64;

/// A hashed key to set or to delete, with values in RLP.
#[derive(Clone)]
pub struct Item {
    pub key: B256,
    /// Empty deletes the key.
    pub value: Vec<u8>,
    /// The value so far where the caller has it at hand: most leaves need not be read then.
    pub before: Option<Vec<u8>>,
}

/// Rows by database key.
pub type Rows = Vec<(Vec<u8>, Bytes)>;

/// The result of an update.
pub struct Update {
    pub root: B256,
    pub written: Rows,
    /// Rows as they were before; one that is not written again is gone. What is written and not here is new.
    pub replaced: Rows,
}

/// Finds the row of a node by database key.
pub trait ReadNode: Sync {
    /// `guess` makes the row from what is known otherwise, at the price of a hash.
    fn node(&self, key: &[u8], guess: &dyn Fn() -> Option<Bytes>) -> Result<Option<Bytes>, StateError>;
}

/// Set and delete keys, given in order and each once.
pub fn update(read: &dyn ReadNode, root: B256, owner: Option<B256>, items: &[Item]) -> Result<Update, StateError> {
    if items.is_empty() {
        return Ok(Update { root, written: Vec::new(), replaced: Vec::new() });
    }
    let mut unfolding = Unfolding { read, owner, seen: Vec::new() };
    let old = if root == EMPTY_ROOT { None } else { Some(unfolding.unfold(Reference::to_hash(root), &[], items)?) };
    let new = unfolding.apply(old, &mut Vec::with_capacity(64), items)?;
    let mut written = Vec::with_capacity(2 * items.len());
    let root = match new {
        None => EMPTY_ROOT,
        Some(node) => {
            let raw = fold(&node, owner, &mut Vec::with_capacity(64), &mut written);
            let root = keccak256(&raw);
            written.push((node_key(owner, &[]), raw.into()));
            root
        }
    };
    Ok(Update { root, written, replaced: unfolding.seen })
}

struct Unfolding<'a> {
    read: &'a dyn ReadNode,
    owner: Option<B256>,
    /// Rows read so far.
    seen: Rows,
}

impl Unfolding<'_> {
    /// The node behind a reference at `path`, on the way to these items.
    fn unfold(&mut self, reference: Reference, path: &[u8], items: &[Item]) -> Result<Node, StateError> {
        let Some(hash) = reference.hash() else { return node::decode(reference.as_slice()) };
        let key = node_key(self.owner, path);
        let guess = || {
            let [Item { key, before: Some(value), .. }] = items else { return None };
            let leaf = node::encode_leaf(&nibbles(key, path.len()), value);
            (keccak256(&leaf) == hash).then(|| leaf.into())
        };
        let Some(raw) = self.read.node(&key, &guess)? else {
            return Err(StateError::Store(format!("missing trie node {}", revm::primitives::hex::encode(&key))));
        };
        let node = node::decode(&raw)?;
        self.seen.push((key, raw));
        Ok(node)
    }

    fn unfold_child(&mut self, child: Child, path: &[u8], items: &[Item]) -> Result<Option<Node>, StateError> {
        match child {
            Child::Empty => Ok(None),
            Child::Unfolded(node) => Ok(Some(*node)),
            Child::Folded(reference) => self.unfold(reference, path, items).map(Some),
        }
    }

    /// The node at `path` once the items, whose keys all start with `path`, are applied.
    fn apply(&mut self, node: Option<Node>, path: &mut Vec<u8>, items: &[Item]) -> Result<Option<Node>, StateError> {
        match node {
            None => Ok(fresh(path.len(), &live(items))),
            Some(Node::Branch(children)) => self.apply_to_branch(children, path, items),
            Some(Node::Leaf(rest, value)) => Ok(apply_to_leaf(rest, value, path, items)),
            Some(Node::Extension(shared, child)) => self.apply_to_extension(shared, child, path, items),
        }
    }

    fn apply_to_branch(
        &mut self,
        mut children: Box<Children>,
        path: &mut Vec<u8>,
        items: &[Item],
    ) -> Result<Option<Node>, StateError> {
        let depth = path.len();
        let groups: Vec<&[Item]> = items.chunk_by(|a, b| nibble(&a.key, depth) == nibble(&b.key, depth)).collect();
        if depth == 0 && items.len() >= PARALLEL_FROM {
            let (read, owner) = (self.read, self.owner);
            let work: Vec<(usize, Child, &[Item])> = groups
                .into_iter()
                .map(|group| {
                    let digit = usize::from(nibble(&group[0].key, depth));
                    (digit, std::mem::replace(&mut children[digit], Child::Empty), group)
                })
                .collect();
            let done: Result<Vec<_>, StateError> = work
                .into_par_iter()
                .map(|(digit, child, group)| {
                    let mut own = Unfolding { read, owner, seen: Vec::new() };
                    let mut path = path.clone();
                    path.push(digit as u8);
                    let child = own.unfold_child(child, &path, group)?;
                    Ok((digit, own.apply(child, &mut path, group)?, own.seen))
                })
                .collect();
            for (digit, child, seen) in done? {
                children[digit] = Child::from(child);
                self.seen.extend(seen);
            }
        } else {
            for group in groups {
                let digit = nibble(&group[0].key, depth);
                path.push(digit);
                let child = std::mem::replace(&mut children[usize::from(digit)], Child::Empty);
                let child = self.unfold_child(child, path, group)?;
                children[usize::from(digit)] = Child::from(self.apply(child, path, group)?);
                path.pop();
            }
        }
        self.collapse(children, path)
    }

    fn apply_to_extension(
        &mut self,
        shared: Vec<u8>,
        child: Child,
        path: &mut Vec<u8>,
        items: &[Item],
    ) -> Result<Option<Node>, StateError> {
        let depth = path.len();
        let follows = |item: &Item| shared.iter().enumerate().all(|(i, digit)| nibble(&item.key, depth + i) == *digit);
        let (inside, mut outside): (Vec<Item>, Vec<Item>) = items.iter().cloned().partition(follows);
        outside.retain(|item| !item.value.is_empty()); // deleting what is not there changes nothing
        if inside.is_empty() && outside.is_empty() {
            return Ok(Some(Node::Extension(shared, child)));
        }
        let child = if inside.is_empty() {
            child
        } else {
            path.extend_from_slice(&shared);
            let node = self.unfold_child(child, path, &inside)?;
            let node = self.apply(node, path, &inside)?;
            path.truncate(depth);
            Child::from(node)
        };
        if outside.is_empty() {
            return self.extend(shared, child, path);
        }
        // Keys leave the extension at its nibble `fork`: a branch takes its place there.
        let leaves =
            |item: &Item| shared.iter().enumerate().take_while(|(i, d)| nibble(&item.key, depth + i) == **d).count();
        let fork = outside.iter().map(leaves).min().unwrap_or(0);
        let mut children = empty_children();
        let rest = shared[fork + 1..].to_vec();
        path.extend_from_slice(&shared[..=fork]);
        children[usize::from(shared[fork])] = Child::from(self.extend(rest, child, path)?);
        path.truncate(depth + fork);
        let node = self.apply_to_branch(children, path, &outside)?;
        path.truncate(depth);
        self.extend(shared[..fork].to_vec(), Child::from(node), path)
    }

    /// `child`, which belongs at `path` + `shared`, with an extension of `shared` above it.
    fn extend(&mut self, shared: Vec<u8>, child: Child, path: &[u8]) -> Result<Option<Node>, StateError> {
        if shared.is_empty() {
            return self.unfold_child(child, path, &[]);
        }
        Ok(match child {
            Child::Empty => None,
            Child::Folded(_) => Some(Node::Extension(shared, child)),
            Child::Unfolded(node) => Some(match *node {
                Node::Branch(_) => Node::Extension(shared, Child::Unfolded(node)),
                Node::Leaf(rest, value) => Node::Leaf([shared, rest].concat(), value),
                Node::Extension(rest, below) => Node::Extension([shared, rest].concat(), below),
            }),
        })
    }

    /// A branch with one child left becomes part of that child; with none, nothing.
    fn collapse(&mut self, mut children: Box<Children>, path: &mut Vec<u8>) -> Result<Option<Node>, StateError> {
        let mut left = (0..16).filter(|i| !matches!(children[*i], Child::Empty));
        let (Some(only), None) = (left.next(), left.next()) else {
            let empty = children.iter().all(|child| matches!(child, Child::Empty));
            return Ok(if empty { None } else { Some(Node::Branch(children)) });
        };
        let digit = only as u8;
        path.push(digit);
        let child = std::mem::replace(&mut children[only], Child::Empty);
        let child = self.unfold_child(child, path, &[])?;
        path.pop();
        self.extend(vec![digit], Child::from(child), path)
    }
}

fn apply_to_leaf(rest: Vec<u8>, value: Vec<u8>, path: &[u8], items: &[Item]) -> Option<Node> {
    let depth = path.len();
    if let [item] = items
        && nibbles(&item.key, depth) == rest
    {
        return (!item.value.is_empty()).then(|| Node::Leaf(rest, item.value.clone()));
    }
    let whole: Vec<u8> = path.iter().chain(&rest).copied().collect();
    let key = B256::from_slice(&whole.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>());
    let mut leaves = live(items);
    if items.binary_search_by(|item| item.key.cmp(&key)).is_err() {
        leaves.insert(leaves.partition_point(|leaf| leaf.0 < key), (key, &value));
    }
    fresh(depth, &leaves)
}

/// A key and a value that is not empty.
type Leaf<'a> = (B256, &'a [u8]);

fn live(items: &[Item]) -> Vec<Leaf<'_>> {
    items.iter().filter(|item| !item.value.is_empty()).map(|item| (item.key, item.value.as_slice())).collect()
}

/// A new subtree at `depth` holding exactly these leaves.
fn fresh(depth: usize, leaves: &[Leaf]) -> Option<Node> {
    let ((first, value), (last, _)) = (leaves.first()?, leaves.last()?);
    if leaves.len() == 1 {
        return Some(Node::Leaf(nibbles(first, depth), value.to_vec()));
    }
    let fork = (depth..64).find(|at| nibble(first, *at) != nibble(last, *at)).expect("keys differ");
    let mut children = empty_children();
    for group in leaves.chunk_by(|a, b| nibble(&a.0, fork) == nibble(&b.0, fork)) {
        children[usize::from(nibble(&group[0].0, fork))] = Child::from(fresh(fork + 1, group));
    }
    let branch = Node::Branch(children);
    if fork == depth {
        return Some(branch);
    }
    let shared = (depth..fork).map(|at| nibble(first, at)).collect();
    Some(Node::Extension(shared, Child::Unfolded(Box::new(branch))))
}

/// The node's RLP; nodes below it go into `rows` where they need one.
fn fold(node: &Node, owner: Option<B256>, path: &mut Vec<u8>, rows: &mut Rows) -> Vec<u8> {
    match node {
        Node::Leaf(rest, value) => node::encode_leaf(rest, value),
        Node::Extension(shared, child) => {
            path.extend_from_slice(shared);
            let mut below = Vec::with_capacity(33);
            fold_child(child, owner, path, &mut below, rows);
            path.truncate(path.len() - shared.len());
            node::encode_extension(shared, &below)
        }
        Node::Branch(children) => {
            let mut payload = Vec::with_capacity(16 * 33 + 1);
            let changed = children.iter().filter(|child| matches!(child, Child::Unfolded(_))).count();
            if path.is_empty() && changed > 8 {
                let folded: Vec<_> = children
                    .par_iter()
                    .enumerate()
                    .map(|(digit, child)| {
                        let (mut part, mut rows, mut path) = (Vec::new(), Vec::new(), path.clone());
                        path.push(digit as u8);
                        fold_child(child, owner, &mut path, &mut part, &mut rows);
                        (part, rows)
                    })
                    .collect();
                for (part, below) in folded {
                    payload.extend_from_slice(&part);
                    rows.extend(below);
                }
            } else {
                for (digit, child) in children.iter().enumerate() {
                    path.push(digit as u8);
                    fold_child(child, owner, path, &mut payload, rows);
                    path.pop();
                }
            }
            payload.push(0x80);
            node::encode_branch(&payload)
        }
    }
}

fn fold_child(child: &Child, owner: Option<B256>, path: &mut Vec<u8>, out: &mut Vec<u8>, rows: &mut Rows) {
    match child {
        Child::Empty => out.push(0x80),
        Child::Folded(reference) => out.extend_from_slice(reference.as_slice()),
        Child::Unfolded(node) => {
            let raw = fold(node, owner, path, rows);
            let reference = Reference::to(&raw);
            out.extend_from_slice(reference.as_slice());
            if reference.hash().is_some() {
                rows.push((node_key(owner, path), raw.into()));
            }
        }
    }
}

/// The root of a trie from RLP-encoded indexes to values: transactions, receipts, withdrawals.
pub fn ordered_root<V: AsRef<[u8]>>(values: &[V]) -> B256 {
    let mut items: Vec<(Vec<u8>, &[u8])> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let mut key = Vec::new();
            rlp::put_u64(&mut key, index as u64);
            (key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect(), value.as_ref())
        })
        .collect();
    items.sort_unstable();
    if items.is_empty() { EMPTY_ROOT } else { keccak256(whole_subtree(&items, 0)) }
}

/// The RLP of the node over items that are all at hand; no key is another's prefix.
fn whole_subtree(items: &[(Vec<u8>, &[u8])], depth: usize) -> Vec<u8> {
    let (first, last) = (&items[0].0, &items[items.len() - 1].0);
    let mut payload = Vec::new();
    if items.len() == 1 {
        rlp::put_bytes(&mut payload, &compact(&first[depth..], true));
        rlp::put_bytes(&mut payload, items[0].1);
    } else {
        let fork = (depth..).find(|at| first[*at] != last[*at]).expect("keys differ");
        if fork > depth {
            rlp::put_bytes(&mut payload, &compact(&first[depth..fork], false));
            put_reference(&mut payload, whole_subtree(items, fork));
        } else {
            let mut groups = items.chunk_by(|a, b| a.0[depth] == b.0[depth]).peekable();
            for digit in 0..16 {
                match groups.next_if(|group| group[0].0[depth] == digit) {
                    Some(group) => put_reference(&mut payload, whole_subtree(group, depth + 1)),
                    None => payload.push(0x80),
                }
            }
            payload.push(0x80);
        }
    }
    let mut raw = Vec::with_capacity(payload.len() + 4);
    rlp::put_list(&mut raw, &payload);
    raw
}

fn put_reference(out: &mut Vec<u8>, raw: Vec<u8>) {
    if raw.len() < 32 {
        out.extend_from_slice(&raw);
    } else {
        out.push(0xa0);
        out.extend_from_slice(keccak256(&raw).as_slice());
    }
}

fn nibble(key: &B256, at: usize) -> u8 {
    let byte = key[at / 2];
    if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

/// The nibbles of a key from `depth` on.
fn nibbles(key: &B256, depth: usize) -> Vec<u8> {
    (depth..64).map(|at| nibble(key, at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default, Clone)]
    struct Disk(BTreeMap<Vec<u8>, Bytes>);

    impl ReadNode for Disk {
        fn node(&self, key: &[u8], guess: &dyn Fn() -> Option<Bytes>) -> Result<Option<Bytes>, StateError> {
            let found = self.0.get(key).cloned();
            let guessed = guess();
            assert!(guessed.is_none() || guessed == found, "a leaf made from its value is the row");
            Ok(found)
        }
    }

    impl Disk {
        fn update(&mut self, root: B256, items: &[Item]) -> B256 {
            let Update { root, written, replaced } = update(self, root, None, items).unwrap();
            for (key, row) in &replaced {
                assert_eq!(self.0.remove(key).as_ref(), Some(row));
            }
            for (key, row) in written {
                assert_eq!(self.0.insert(key, row), None);
            }
            root
        }
    }

    fn key(n: u64) -> B256 {
        // Few distinct nibbles, so that paths are shared at every depth.
        let mut key = keccak256(n.to_be_bytes());
        if n.is_multiple_of(3) {
            key[..30].fill(0x11);
        }
        key
    }

    #[test]
    fn any_way_to_the_same_content_gives_the_same_rows() {
        let mut state = 12345u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let (mut rows, mut root) = (Disk::default(), EMPTY_ROOT);
        let mut content = BTreeMap::new();
        for round in 0..60 {
            let mut items = BTreeMap::new();
            for _ in 0..random() % 40 {
                let key = key(random() % 300);
                let value = if random() % 3 == 0 { vec![] } else { vec![1; 1 + (random() % 60) as usize] };
                items.insert(key, value);
            }
            let mut updates = Vec::new();
            for (key, value) in items {
                let before = if value.is_empty() { content.remove(&key) } else { content.insert(key, value.clone()) };
                // known and right, unknown, or wrong: what was there is never taken from it unseen
                let before = [before, None, Some(vec![9])][(random() % 3) as usize].clone();
                updates.push(Item { key, value, before });
            }
            root = rows.update(root, &updates);
            let mut fresh_rows = Disk::default();
            let all: Vec<Item> =
                content.clone().into_iter().map(|(key, value)| Item { key, value, before: None }).collect();
            assert_eq!(root, fresh_rows.update(EMPTY_ROOT, &all), "round {round}");
            assert_eq!(rows.0, fresh_rows.0, "round {round}");
        }
        let gone = |(key, value)| Item { key, value: vec![], before: Some(value) };
        let none: Vec<Item> = content.into_iter().map(gone).collect();
        assert_eq!(rows.update(root, &none), EMPTY_ROOT);
        assert!(rows.0.is_empty());
    }

    #[test]
    fn ordered_root_of_nothing_and_one() {
        assert_eq!(ordered_root::<Vec<u8>>(&[]), EMPTY_ROOT);
        let values: Vec<Vec<u8>> = (0..300u32).map(|i| i.to_be_bytes().to_vec()).collect();
        assert_ne!(ordered_root(&values), ordered_root(&values[..299]));
    }
}
