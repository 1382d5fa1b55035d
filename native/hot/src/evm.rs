//! Calls of contracts as EIP-1559 transactions, under a certificate that lists the contracts and functions.

use capstan_keys::{rlp_integer, Envelope};

use crate::guard::Guard;
use crate::limits::{Call as Listed, Request};
use crate::{Frames, Key, Refusal};

/// A call to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    pub nonce: u64,
    pub to: [u8; 20],
    pub value_wei: u128,
    pub data: &'a [u8],
    pub gas_limit: u64,
    pub max_fee_per_gas_wei: u128,
    pub max_priority_fee_per_gas_wei: u128,
}

/// Signs calls on one chain for one account.
pub struct Caller {
    chain_id: u64,
    key: Option<Key>,
    guard: Guard,
    calls: Vec<Listed>,
    fee_max: u128,
    body: Vec<u8>,
}

impl Caller {
    pub fn new(chain_id: u64, key: Key, guard: Guard) -> Result<Self, Refusal> {
        if !matches!(key, Key::Secp256k1(_)) {
            return Err(Refusal::Unsupported("transactions are signed by secp256k1 keys"));
        }
        guard.check_scope(&format!("chain/{chain_id}"))?;
        let Some(warden) = guard.warden() else {
            return Err(Refusal::Untrusted("secp256k1 keys sign under a certificate of custody only"));
        };
        let (calls, fee_max) = {
            let warden = crate::guard::lock(warden);
            (warden.certificate().calls.clone(), warden.certificate().fee_max)
        };
        Ok(Self { chain_id, key: Some(key), guard, calls, fee_max, body: Vec::with_capacity(1_024) })
    }

    /// Appends the signed transaction.
    pub fn sign(&mut self, call: &Call<'_>, now_ns: i64, out: &mut Frames) -> Result<(), Refusal> {
        let key = self.key.as_ref().ok_or(Refusal::Closed)?;
        let amount = self.amount(call)?;
        let fee = u128::from(call.gas_limit).checked_mul(call.max_fee_per_gas_wei);
        if fee.is_none_or(|fee| fee > self.fee_max) || call.max_priority_fee_per_gas_wei > call.max_fee_per_gas_wei {
            return Err(Refusal::OrderLimit);
        }
        self.guard.permit_value(Request::Spend(amount), now_ns)?;
        let body = &mut self.body;
        body.clear();
        rlp_integer(body, &self.chain_id.to_be_bytes());
        rlp_integer(body, &call.nonce.to_be_bytes());
        rlp_integer(body, &call.max_priority_fee_per_gas_wei.to_be_bytes());
        rlp_integer(body, &call.max_fee_per_gas_wei.to_be_bytes());
        rlp_integer(body, &call.gas_limit.to_be_bytes());
        body.push(0x80 + 20);
        body.extend(call.to);
        rlp_integer(body, &call.value_wei.to_be_bytes());
        bytes(body, call.data);
        // An empty access list.
        body.push(0xC0);
        let envelope = Envelope::Typed(2);
        let signature = key.sign_digest(&envelope.digest(body))?;
        out.bytes.extend(envelope.assemble(body, &signature));
        out.end();
        Ok(())
    }

    /// Wipes the key.
    pub fn close(&mut self) {
        self.key = None;
        if let Some(warden) = self.guard.warden() {
            crate::guard::lock(warden).close();
        }
    }

    /// Returns what a listed call gives away at most.
    fn amount(&self, call: &Call<'_>) -> Result<i128, Refusal> {
        let selector = call.data.first_chunk::<4>().ok_or(Refusal::NotListed)?;
        let is_this = |listed: &&Listed| listed.to == call.to && listed.selector == *selector;
        let listed = self.calls.iter().find(is_this).ok_or(Refusal::NotListed)?;
        let Some(word) = listed.amount_word else {
            return i128::try_from(call.value_wei).map_err(|_| Refusal::OrderLimit);
        };
        if call.value_wei != 0 {
            return Err(Refusal::Malformed("the call's amount is an argument: no value goes with it"));
        }
        let at = 4 + 32 * usize::from(word);
        let word = call.data.get(at..at + 32).ok_or(Refusal::Malformed("the call has no such argument"))?;
        let (high, low) = word.split_at(16);
        let low = low.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
        match i128::try_from(low) {
            Ok(amount) if high.iter().all(|byte| *byte == 0) => Ok(amount),
            _ => Err(Refusal::OrderLimit),
        }
    }
}

/// Appends a byte string as an RLP item.
fn bytes(body: &mut Vec<u8>, data: &[u8]) {
    match data {
        [small] if *small < 0x80 => {}
        _ if data.len() < 56 => body.push(0x80 + data.len() as u8),
        _ => {
            let length = data.len().to_be_bytes();
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            body.push(0xB7 + (length.len() - zeros) as u8);
            body.extend(&length[zeros..]);
        }
    }
    body.extend_from_slice(data);
}
