//! State as execution sees it: `StateView`, the database that revm reads, which remembers what it read, and reads of
//! the journal above it.

use crate::errors::StateError;
use lru::LruCache;
use revm::Database;
use revm::bytecode::Bytecode;
use revm::context::Journal;
use revm::primitives::{Address, AddressMap, AddressSet, B256, Bytes, HashMap, KECCAK_EMPTY, U256};
use revm::state::AccountInfo;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex};

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub nonce: u64,
    pub balance: U256,
    pub code_hash: B256,
}

impl Account {
    /// Whether EIP-161 removes the account when it is touched.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }
}

impl From<&AccountInfo> for Account {
    fn from(info: &AccountInfo) -> Self {
        Self { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash }
    }
}

/// The state after one block, read-only.
pub trait StateView: Send + Sync {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;
    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError>;
    fn code(&self, code_hash: B256) -> Result<Bytes, StateError>;
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError>;
    /// Whether the account has any slot that is not zero.
    fn has_storage(&self, address: Address) -> Result<bool, StateError>;

    /// Whether code known from elsewhere may be used instead of asking this view.
    fn shares_code(&self) -> bool {
        true
    }
}

/// Analysed code by hash, shared by all blocks and calls: finding the jump targets costs more than reading the code.
static ANALYSED: LazyLock<Mutex<LruCache<B256, Bytecode>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(NonZeroUsize::new(2_048).unwrap())));

/// Code ready to run; bytes that only look like a delegation are ordinary code.
pub fn analyse(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

/// An account as it was before the block, with the slots that were read.
#[derive(Default)]
pub struct Original {
    pub account: Option<Account>,
    pub slots: HashMap<U256, U256>,
}

/// The database that revm reads. Its journal asks for each account and slot once a block, so the answers are the block's
/// starting values, kept for the diff.
pub struct Source {
    pub view: Arc<dyn StateView>,
    pub originals: AddressMap<Original>,
    /// Accounts that some transaction of the block removed.
    pub gone: AddressSet,
}

impl Source {
    pub fn new(view: Arc<dyn StateView>) -> Self {
        Self { view, originals: AddressMap::default(), gone: AddressSet::default() }
    }

    /// The account as the journal has it; None for an empty one that was not there before the block, or that some
    /// transaction removed.
    pub fn current(&self, address: &Address, info: &AccountInfo) -> Option<Account> {
        let before = || self.originals.get(address).and_then(|original| original.account);
        let is_none = info.is_empty() && (self.gone.contains(address) || before().is_none());
        (!is_none).then(|| Account::from(info))
    }
}

impl Database for Source {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        let account = self.view.account(address)?;
        self.originals.entry(address).or_default().account = account;
        Ok(account.map(|a| AccountInfo {
            balance: a.balance,
            nonce: a.nonce,
            code_hash: a.code_hash,
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, StateError> {
        if code_hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        if self.view.shares_code()
            && let Some(known) = ANALYSED.lock().unwrap().get(&code_hash)
        {
            return Ok(known.clone());
        }
        let code = analyse(self.view.code(code_hash)?);
        ANALYSED.lock().unwrap().put(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        let value = self.view.storage(address, slot)?;
        self.originals.entry(address).or_default().slots.insert(slot, value);
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        Ok(self.view.block_hash(number)?.unwrap_or_default())
    }
}

// ---- the current contents of a journal, read without warming it ----

/// An account, None where there is none.
pub fn account_now(journal: &Journal<Source>, address: Address) -> Result<Option<Account>, StateError> {
    let Some(found) = journal.inner.state.get(&address) else { return journal.database.view.account(address) };
    Ok(journal.database.current(&address, &found.info))
}

/// A slot's value.
pub fn storage_now(journal: &Journal<Source>, address: Address, slot: U256) -> Result<U256, StateError> {
    let source = &journal.database;
    if let Some(account) = journal.inner.state.get(&address) {
        if let Some(slot) = account.storage.get(&slot) {
            return Ok(slot.present_value);
        }
        if account.is_created() || source.gone.contains(&address) {
            return Ok(U256::ZERO);
        }
    }
    source.view.storage(address, slot)
}

/// Code, whether it was there before or has just been deployed.
pub fn code_now(journal: &Journal<Source>, code_hash: B256) -> Result<Bytes, StateError> {
    let mut accounts = journal.inner.state.values();
    let deployed = accounts.find(|account| account.info.code_hash == code_hash && account.info.code.is_some());
    match deployed.and_then(|account| account.info.code.as_ref()) {
        Some(code) => Ok(code.original_bytes()),
        None => journal.database.view.code(code_hash),
    }
}
