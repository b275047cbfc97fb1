//! One node of a Merkle-Patricia trie, its RLP, and the database key that its path gives it.
//!
//! Keys have 32 bytes, so a branch never has a value. Source: Yellow Paper, appendix D.

use crate::errors::StateError;
use crate::rlp::{self, Item, Reader};
use revm::primitives::{B256, keccak256};

pub enum Node {
    Branch(Box<Children>),
    /// The rest of the key in nibbles, and the value.
    Leaf(Vec<u8>, Vec<u8>),
    /// Shared nibbles, and the branch below.
    Extension(Vec<u8>, Child),
}

pub type Children = [Child; 16];

/// A parent's reference to its child.
pub enum Child {
    Empty,
    Folded(Reference),
    Unfolded(Box<Node>),
}

/// A child as its parent's RLP has it: a hash (33 bytes), or a node shorter than 32 bytes.
#[derive(Clone, Copy)]
pub struct Reference {
    length: u8,
    bytes: [u8; 33],
}

impl Reference {
    pub fn to_hash(hash: B256) -> Self {
        let mut bytes = [0xa0; 33];
        bytes[1..].copy_from_slice(hash.as_slice());
        Self { length: 33, bytes }
    }

    /// To a node with this RLP.
    pub fn to(raw: &[u8]) -> Self {
        if raw.len() < 32 { Self::copy(raw).expect("short") } else { Self::to_hash(keccak256(raw)) }
    }

    fn copy(raw: &[u8]) -> Option<Self> {
        let mut bytes = [0; 33];
        bytes.get_mut(..raw.len())?.copy_from_slice(raw);
        Some(Self { length: raw.len() as u8, bytes })
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The hash of a node that has a row of its own.
    pub fn hash(&self) -> Option<&[u8]> {
        (self.length == 33).then(|| &self.bytes[1..])
    }
}

impl From<Option<Node>> for Child {
    fn from(node: Option<Node>) -> Self {
        node.map_or(Self::Empty, |node| Self::Unfolded(Box::new(node)))
    }
}

pub fn empty_children() -> Box<Children> {
    Box::new([const { Child::Empty }; 16])
}

/// The database key of the node at `path` (nibbles) of the account trie (no owner) or of an account's storage trie.
pub fn node_key(owner: Option<B256>, path: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + path.len().div_ceil(2) + if owner.is_some() { 32 } else { 0 });
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

/// A node from its RLP.
pub fn decode(raw: &[u8]) -> Result<Node, StateError> {
    let damaged = |_| StateError::Store("damaged trie node".to_owned());
    let mut items = Reader::list(raw).map_err(damaged)?;
    let mut pair = items;
    let path = pair.item().map_err(damaged)?;
    let second = pair.rest;
    let content = pair.item().map_err(damaged)?;
    if pair.is_empty() {
        return decode_pair(path, second, content).ok_or_else(|| damaged(""));
    }
    let mut children = empty_children();
    for child in children.iter_mut() {
        let start = items.rest;
        items.item().map_err(damaged)?;
        let whole = &start[..start.len() - items.rest.len()];
        if whole != [0x80] {
            *child = Child::Folded(Reference::copy(whole).ok_or_else(|| damaged(""))?);
        }
    }
    match items.item() {
        Ok(Item::Bytes([])) if items.is_empty() => Ok(Node::Branch(children)),
        _ => Err(damaged("")),
    }
}

/// A leaf or an extension from its two items; `whole` is the second with its RLP header.
fn decode_pair(path: Item, whole: &[u8], content: Item) -> Option<Node> {
    let Item::Bytes(path) = path else { return None };
    let flag = path.first()? >> 4;
    let skip = if flag & 1 == 1 { 1 } else { 2 };
    let nibbles = path.iter().flat_map(|byte| [byte >> 4, byte & 15]).skip(skip).collect();
    match content {
        Item::Bytes(value) if flag & 2 == 2 => Some(Node::Leaf(nibbles, value.to_vec())),
        _ => Some(Node::Extension(nibbles, Child::Folded(Reference::copy(whole)?))),
    }
}

/// The RLP of a branch whose children's references, and the empty value, are the payload.
pub fn encode_branch(payload: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(payload.len() + 3);
    rlp::put_list(&mut raw, payload);
    raw
}

/// The RLP of a leaf: the rest of the key in nibbles, and the value.
pub fn encode_leaf(rest: &[u8], value: &[u8]) -> Vec<u8> {
    encode_pair(rest, true, |payload| rlp::put_bytes(payload, value))
}

/// The RLP of an extension: shared nibbles, and the reference to the branch below.
pub fn encode_extension(shared: &[u8], below: &[u8]) -> Vec<u8> {
    encode_pair(shared, false, |payload| payload.extend_from_slice(below))
}

fn encode_pair(nibbles: &[u8], is_leaf: bool, put_content: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = Vec::with_capacity(160);
    rlp::put_bytes(&mut payload, &compact(nibbles, is_leaf));
    put_content(&mut payload);
    let mut raw = Vec::with_capacity(payload.len() + 2);
    rlp::put_list(&mut raw, &payload);
    raw
}

/// Nibbles as bytes, with a flag for the kind of node and for an odd count in front.
pub fn compact(nibbles: &[u8], is_leaf: bool) -> Vec<u8> {
    let flag = if is_leaf { 0x20 } else { 0 };
    let (first, rest) =
        if nibbles.len() % 2 == 1 { (flag | 0x10 | nibbles[0], &nibbles[1..]) } else { (flag, nibbles) };
    std::iter::once(first).chain(rest.chunks(2).map(|pair| pair[0] << 4 | pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_leaf_and_the_shortest_branch_come_back() {
        let raw = encode_leaf(&[7; 64], &[9; 100]);
        let Node::Leaf(rest, value) = decode(&raw).unwrap() else { panic!("a leaf") };
        assert_eq!((rest, value), (vec![7; 64], vec![9; 100]));
        let raw = encode_branch(&[0x80; 17]);
        let Node::Branch(children) = decode(&raw).unwrap() else { panic!("a branch") };
        assert!(children.iter().all(|child| matches!(child, Child::Empty)));
        assert!(decode(&raw[..raw.len() - 1]).is_err());
        assert!(decode(&encode_branch(&[0x80; 16])).is_err());
    }
}
