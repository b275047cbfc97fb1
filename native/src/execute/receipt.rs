//! Receipts and their consensus encodings; the twin of `l2engine/types/receipt.py`.

use crate::execute::transaction::DEPOSIT;
use crate::rlp;
use revm::primitives::{Log, keccak256};

pub const BLOOM_BYTES: usize = 256;
pub type Bloom = [u8; BLOOM_BYTES];

/// The outcome of an executed transaction.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    pub kind: u8,
    pub success: bool,
    pub cumulative_gas: u64,
    pub logs: Vec<Log>,
    pub deposit_nonce: Option<u64>,
    pub deposit_version: Option<u64>,
}

impl Receipt {
    pub fn bloom(&self) -> Bloom {
        let mut bloom = [0; BLOOM_BYTES];
        for log in &self.logs {
            add_to_bloom(&mut bloom, log.address.as_slice());
            for topic in log.topics() {
                add_to_bloom(&mut bloom, topic.as_slice());
            }
        }
        bloom
    }

    /// The form that peers exchange, with deposit nonce and version when known.
    pub fn encode(&self, bloom: &Bloom) -> Vec<u8> {
        self.encode_with(bloom, self.kind == DEPOSIT)
    }

    /// The leaf of the receipts trie: between Regolith and Canyon without the deposit nonce.
    pub fn encode_for_root(&self, bloom: &Bloom) -> Vec<u8> {
        self.encode_with(bloom, self.kind == DEPOSIT && self.deposit_version.is_some())
    }

    fn encode_with(&self, bloom: &Bloom, tail: bool) -> Vec<u8> {
        let mut logs = Vec::new();
        let (mut log_payload, mut topics) = (Vec::new(), Vec::new());
        for log in &self.logs {
            log_payload.clear();
            topics.clear();
            rlp::put_bytes(&mut log_payload, log.address.as_slice());
            for topic in log.topics() {
                rlp::put_bytes(&mut topics, topic.as_slice());
            }
            rlp::put_list(&mut log_payload, &topics);
            rlp::put_bytes(&mut log_payload, &log.data.data);
            rlp::put_list(&mut logs, &log_payload);
        }
        let mut payload = Vec::with_capacity(300 + logs.len());
        rlp::put_u64(&mut payload, u64::from(self.success));
        rlp::put_u64(&mut payload, self.cumulative_gas);
        rlp::put_bytes(&mut payload, bloom);
        rlp::put_list(&mut payload, &logs);
        if let (true, Some(nonce)) = (tail, self.deposit_nonce) {
            rlp::put_u64(&mut payload, nonce);
            if let Some(version) = self.deposit_version {
                rlp::put_u64(&mut payload, version);
            }
        }
        let mut out = Vec::with_capacity(payload.len() + 5);
        if self.kind != 0 {
            out.push(self.kind);
        }
        rlp::put_list(&mut out, &payload);
        out
    }
}

fn add_to_bloom(bloom: &mut Bloom, item: &[u8]) {
    let digest = keccak256(item);
    for pair in [0, 2, 4] {
        let bit = usize::from(u16::from_be_bytes([digest[pair], digest[pair + 1]]) & 2047);
        bloom[BLOOM_BYTES - 1 - bit / 8] |= 1 << (bit % 8);
    }
}
