//! A block's changes, as data: execution finds them, the store keeps them.

use crate::view::Account;
use revm::primitives::{Address, B256, Bytes, U256};

/// One account after the block, as far as the block changed it.
#[derive(Clone, Debug, Default)]
pub struct AccountDiff {
    /// None when it is gone.
    pub account: Option<Account>,
    /// Changed slots in order, with their new values.
    pub storage: Vec<(U256, U256)>,
    /// All storage from before the block vanishes first.
    pub destroyed: bool,
}

/// All that a block changed.
#[derive(Clone, Debug, Default)]
pub struct StateDiff {
    /// In order of address.
    pub accounts: Vec<(Address, AccountDiff)>,
    pub codes: Vec<(B256, Bytes)>,
}
