//! The Merkle-Patricia trie over nodes that are found by their path; the twin of `l2engine/store/trie.py`.
//!
//! An update unfolds the nodes on the way to its keys into memory, changes them there, and folds them up again: that is when
//! nodes are encoded and hashed, each once. A row that was read and is not written again is gone. Keys have 32 bytes, so a
//! branch never has a value. Source: Yellow Paper, appendix D.

use crate::errors::StateError;
use crate::rlp::{self, Item as RlpItem, Reader};
use rayon::prelude::*;
use revm::primitives::{B256, Bytes, b256, keccak256};

pub const EMPTY_ROOT: B256 = b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

/// Fewer keys than this are not worth other threads.
const PARALLEL_FROM: usize = 64;

/// A hashed key and its value in RLP; an empty value deletes the key.
pub type Item = (B256, Vec<u8>);

/// Rows that an update leaves different, by database key; None when gone.
pub type NodeChanges = Vec<(Vec<u8>, Option<Bytes>)>;

/// Finds the row of a node by database key.
pub trait ReadNode: Sync {
    fn node(&self, key: &[u8]) -> Result<Option<Bytes>, StateError>;
}

/// What a parent holds of its child.
enum Child {
    Empty,
    /// As it stands in the parent: a hash (33 bytes), or a node shorter than 32 bytes.
    Folded(Bytes),
    Unfolded(Box<Node>),
}

enum Node {
    Branch(Box<[Child; 16]>),
    /// The rest of the key, and the value.
    Leaf(Vec<u8>, Vec<u8>),
    /// Shared nibbles, and the branch below.
    Extension(Vec<u8>, Child),
}

/// The database key of the node at `path` (nibbles) of the account trie (no owner) or of an account's storage trie.
pub fn node_key(owner: Option<B256>, path: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(66);
    match owner {
        None => key.push(b'A'),
        Some(owner) => {
            key.push(b'S');
            key.extend_from_slice(owner.as_slice());
        }
    }
    key.push(path.len() as u8);
    key.extend(path.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)));
    key
}

/// Set and delete keys, given in order and each once: the new root and the rows that changed.
pub fn update(
    read: &dyn ReadNode,
    root: B256,
    owner: Option<B256>,
    items: &[Item],
) -> Result<(B256, NodeChanges), StateError> {
    if items.is_empty() {
        return Ok((root, Vec::new()));
    }
    let mut unfolding = Unfolding { read, owner, seen: Vec::new() };
    let old = if root == EMPTY_ROOT { None } else { Some(unfolding.unfold(hash_reference(root), &[])?) };
    let new = unfolding.apply(old, &mut Vec::with_capacity(64), items)?;
    let mut rows = Vec::with_capacity(2 * items.len());
    let root = match new {
        None => EMPTY_ROOT,
        Some(node) => {
            let raw = fold(&node, owner, &mut Vec::with_capacity(64), &mut rows);
            let root = keccak256(&raw);
            rows.push((node_key(owner, &[]), Some(raw.into())));
            root
        }
    };
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let written = rows.len();
    for key in unfolding.seen {
        if rows[..written].binary_search_by(|row| row.0.as_slice().cmp(&key)).is_err() {
            rows.push((key, None));
        }
    }
    Ok((root, rows))
}

struct Unfolding<'a> {
    read: &'a dyn ReadNode,
    owner: Option<B256>,
    /// Rows read so far.
    seen: Vec<Vec<u8>>,
}

