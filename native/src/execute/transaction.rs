//! Transactions in their EIP-2718 envelopes, and who signed one; the twin of `l2engine/types/transaction.py`.

use crate::refusals::Reason as Refused;
use crate::rlp::{self, Reader, Reason};
use revm::context::TxEnv;
use revm::context::either::Either;
use revm::context::transaction::{
    AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization,
};
use revm::primitives::{Address, B256, Bytes, TxKind, U256, keccak256, uint};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, Secp256k1, VerifyOnly};
use std::sync::LazyLock;

pub const DEPOSIT: u8 = 0x7e;
/// Lagoon's list of gas refunds.
pub const POST_EXECUTION: u8 = 0x7d;
/// EIP-4844.
pub const GAS_PER_BLOB: u64 = 1 << 17;

const N: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
const HALF_N: U256 = uint!(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256);
static CURVE: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// Any transaction; fields that its type lacks keep their neutral value.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub kind: u8,
    pub raw: Bytes,
    /// None for a legacy transaction without replay protection, and for deposits.
    pub chain_id: Option<U256>,
    pub nonce: u64,
    pub max_priority_fee: U256,
    pub max_fee: U256,
    pub gas: u64,
    pub to: TxKind,
    pub value: U256,
    pub data: Bytes,
    pub access_list: AccessList,
    pub max_fee_per_blob_gas: U256,
    pub blob_hashes: Vec<B256>,
    pub authorizations: Vec<Either<SignedAuthorization, RecoveredAuthorization>>,
    pub deposit: Option<DepositFields>,
    signature: Signature,
    signing_hash: B256,
}

/// The fields that only deposits have.
#[derive(Clone, Debug)]
pub struct DepositFields {
    pub sender: Address,
    /// None where it is beyond 256 bits: it decodes, and is refused when it is executed.
    pub mint: Option<U256>,
    pub is_system: bool,
}

#[derive(Clone, Debug, Default)]
struct Signature {
    /// 2 means anything that is not a parity.
    y_parity: u8,
    r: U256,
    s: U256,
}

impl Transaction {
    /// The hash that names the transaction.
    pub fn hash(&self) -> B256 {
        keccak256(&self.raw)
    }

    pub fn blob_gas(&self) -> u64 {
        GAS_PER_BLOB * self.blob_hashes.len() as u64
    }

    /// The transaction as revm sees it; `price` is what it really pays.
    pub fn to_env(&self, sender: Address, price: U256) -> TxEnv {
        TxEnv {
            tx_type: self.kind,
            caller: sender,
            gas_limit: self.gas,
            gas_price: price.saturating_to(),
            kind: self.to,
            value: self.value,
            data: self.data.clone(),
            nonce: self.nonce,
            chain_id: self.chain_id.map(|id| id.saturating_to()),
            access_list: self.access_list.clone(),
            gas_priority_fee: None,
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.saturating_to(),
            authorization_list: self.authorizations.clone(),
        }
    }

    /// Whether an account signed it, which then pays for it.
    pub fn is_signed(&self) -> bool {
        !matches!(self.kind, DEPOSIT | POST_EXECUTION)
    }

    /// The account that signed it, or that a deposit names; the zero address where there is none.
    pub fn sender(&self) -> Result<Address, Refused> {
        if !self.is_signed() {
            return Ok(self.deposit.as_ref().map_or(Address::ZERO, |deposit| deposit.sender));
        }
        let Signature { y_parity, r, s } = &self.signature;
        if *y_parity > 1 || *s > HALF_N || s.is_zero() || r.is_zero() || *r >= N {
            return Err(Refused::InvalidSignature);
        }
        recover(self.signing_hash, *y_parity, *r, *s).ok_or(Refused::RecoveryFailed)
    }
}

/// The address whose key made this signature over `hash`.
pub fn recover(hash: B256, y_parity: u8, r: U256, s: U256) -> Option<Address> {
    let mut compact = [0u8; 64];
    compact[..32].copy_from_slice(&r.to_be_bytes::<32>());
    compact[32..].copy_from_slice(&s.to_be_bytes::<32>());
    let id = RecoveryId::try_from(i32::from(y_parity)).ok()?;
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    let key = CURVE.recover_ecdsa(Message::from_digest(hash.0), &signature).ok()?;
    Some(Address::from_raw_public_key(&key.serialize_uncompressed()[1..]))
}

