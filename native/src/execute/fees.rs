//! The fees of a transaction beyond its gas; the twin of `l2engine/rules/fees.py`. Integers only, rounded down.

use crate::fork::{L1FeeRule, L1Parameters, OperatorFeeRule};
use revm::primitives::U256;

const FJORD_INTERCEPT: i64 = -42_585_600;
const FJORD_COEFFICIENT: i64 = 836_500;
const FJORD_MINIMUM: i64 = 100_000_000;

/// The fee for publishing `raw`, a signed EIP-2718 transaction, on L1.
///
/// Saturates at 2^256, far above any balance.
pub fn l1_fee(rule: L1FeeRule, raw: &[u8], p: &L1Parameters) -> U256 {
    let ecotone = matches!(rule, L1FeeRule::Ecotone | L1FeeRule::Fjord);
    match rule {
        L1FeeRule::None => U256::ZERO,
        _ if !ecotone || p.lacks_ecotone() => {
            let gas = U256::from(calldata_gas(rule == L1FeeRule::Bedrock, raw)).saturating_add(p.overhead);
            mul(mul(gas, p.base_fee), p.scalar) / U256::from(1_000_000)
        }
        _ => {
            let price = mul(U256::from(16u64 * u64::from(p.base_fee_scalar)), p.base_fee)
                .saturating_add(mul(U256::from(p.blob_base_fee_scalar), p.blob_base_fee));
            if rule == L1FeeRule::Ecotone {
                mul(U256::from(calldata_gas(false, raw)), price) / U256::from(16_000_000)
            } else {
                mul(U256::from(estimated_size_scaled(raw)), price) / U256::from(1_000_000_000_000u64)
            }
        }
    }
}

/// The operator fee for `gas`.
pub fn operator_fee(rule: OperatorFeeRule, gas: u64, p: &L1Parameters) -> U256 {
    let product = U256::from(gas) * U256::from(p.operator_fee_scalar);
    let constant = U256::from(p.operator_fee_constant);
    match rule {
        OperatorFeeRule::None => U256::ZERO,
        OperatorFeeRule::Isthmus => product / U256::from(1_000_000) + constant,
        OperatorFeeRule::Jovian => product * U256::from(100) + constant,
    }
}

/// The estimated compressed size of a transaction in bytes, at least 100; the DA footprint counts it.
pub fn da_size(raw: &[u8]) -> u64 {
    estimated_size_scaled(raw) / 1_000_000
}

fn mul(a: U256, b: U256) -> U256 {
    a.saturating_mul(b)
}

fn calldata_gas(count_signature_twice: bool, raw: &[u8]) -> u64 {
    let zeros = raw.iter().filter(|byte| **byte == 0).count() as u64;
    let others = raw.len() as u64 - zeros + if count_signature_twice { 68 } else { 0 };
    4 * zeros + 16 * others
}

/// Fjord's linear regression over the FastLZ length, times 10^6.
fn estimated_size_scaled(raw: &[u8]) -> u64 {
    (FJORD_INTERCEPT + FJORD_COEFFICIENT * i64::from(fast_lz_length(raw))).max(FJORD_MINIMUM) as u64
}

/// The length of `data` after FastLZ compression at level 1 (OP specs, fjord/exec-engine "FastLZ implementation").
pub fn fast_lz_length(data: &[u8]) -> u32 {
    let size = data.len();
    if size < 13 {
        return literals(size);
    }
    let (limit, end) = (size - 13, size - 4);
    let word = |at: usize| u32::from(data[at]) | u32::from(data[at + 1]) << 8 | u32::from(data[at + 2]) << 16;
    let slot = |value: u32| ((2_654_435_769u32.wrapping_mul(value)) >> 19) as usize & 0x1fff;
    let mut table = [0u32; 8192];
    let (mut length, mut anchor, mut position) = (0, 0, 2);
    while position < limit {
        let mut reference;
        loop {
            let value = word(position);
            let entry = &mut table[slot(value)];
            reference = *entry as usize;
            *entry = position as u32;
            if position >= limit || (position - reference <= 0x1fff && value == word(reference)) {
                break;
            }
            position += 1;
        }
        if position + 1 >= limit {
            break;
        }
        if position > anchor {
            length += literals(position - anchor);
        }
        let (start, mut equal) = (position + 3, 0);
        while start + equal < end && data[reference + 3 + equal] == data[start + equal] {
            equal += 1;
        }
        let extension = if start + equal < end { equal + 1 } else { equal };
        length += matched(extension);
        position += extension;
        for place in [position, position + 1] {
            table[slot(word(place))] = place as u32;
        }
        position += 2;
        anchor = position;
    }
    length + literals(size - anchor)
}

fn literals(count: usize) -> u32 {
    let (full, rest) = (count / 32, count % 32);
    (33 * full + if rest > 0 { rest + 1 } else { 0 }) as u32
}

fn matched(extension: usize) -> u32 {
    let length = extension.saturating_sub(1);
    (3 * (length / 262) + if length % 262 >= 6 { 3 } else { 2 }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_lz_of_short_and_repeated_data() {
        assert_eq!(fast_lz_length(&[]), 0);
        assert_eq!(fast_lz_length(&[1]), 2);
        assert_eq!(fast_lz_length(&[7; 1000]), 21);
    }

    #[test]
    fn operator_fees_by_rule() {
        let p = L1Parameters {
            operator_fee_scalar: 1_439_103_868,
            operator_fee_constant: 1_256_417_826_609_331_460,
            ..Default::default()
        };
        assert_eq!(operator_fee(OperatorFeeRule::Isthmus, 1_000, &p), U256::from(1_256_417_826_610_770_563u64));
        assert_eq!(operator_fee(OperatorFeeRule::None, 1_000, &p), U256::ZERO);
    }
}
