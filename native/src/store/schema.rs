//! Keys and values of the database that state needs; `l2engine/store/schema.py` has the whole table.

use crate::diff::{AccountDiff, StateDiff};
use crate::errors::StateError;
use crate::rlp::{self, Reader};
use crate::store::trie::EMPTY_ROOT;
use crate::view::Account;
use revm::primitives::{Address, B256, Bytes, KECCAK_EMPTY, U256, keccak256};

pub const FINALIZED: &[u8] = b"mfinalized";
pub const HEAD: &[u8] = b"mhead";
pub const BASE: &[u8] = b"mbase";
pub const PAST_STATE: &[u8] = b"mpast-state";
pub const PAST_PROOFS: &[u8] = b"mpast-proofs";

const EXISTS: u8 = 1;
const DESTROYED: u8 = 2;

fn join(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

pub fn account_key(owner: B256) -> Bytes {
    join(&[b"a", owner.as_slice()])
}

pub fn slot_key(owner: B256, slot: U256) -> Bytes {
    join(&[b"s", owner.as_slice(), hash_slot(slot).as_slice()])
}

pub fn hash_slot(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

pub fn code_key(hash: B256) -> Bytes {
    join(&[b"k", hash.as_slice()])
}

/// `digest` is keccak of an address or a topic.
pub fn log_key(digest: B256, number: u64) -> Bytes {
    [&b"l"[..], &digest[..8], &number.to_be_bytes()].concat().into()
}

pub fn number_key(hash: B256) -> Bytes {
    join(&[b"n", hash.as_slice()])
}

pub fn canonical_key(number: u64) -> Bytes {
    join(&[b"c", &number.to_be_bytes()])
}

pub fn base_chain_key(number: u64) -> Bytes {
    join(&[b"e", &number.to_be_bytes()])
}

pub fn changed_flat_key(number: u64) -> Bytes {
    join(&[b"x", &number.to_be_bytes()])
}

pub fn changed_nodes_key(number: u64) -> Bytes {
    join(&[b"X", &number.to_be_bytes()])
}

pub fn past_key(key: &[u8], number: u64) -> Bytes {
    join(&[b"p", key, &number.to_be_bytes()])
}

pub fn diff_key(number: u64, hash: B256) -> Bytes {
    join(&[b"d", &number.to_be_bytes(), hash.as_slice()])
}

/// The first key after all that start with `prefix`, which must not end in 0xff everywhere.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

pub fn u64_of(row: &[u8]) -> Result<u64, StateError> {
    row.try_into().map(u64::from_be_bytes).map_err(|_| StateError::Store("damaged number".to_owned()))
}

/// The keys of an "x" or "X" row; the first bytes of each give its length.
pub fn split_keys(joined: &[u8]) -> Result<Vec<&[u8]>, StateError> {
    let (mut keys, mut rest) = (Vec::new(), joined);
    let nibbles = |count: Option<&u8>| count.map(|count| usize::from(*count).div_ceil(2));
    while let Some(kind) = rest.first() {
        let length = match kind {
            b'a' => Some(33),
            b's' => Some(65),
            b'A' => nibbles(rest.get(1)).map(|bytes| 2 + bytes),
            b'S' => nibbles(rest.get(33)).map(|bytes| 34 + bytes),
            _ => None,
        };
        let Some((key, after)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return Err(StateError::Store("damaged list of changed keys".to_owned()));
        };
        keys.push(key);
        rest = after;
    }
    Ok(keys)
}

/// An account's flat row: slim RLP.
pub fn encode_account(account: &Account, root: B256) -> Bytes {
    let mut payload = Vec::with_capacity(112);
    rlp::put_u64(&mut payload, account.nonce);
    rlp::put_uint(&mut payload, account.balance);
    rlp::put_bytes(&mut payload, if root == EMPTY_ROOT { &[] } else { root.as_slice() });
    rlp::put_bytes(&mut payload, if account.code_hash == KECCAK_EMPTY { &[] } else { account.code_hash.as_slice() });
    let mut row = Vec::with_capacity(payload.len() + 2);
    rlp::put_list(&mut row, &payload);
    row.into()
}

/// An account and its storage root from a flat row.
pub fn decode_account(row: &[u8]) -> Result<(Account, B256), StateError> {
    let parse = || -> Result<(Account, B256), rlp::Reason> {
        let mut items = Reader::list(row)?;
        let (nonce, balance) = (items.u64()?, items.uint()?);
        let root = items.bytes()?;
        let code = items.bytes()?;
        let hash = |bytes: &[u8], empty: B256| if bytes.is_empty() { Some(empty) } else { B256::try_from(bytes).ok() };
        let root = hash(root, EMPTY_ROOT).ok_or("root")?;
        let code_hash = hash(code, KECCAK_EMPTY).ok_or("code")?;
        Ok((Account { nonce, balance, code_hash }, root))
    };
    parse().map_err(|_| StateError::Store("damaged account row".to_owned()))
}

/// The account as the state trie commits to it.
pub fn account_leaf(account: &Account, root: B256) -> Vec<u8> {
    let mut payload = Vec::with_capacity(112);
    rlp::put_u64(&mut payload, account.nonce);
    rlp::put_uint(&mut payload, account.balance);
    rlp::put_bytes(&mut payload, root.as_slice());
    rlp::put_bytes(&mut payload, account.code_hash.as_slice());
    let mut leaf = Vec::with_capacity(payload.len() + 2);
    rlp::put_list(&mut leaf, &payload);
    leaf
}

/// A slot's value as its storage trie commits to it; empty for 0.
pub fn slot_leaf(value: U256) -> Vec<u8> {
    let mut leaf = Vec::new();
    if !value.is_zero() {
        rlp::put_uint(&mut leaf, value);
    }
    leaf
}

/// A slot's flat row; None for 0.
pub fn slot_row(value: U256) -> Option<Bytes> {
    if value.is_zero() { None } else { Some(value.to_be_bytes_trimmed_vec().into()) }
}

/// The "d" row of a block.
pub fn encode_diff(parent: B256, root: B256, diff: &StateDiff) -> Bytes {
    let mut row = Vec::with_capacity(64 + 97 * diff.accounts.len());
    row.extend_from_slice(parent.as_slice());
    row.extend_from_slice(root.as_slice());
    for (address, change) in &diff.accounts {
        row.extend_from_slice(address.as_slice());
        let exists = if change.account.is_some() { EXISTS } else { 0 };
        row.push(exists | if change.destroyed { DESTROYED } else { 0 });
        if let Some(account) = &change.account {
            row.extend_from_slice(&account.nonce.to_be_bytes());
            row.extend_from_slice(&account.balance.to_be_bytes::<32>());
            row.extend_from_slice(account.code_hash.as_slice());
        }
        row.extend_from_slice(&(change.storage.len() as u32).to_be_bytes());
        for (slot, value) in &change.storage {
            row.extend_from_slice(&slot.to_be_bytes::<32>());
            row.extend_from_slice(&value.to_be_bytes::<32>());
        }
    }
    row.into()
}

/// Parent hash, state root and diff (without code) from a "d" row.
pub fn decode_diff(row: &[u8]) -> Result<(B256, B256, StateDiff), StateError> {
    fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
        let (head, tail) = rest.split_at_checked(count)?;
        *rest = tail;
        Some(head)
    }
    let mut rest = row;
    let mut parse = || -> Option<(B256, B256, StateDiff)> {
        let parent = B256::from_slice(take(&mut rest, 32)?);
        let root = B256::from_slice(take(&mut rest, 32)?);
        let mut accounts = Vec::new();
        while !rest.is_empty() {
            let address = Address::from_slice(take(&mut rest, 20)?);
            let flags = take(&mut rest, 1)?[0];
            let account = if flags & EXISTS != 0 {
                Some(Account {
                    nonce: u64::from_be_bytes(take(&mut rest, 8)?.try_into().ok()?),
                    balance: U256::from_be_slice(take(&mut rest, 32)?),
                    code_hash: B256::from_slice(take(&mut rest, 32)?),
                })
            } else {
                None
            };
            let count = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?) as usize;
            let slots = take(&mut rest, 64 * count)?;
            let storage =
                slots.chunks(64).map(|pair| (U256::from_be_slice(&pair[..32]), U256::from_be_slice(&pair[32..])));
            let change = AccountDiff { account, storage: storage.collect(), destroyed: flags & DESTROYED != 0 };
            accounts.push((address, change));
        }
        Some((parent, root, StateDiff { accounts, codes: Vec::new() }))
    };
    parse().ok_or_else(|| StateError::Store("damaged block diff".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_rows_and_diffs_come_back() {
        let account = Account { nonce: 7, balance: U256::from(1u64 << 40), code_hash: KECCAK_EMPTY };
        assert_eq!(decode_account(&encode_account(&account, EMPTY_ROOT)).unwrap(), (account, EMPTY_ROOT));
        let change =
            AccountDiff { account: Some(account), storage: vec![(U256::from(1), U256::from(2))], destroyed: true };
        let diff = StateDiff { accounts: vec![(Address::ZERO, change)], codes: vec![] };
        let row = encode_diff(EMPTY_ROOT, KECCAK_EMPTY, &diff);
        let (parent, root, again) = decode_diff(&row).unwrap();
        assert_eq!((parent, root), (EMPTY_ROOT, KECCAK_EMPTY));
        assert_eq!(encode_diff(parent, root, &again), row);
        assert!(decode_diff(&row[..row.len() - 1]).is_err());
    }

    #[test]
    fn keys_split_where_they_were_joined() {
        let keys = [
            account_key(B256::ZERO),
            slot_key(B256::ZERO, U256::ZERO),
            crate::store::node::node_key(None, &[1, 2, 3]).into(),
        ];
        let joined: Vec<u8> = keys.iter().flat_map(|key| key.to_vec()).collect();
        assert_eq!(split_keys(&joined).unwrap(), keys.iter().map(|key| key.as_ref()).collect::<Vec<_>>());
        assert!(split_keys(&joined[..40]).is_err());
    }
}