/// The transaction in its envelope; the reason when it is none.
pub fn decode(raw: Bytes) -> Result<Transaction, Reason> {
    let kind = *raw.first().ok_or("typed transaction too short")?;
    let mut tx = Transaction {
        kind: if kind >= 0xc0 { 0 } else { kind },
        raw: raw.clone(),
        chain_id: None,
        nonce: 0,
        max_priority_fee: U256::ZERO,
        max_fee: U256::ZERO,
        gas: 0,
        to: TxKind::Create,
        value: U256::ZERO,
        data: Bytes::new(),
        access_list: AccessList::default(),
        max_fee_per_blob_gas: U256::ZERO,
        blob_hashes: Vec::new(),
        authorizations: Vec::new(),
        deposit: None,
        signature: Signature::default(),
        signing_hash: B256::ZERO,
    };
    match kind {
        0xc0.. => legacy(&mut tx, &raw)?,
        1..=4 => typed(&mut tx, &raw)?,
        DEPOSIT => deposit(&mut tx, &raw)?,
        POST_EXECUTION => drop(gas_refunds(&raw)?), // the refunds are handed to execution when the block begins
        _ => return Err("transaction type not supported"),
    }
    Ok(tx)
}

fn legacy(tx: &mut Transaction, raw: &Bytes) -> Result<(), Reason> {
    let mut items = Reader::list(raw)?;
    let payload = items.rest;
    tx.nonce = items.u64()?;
    tx.max_fee = items.uint()?;
    tx.max_priority_fee = tx.max_fee;
    tx.gas = items.u64()?;
    tx.to = to(&mut items)?;
    tx.value = items.uint()?;
    tx.data = raw.slice_ref(items.bytes()?);
    let mut signed = payload[..payload.len() - items.rest.len()].to_vec();
    let v = items.uint()?;
    let y_parity = if v >= U256::from(35) {
        let chain_id = (v - U256::from(35)) / U256::from(2);
        tx.chain_id = Some(chain_id);
        rlp::put_uint(&mut signed, chain_id);
        signed.extend_from_slice(&[0x80, 0x80]);
        if v.bit(0) { 0 } else { 1 }
    } else {
        match v.try_into() {
            Ok(27u8) => 0,
            Ok(28u8) => 1,
            _ => 2,
        }
    };
    tx.signature = Signature { y_parity, r: items.uint()?, s: items.uint()? };
    let mut list = Vec::with_capacity(signed.len() + 4);
    rlp::put_list(&mut list, &signed);
    tx.signing_hash = keccak256(&list);
    end(&items)
}

fn typed(tx: &mut Transaction, raw: &Bytes) -> Result<(), Reason> {
    let mut items = Reader::list(&raw[1..])?;
    let payload = items.rest;
    tx.chain_id = Some(items.uint()?);
    tx.nonce = items.u64()?;
    tx.max_priority_fee = items.uint()?;
    tx.max_fee = if tx.kind == 1 { tx.max_priority_fee } else { items.uint()? };
    tx.gas = items.u64()?;
    tx.to = if tx.kind < 3 { to(&mut items)? } else { TxKind::Call(Address::from(items.fixed::<20>()?)) };
    tx.value = items.uint()?;
    tx.data = raw.slice_ref(items.bytes()?);
    tx.access_list = access_list(items.sublist()?)?;
    if tx.kind == 3 {
        tx.max_fee_per_blob_gas = items.uint()?;
        let mut hashes = items.sublist()?;
        while !hashes.is_empty() {
            tx.blob_hashes.push(B256::from(hashes.fixed::<32>()?));
        }
    }
    if tx.kind == 4 {
        let mut list = items.sublist()?;
        while !list.is_empty() {
            tx.authorizations.push(Either::Right(authorization(list.sublist()?)?));
        }
    }
    let signed = &payload[..payload.len() - items.rest.len()];
    let y_parity = u8::try_from(items.uint()?).unwrap_or(2);
    tx.signature = Signature { y_parity, r: items.uint()?, s: items.uint()? };
    let mut list = Vec::with_capacity(signed.len() + 5);
    list.push(tx.kind);
    rlp::put_list(&mut list, signed);
    tx.signing_hash = keccak256(&list);
    end(&items)
}

fn deposit(tx: &mut Transaction, raw: &Bytes) -> Result<(), Reason> {
    let mut items = Reader::list(&raw[1..])?;
    items.fixed::<32>()?; // the source hash has no meaning for execution
    let sender = Address::from(items.fixed::<20>()?);
    tx.to = to(&mut items)?;
    let mint = U256::try_from_be_slice(items.digits()?);
    tx.value = items.uint()?;
    tx.gas = items.u64()?;
    let is_system = match items.u64()? {
        0 => false,
        1 => true,
        _ => return Err("isSystemTransaction out of range"),
    };
    tx.data = raw.slice_ref(items.bytes()?);
    tx.deposit = Some(DepositFields { sender, mint, is_system });
    end(&items)
}