impl Unfolding<'_> {
    /// The node behind a reference at `path`.
    fn unfold(&mut self, reference: Bytes, path: &[u8]) -> Result<Node, StateError> {
        if reference.len() != 33 {
            return decode_node(&reference);
        }
        let key = node_key(self.owner, path);
        let Some(raw) = self.read.node(&key)? else {
            return Err(StateError::Store(format!("missing trie node {}", revm::primitives::hex::encode(&key))));
        };
        self.seen.push(key);
        decode_node(&raw)
    }

    fn unfold_child(&mut self, child: Child, path: &[u8]) -> Result<Option<Node>, StateError> {
        match child {
            Child::Empty => Ok(None),
            Child::Unfolded(node) => Ok(Some(*node)),
            Child::Folded(reference) => self.unfold(reference, path).map(Some),
        }
    }

    /// The node that stands at `path` once the items, whose keys all start with `path`, are applied.
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
        mut children: Box<[Child; 16]>,
        path: &mut Vec<u8>,
        items: &[Item],
    ) -> Result<Option<Node>, StateError> {
        let depth = path.len();
        let groups: Vec<&[Item]> = items.chunk_by(|a, b| nibble(&a.0, depth) == nibble(&b.0, depth)).collect();
        if depth < 2 && items.len() >= PARALLEL_FROM {
            let (read, owner) = (self.read, self.owner);
            let work: Vec<(usize, Child, &[Item])> = groups
                .into_iter()
                .map(|group| {
                    let digit = usize::from(nibble(&group[0].0, depth));
                    (digit, std::mem::replace(&mut children[digit], Child::Empty), group)
                })
                .collect();
            let done: Result<Vec<_>, StateError> = work
                .into_par_iter()
                .map(|(digit, child, group)| {
                    let mut own = Unfolding { read, owner, seen: Vec::new() };
                    let mut path = path.clone();
                    path.push(digit as u8);
                    let child = own.unfold_child(child, &path)?;
                    Ok((digit, own.apply(child, &mut path, group)?, own.seen))
                })
                .collect();
            for (digit, child, seen) in done? {
                children[digit] = unfolded(child);
                self.seen.extend(seen);
            }
        } else {
            for group in groups {
                let digit = nibble(&group[0].0, depth);
                path.push(digit);
                let child = std::mem::replace(&mut children[usize::from(digit)], Child::Empty);
                let child = self.unfold_child(child, path)?;
                children[usize::from(digit)] = unfolded(self.apply(child, path, group)?);
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
        let follows = |item: &Item| shared.iter().enumerate().all(|(i, digit)| nibble(&item.0, depth + i) == *digit);
        let (inside, outside): (Vec<Item>, Vec<Item>) = items.iter().cloned().partition(follows);
        let outside = live(&outside); // deleting what is not there changes nothing
        if inside.is_empty() && outside.is_empty() {
            return Ok(Some(Node::Extension(shared, child)));
        }
        let child = if inside.is_empty() {
            child
        } else {
            path.extend_from_slice(&shared);
            let node = self.unfold_child(child, path)?;
            let node = self.apply(node, path, &inside)?;
            path.truncate(depth);
            unfolded(node)
        };
        if outside.is_empty() {
            return self.extend(shared, child, path);
        }
        // Keys leave the extension at its nibble `fork`: a branch takes its place there.
        let leaves =
            |item: &Item| shared.iter().enumerate().take_while(|(i, d)| nibble(&item.0, depth + i) == **d).count();
        let fork = outside.iter().map(leaves).min().unwrap_or(0);
        let mut children = empty_children();
        let rest = shared[fork + 1..].to_vec();
        path.extend_from_slice(&shared[..=fork]);
        children[usize::from(shared[fork])] = unfolded(self.extend(rest, child, path)?);
        path.truncate(depth + fork);
        let node = self.apply_to_branch(children, path, &outside)?;
        path.truncate(depth);
        self.extend(shared[..fork].to_vec(), unfolded(node), path)
    }

    /// `child`, which belongs at `path` + `shared`, with an extension of `shared` above it.
    fn extend(&mut self, shared: Vec<u8>, child: Child, path: &[u8]) -> Result<Option<Node>, StateError> {
        if shared.is_empty() {
            return self.unfold_child(child, path);
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
    fn collapse(&mut self, mut children: Box<[Child; 16]>, path: &mut Vec<u8>) -> Result<Option<Node>, StateError> {
        let mut left = (0..16).filter(|i| !matches!(children[*i], Child::Empty));
        let (Some(only), None) = (left.next(), left.next()) else {
            let empty = children.iter().all(|child| matches!(child, Child::Empty));
            return Ok(if empty { None } else { Some(Node::Branch(children)) });
        };
        let digit = only as u8;
        path.push(digit);
        let child = std::mem::replace(&mut children[only], Child::Empty);
        let child = self.unfold_child(child, path)?;
        path.pop();
        self.extend(vec![digit], unfolded(child), path)
    }
}

fn apply_to_leaf(rest: Vec<u8>, value: Vec<u8>, path: &[u8], items: &[Item]) -> Option<Node> {
    let nibbles: Vec<u8> = path.iter().chain(&rest).copied().collect();
    let key = B256::from_slice(&nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>());
    let mut live = live(items);
    if let Err(place) = items.binary_search_by(|item| item.0.cmp(&key)) {
        let place = live.partition_point(|item| item.0 < key).min(place);
        live.insert(place, (key, value));
    }
    fresh(path.len(), &live)
}

fn live(items: &[Item]) -> Vec<Item> {
    items.iter().filter(|item| !item.1.is_empty()).cloned().collect()
}

/// A new subtree at `depth` holding exactly these items, all with values.
fn fresh(depth: usize, items: &[Item]) -> Option<Node> {
    let (first, last) = (items.first()?, items.last()?);
    if items.len() == 1 {
        return Some(Node::Leaf((depth..64).map(|at| nibble(&first.0, at)).collect(), first.1.clone()));
    }
    let fork = (depth..64).find(|at| nibble(&first.0, *at) != nibble(&last.0, *at)).expect("keys differ");
    let mut children = empty_children();
    for group in items.chunk_by(|a, b| nibble(&a.0, fork) == nibble(&b.0, fork)) {
        children[usize::from(nibble(&group[0].0, fork))] = unfolded(fresh(fork + 1, group));
    }
    let branch = Node::Branch(children);
    if fork == depth {
        return Some(branch);
    }
    Some(Node::Extension((depth..fork).map(|at| nibble(&first.0, at)).collect(), Child::Unfolded(Box::new(branch))))
}

/// The node's RLP; nodes below it go into `rows` where they need one.
fn fold(node: &Node, owner: Option<B256>, path: &mut Vec<u8>, rows: &mut NodeChanges) -> Vec<u8> {
    let mut payload = Vec::with_capacity(540);
    match node {
        Node::Branch(children) => {
            let changed = children.iter().filter(|child| matches!(child, Child::Unfolded(_))).count();
            if path.len() < 2 && changed > 8 {
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
        }
        Node::Leaf(rest, value) => {
            rlp::put_bytes(&mut payload, &compact(rest, true));
            rlp::put_bytes(&mut payload, value);
        }
        Node::Extension(shared, child) => {
            rlp::put_bytes(&mut payload, &compact(shared, false));
            path.extend_from_slice(shared);
            fold_child(child, owner, path, &mut payload, rows);
            path.truncate(path.len() - shared.len());
        }
    }
    let mut raw = Vec::with_capacity(payload.len() + 3);
    rlp::put_list(&mut raw, &payload);
    raw
}

fn fold_child(child: &Child, owner: Option<B256>, path: &mut Vec<u8>, out: &mut Vec<u8>, rows: &mut NodeChanges) {
    match child {
        Child::Empty => out.push(0x80),
        Child::Folded(reference) => out.extend_from_slice(reference),
        Child::Unfolded(node) => {
            let raw = fold(node, owner, path, rows);
            if raw.len() < 32 {
                out.extend_from_slice(&raw);
            } else {
                out.push(0xa0);
                out.extend_from_slice(keccak256(&raw).as_slice());
                rows.push((node_key(owner, path), Some(raw.into())));
            }
        }
    }
}

/// A node from its RLP.
fn decode_node(raw: &Bytes) -> Result<Node, StateError> {
    let damaged = |_| StateError::Store("damaged trie node".to_owned());
    let mut items = Reader::list(raw).map_err(damaged)?;
    let mut parts: Vec<(&[u8], RlpItem)> = Vec::with_capacity(17);
    while !items.is_empty() {
        let start = items.rest;
        let item = items.item().map_err(damaged)?;
        parts.push((&start[..start.len() - items.rest.len()], item));
    }
    match parts.as_slice() {
        [(_, RlpItem::Bytes(path)), (whole, content)] if !path.is_empty() => {
            let mut nibbles: Vec<u8> = path.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
            let flag = nibbles[0];
            nibbles.drain(..if flag & 1 == 1 { 1 } else { 2 });
            match content {
                RlpItem::Bytes(value) if flag & 2 == 2 => Ok(Node::Leaf(nibbles, value.to_vec())),
                _ => Ok(Node::Extension(nibbles, Child::Folded(raw.slice_ref(whole)))),
            }
        }
        children if children.len() == 17 => {
            let mut all = empty_children();
            for (child, (whole, _)) in all.iter_mut().zip(children) {
                if *whole != [0x80] {
                    *child = Child::Folded(raw.slice_ref(whole));
                }
            }
            Ok(Node::Branch(all))
        }
        _ => Err(damaged("")),
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

fn compact(nibbles: &[u8], is_leaf: bool) -> Vec<u8> {
    let flag = if is_leaf { 0x20 } else { 0 };
    let (first, rest) =
        if nibbles.len() % 2 == 1 { (flag | 0x10 | nibbles[0], &nibbles[1..]) } else { (flag, nibbles) };
    std::iter::once(first).chain(rest.chunks(2).map(|pair| pair[0] << 4 | pair[1])).collect()
}

fn nibble(key: &B256, at: usize) -> u8 {
    let byte = key[at / 2];
    if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

fn hash_reference(root: B256) -> Bytes {
    [&[0xa0], root.as_slice()].concat().into()
}

fn unfolded(node: Option<Node>) -> Child {
    node.map_or(Child::Empty, |node| Child::Unfolded(Box::new(node)))
}

fn empty_children() -> Box<[Child; 16]> {
    Box::new([const { Child::Empty }; 16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default, Clone)]
    struct Rows(BTreeMap<Vec<u8>, Bytes>);

    impl ReadNode for Rows {
        fn node(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
            Ok(self.0.get(key).cloned())
        }
    }

    impl Rows {
        fn update(&mut self, root: B256, items: &[Item]) -> B256 {
            let (root, rows) = update(self, root, None, items).unwrap();
            for (key, row) in rows {
                match row {
                    Some(row) => self.0.insert(key, row),
                    None => self.0.remove(&key),
                };
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
        let (mut rows, mut root) = (Rows::default(), EMPTY_ROOT);
        let mut content = BTreeMap::new();
        for round in 0..60 {
            let mut items = BTreeMap::new();
            for _ in 0..random() % 40 {
                let key = key(random() % 300);
                let value = if random() % 3 == 0 { vec![] } else { vec![1; 1 + (random() % 60) as usize] };
                items.insert(key, value);
            }
            let items: Vec<Item> = items.into_iter().collect();
            for (key, value) in &items {
                if value.is_empty() {
                    content.remove(key)
                } else {
                    content.insert(*key, value.clone())
                };
            }
            root = rows.update(root, &items);
            let mut fresh_rows = Rows::default();
            let all: Vec<Item> = content.clone().into_iter().collect();
            assert_eq!(root, fresh_rows.update(EMPTY_ROOT, &all), "round {round}");
            assert_eq!(rows.0, fresh_rows.0, "round {round}");
        }
        let none: Vec<Item> = content.keys().map(|key| (*key, vec![])).collect();
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
