//! The precompiles of a fork row, with its limits on input lengths and the moves that eth_call's overrides ask for.

use crate::fork::Fork;
use revm::context::{Cfg, ContextTr};
use revm::handler::{PrecompileProvider, precompile_output_to_interpreter_result};
use revm::interpreter::{CallInputs, Gas, InstructionResult, InterpreterResult};
use revm::precompile::Precompiles;
use revm::primitives::{Address, AddressMap};
use std::sync::Arc;

/// The table of a fork row, limited and moved.
pub struct RowPrecompiles {
    table: Arc<Precompiles>,
    limits: Arc<Vec<(Address, usize)>>,
    /// New address to old; an old address that is moved away maps to nothing.
    moved: AddressMap<Option<Address>>,
    spec_was_set: bool,
}

impl RowPrecompiles {
    pub fn new(fork: &Fork) -> Self {
        Self {
            table: fork.precompiles.clone(),
            limits: fork.input_limits.clone(),
            moved: AddressMap::default(),
            spec_was_set: false,
        }
    }

    /// Let the precompile at `from` answer at `to` instead.
    pub fn relocate(&mut self, from: Address, to: Address) {
        self.moved.insert(from, None);
        self.moved.insert(to, Some(from));
    }

    fn real_address(&self, address: &Address) -> Option<Address> {
        if self.moved.is_empty() {
            return Some(*address);
        }
        self.moved.get(address).copied().unwrap_or(Some(*address))
    }
}

impl<CTX: ContextTr> PrecompileProvider<CTX> for RowPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, _: <CTX::Cfg as Cfg>::Spec) -> bool {
        !std::mem::replace(&mut self.spec_was_set, true)
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let Some(address) = self.real_address(&inputs.bytecode_address) else { return Ok(None) };
        let Some(precompile) = self.table.get(&address) else { return Ok(None) };
        let input = inputs.input.as_bytes(context);
        if self.limits.iter().any(|(limited, limit)| *limited == address && input.len() > *limit) {
            let mut gas = Gas::new(inputs.gas_limit);
            gas.spend_all();
            return Ok(Some(InterpreterResult {
                result: InstructionResult::PrecompileError,
                gas,
                output: Default::default(),
            }));
        }
        let output =
            precompile.execute(&input, inputs.gas_limit, inputs.reservoir).map_err(|error| error.to_string())?;
        Ok(Some(precompile_output_to_interpreter_result(output, inputs.gas_limit)))
    }

    fn warm_addresses(&self) -> Box<impl Iterator<Item = Address>> {
        let moved = &self.moved;
        let kept = self.table.addresses().copied().filter(|address| !moved.contains_key(address));
        Box::new(kept.chain(moved.iter().filter_map(|(to, from)| from.map(|_| *to))))
    }

    fn contains(&self, address: &Address) -> bool {
        self.real_address(address).is_some_and(|real| self.table.contains(&real))
    }
}