/// The contents of a post-execution transaction: the gas that transactions of a block get back, by their indices.
#[derive(Default)]
pub struct GasRefunds {
    pub block_number: u64,
    pub indices: Vec<u64>,
    pub gas: Vec<u64>,
}

/// The content of a post-execution transaction in its envelope.
pub fn gas_refunds(raw: &[u8]) -> Result<GasRefunds, Reason> {
    let mut items = Reader::list(raw.get(1..).unwrap_or_default())?;
    if items.u64()? != 1 {
        return Err("unknown version of a post-execution transaction");
    }
    let mut refunds = GasRefunds { block_number: items.u64()?, ..Default::default() };
    let mut entries = items.sublist()?;
    while !entries.is_empty() {
        let mut entry = entries.sublist()?;
        refunds.indices.push(entry.u64()?);
        refunds.gas.push(entry.u64()?);
        end(&entry)?;
    }
    end(&items)?;
    Ok(refunds)
}

fn to(items: &mut Reader) -> Result<TxKind, Reason> {
    let bytes = items.bytes()?;
    match bytes.len() {
        0 => Ok(TxKind::Create),
        20 => Ok(TxKind::Call(Address::from_slice(bytes))),
        _ => Err("expected 20 bytes for address"),
    }
}

fn access_list(mut list: Reader) -> Result<AccessList, Reason> {
    let mut entries = Vec::new();
    while !list.is_empty() {
        let mut entry = list.sublist()?;
        let address = Address::from(entry.fixed::<20>()?);
        let mut keys = entry.sublist()?;
        end(&entry)?;
        let mut storage_keys = Vec::new();
        while !keys.is_empty() {
            storage_keys.push(B256::from(keys.fixed::<32>()?));
        }
        entries.push(AccessListItem { address, storage_keys });
    }
    Ok(AccessList(entries))
}

/// One EIP-7702 tuple, with the account that signed it; an invalid signature makes execution skip the tuple.
fn authorization(mut items: Reader) -> Result<RecoveredAuthorization, Reason> {
    let payload = items.rest;
    let chain_id = items.uint()?;
    let address = Address::from(items.fixed::<20>()?);
    let nonce = items.u64()?;
    let signed = &payload[..payload.len() - items.rest.len()];
    let y_parity = u8::try_from(items.uint()?).map_err(|_| "yParity out of range")?;
    let (r, s) = (items.uint()?, items.uint()?);
    end(&items)?;
    let mut message = vec![0x05];
    rlp::put_list(&mut message, signed);
    Ok(recover_authorization(Authorization { chain_id, address, nonce }, keccak256(&message), y_parity, r, s))
}

/// The tuple with its authority, when the signature is valid and its s in the lower half.
pub fn recover_authorization(
    inner: Authorization,
    hash: B256,
    y_parity: u8,
    r: U256,
    s: U256,
) -> RecoveredAuthorization {
    let authority = if s > HALF_N || y_parity > 1 { None } else { recover(hash, y_parity, r, s) };
    let authority = authority.map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(inner, authority)
}

fn end(items: &Reader) -> Result<(), Reason> {
    if items.is_empty() { Ok(()) } else { Err("too many items") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::primitives::{address, bytes};

    // EIP-155's own example.
    const EXAMPLE: Bytes = bytes!(
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    );

    #[test]
    fn recovers_the_sender_of_a_protected_transaction() {
        let tx = decode(EXAMPLE).unwrap();
        assert_eq!(tx.chain_id, Some(U256::from(1)));
        assert_eq!(tx.sender(), Ok(address!("0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F")));
    }

    #[test]
    fn refuses_trailing_bytes_and_unknown_types() {
        let mut longer = EXAMPLE.to_vec();
        longer.push(0);
        assert!(decode(longer.into()).is_err());
        assert!(decode(bytes!("05c0")).is_err());
        assert!(decode(Bytes::new()).is_err());
    }

    #[test]
    fn post_execution_is_read_strictly() {
        assert!(decode(bytes!("7dc6012ac3c20307")).is_ok());
        assert!(decode(bytes!("7dc3012ac0")).is_ok()); // a rule of the block refuses it
        for bad in [
            bytes!("7d"),
            bytes!("7dc0"),
            bytes!("7dc6022ac3c20307"),   // version
            bytes!("7dc7012ac3c2030780"), // a fourth field
            bytes!("7dc6012ac3c2030700"), // bytes after
            bytes!("7dc8812ac0"),         // too short
            bytes!("7dc7012ac4c3030700"), // three fields in an entry
            bytes!("7dc6012ac3c20007"),   // leading zero
        ] {
            assert!(decode(bad.clone()).is_err(), "{bad}");
        }
    }
}
