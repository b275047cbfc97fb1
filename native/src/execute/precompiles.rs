//! The precompiles of a fork row, with its limits on input lengths and without those that a call's overrides replace.

use crate::fork::Fork;
use revm::context::{Cfg, ContextTr};
use revm::handler::{PrecompileProvider, precompile_output_to_interpreter_result};
use revm::interpreter::{CallInputs, Gas, InstructionResult, InterpreterResult};
use revm::precompile::Precompiles;
use revm::primitives::Address;
use std::collections::HashSet;
use std::sync::Arc;

/// The table of a fork row, limited and with gaps.
pub struct RowPrecompiles {
    table: Arc<Precompiles>,
    limits: Arc<Vec<(Address, usize)>>,
    /// Addresses that run the code of their account.
    replaced: HashSet<Address>,
    spec_was_set: bool,
}

impl RowPrecompiles {
    pub fn new(fork: &Fork) -> Self {
        Self {
            table: fork.precompiles.clone(),
            limits: fork.precompile_input_limits.clone(),
            replaced: HashSet::new(),
            spec_was_set: false,
        }
    }

    /// Let the account at `address` run its own code. It stays as warm as a precompile.
    pub fn replace(&mut self, address: Address) {
        self.replaced.insert(address);
    }
}

impl<CTX: ContextTr> PrecompileProvider<CTX> for RowPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, _: <CTX::Cfg as Cfg>::Spec) -> bool {
        !std::mem::replace(&mut self.spec_was_set, true)
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let address = inputs.bytecode_address;
        let Some(precompile) = self.table.get(&address) else { return Ok(None) };
        if self.replaced.contains(&address) {
            return Ok(None);
        }
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
        Box::new(self.table.addresses().copied())
    }

    fn contains(&self, address: &Address) -> bool {
        self.table.contains(address) && !self.replaced.contains(address)
    }
}
