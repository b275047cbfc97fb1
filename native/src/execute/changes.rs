//! A block's changes, relative to its parent's state.

use crate::diff::{AccountDiff, StateDiff};
use crate::errors::StateError;
use crate::view::Source;
use revm::Database;
use revm::context::Journal;
use revm::primitives::{AddressMap, B256, KECCAK_EMPTY, U256};

/// The journal compared with the values that the block read first.
pub fn changes(journal: &mut Journal<Source>) -> Result<StateDiff, StateError> {
    let originals = &journal.database.originals;
    let mut accounts = Vec::new();
    let mut codes: AddressMap<B256> = AddressMap::default();
    for (address, account) in &journal.inner.state {
        let original = originals.get(address);
        let before = original.and_then(|original| original.account);
        let after = journal.database.current(address, &account.info);
        let destroyed = before.is_some() && account.is_selfdestructed();
        let slot_before = |slot: &U256| match original {
            Some(original) if !destroyed => original.slots.get(slot).copied().unwrap_or_default(),
            _ => U256::ZERO,
        };
        let mut storage: Vec<(U256, U256)> = account
            .storage
            .iter()
            .map(|(slot, value)| (*slot, value.present_value))
            .filter(|(slot, value)| *value != slot_before(slot))
            .collect();
        if after == before && storage.is_empty() && !destroyed {
            continue;
        }
        storage.sort_unstable_by_key(|(slot, _)| *slot);
        if let Some(after) = &after
            && after.code_hash != KECCAK_EMPTY
            && before.is_none_or(|before| before.code_hash != after.code_hash)
        {
            codes.insert(*address, after.code_hash);
        }
        accounts.push((*address, AccountDiff { account: after, storage, destroyed }));
    }
    accounts.sort_unstable_by_key(|(address, _)| *address);
    let mut deployed = Vec::with_capacity(codes.len());
    for (address, hash) in codes {
        let known = journal.inner.state[&address].info.code.clone();
        let code = match known {
            Some(code) => code,
            None => journal.database.code_by_hash(hash)?,
        };
        deployed.push((hash, code.original_bytes()));
    }
    deployed.sort_unstable();
    deployed.dedup();
    Ok(StateDiff { accounts, codes: deployed })
}
