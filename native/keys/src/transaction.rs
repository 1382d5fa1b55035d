//! What is hashed and what is broadcast, around fields that are encoded already.

use sha3::{Digest, Keccak256};

use crate::signing::Fault;

/// The form of a transaction, without its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// Type 0 with the chain id in v (EIP-155).
    Legacy { chain_id: u64 },
    /// Type, then a list (EIP-2718).
    Typed(u8),
}

impl Envelope {
    /// Returns the form of a type: 0, 1 (EIP-2930), 2 (EIP-1559) or 4 (EIP-7702).
    pub fn new(kind: u8, chain_id: u64) -> Result<Self, Fault> {
        match kind {
            0 => Ok(Self::Legacy { chain_id }),
            1 | 2 | 4 => Ok(Self::Typed(kind)),
            _ => Err(Fault::UnknownType),
        }
    }

    /// Returns the hash that the signature covers.
    pub fn digest(self, body: &[u8]) -> [u8; 32] {
        let mut tail = Vec::with_capacity(12);
        if let Self::Legacy { chain_id } = self {
            // EIP-155: the chain id takes the place of v, followed by two zeros.
            rlp_integer(&mut tail, &chain_id.to_be_bytes());
            tail.extend([0x80, 0x80]);
        }
        keccak256(&self.wrap(&[body, &tail]))
    }

    /// Returns the broadcastable bytes, given r, s and the parity.
    pub fn assemble(self, body: &[u8], signature: &[u8; 65]) -> Vec<u8> {
        let mut tail = Vec::with_capacity(83);
        let parity = u128::from(signature[64]);
        let v = match self {
            Self::Legacy { chain_id } => u128::from(chain_id) * 2 + 35 + parity,
            Self::Typed(_) => parity,
        };
        rlp_integer(&mut tail, &v.to_be_bytes());
        rlp_integer(&mut tail, &signature[..32]);
        rlp_integer(&mut tail, &signature[32..64]);
        self.wrap(&[body, &tail])
    }

    fn wrap(self, parts: &[&[u8]]) -> Vec<u8> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut raw = Vec::with_capacity(length + 10);
        if let Self::Typed(kind) = self {
            raw.push(kind);
        }
        if length < 56 {
            raw.push(0xC0 + length as u8);
        } else {
            let size = length.to_be_bytes();
            let size = stripped(&size);
            raw.push(0xF7 + size.len() as u8);
            raw.extend(size);
        }
        for part in parts {
            raw.extend(*part);
        }
        raw
    }
}

/// Returns the hash Ethereum uses: Keccak before it became SHA-3.
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// Returns the account of a public key (x and y), with its checksum (EIP-55).
pub fn address(public_key: &[u8; 64]) -> String {
    let plain: String = keccak256(public_key)[12..].iter().map(|byte| format!("{byte:02x}")).collect();
    let pattern = keccak256(plain.as_bytes());
    // A letter is upper case where the hash of the text has a digit above 7.
    let is_upper = |place: usize| pattern[place / 2] >> (4 * (1 - place % 2)) & 0x0F > 7;
    let letters = plain.chars().enumerate();
    "0x".chars()
        .chain(letters.map(|(at, letter)| if is_upper(at) { letter.to_ascii_uppercase() } else { letter }))
        .collect()
}

/// Appends a number of at most 55 bytes as an RLP item: big-endian without leading zeros.
pub fn rlp_integer(item: &mut Vec<u8>, number: &[u8]) {
    match stripped(number) {
        [small] if *small < 0x80 => item.push(*small),
        digits => {
            item.push(0x80 + digits.len() as u8);
            item.extend(digits);
        }
    }
}

fn stripped(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_shortest() {
        for (number, item) in
            [(0u64, &[0x80][..]), (1, &[1]), (0x7F, &[0x7F]), (0x80, &[0x81, 0x80]), (256, &[0x82, 1, 0])]
        {
            let mut written = Vec::new();
            rlp_integer(&mut written, &number.to_be_bytes());
            assert_eq!(written, item);
        }
    }

    #[test]
    fn the_length_of_a_list_stands_before_it() {
        for (length, start) in [(0, &[2, 0xC0][..]), (55, &[2, 0xF7]), (56, &[2, 0xF8, 56]), (256, &[2, 0xF9, 1, 0])] {
            let raw = Envelope::Typed(2).wrap(&[&vec![9; length]]);
            assert_eq!((&raw[..start.len()], raw.len()), (start, start.len() + length));
        }
    }

    #[test]
    fn the_largest_chain_id_fits_into_v() {
        let raw = Envelope::Legacy { chain_id: u64::MAX }.assemble(&[], &[1; 65]);
        // 2 * (2^64 - 1) + 35 + 1, of nine bytes.
        assert_eq!(raw[2..12], [0x89, 2, 0, 0, 0, 0, 0, 0, 0, 0x22]);
    }

    #[test]
    fn blob_transactions_have_no_envelope_here() {
        assert_eq!(Envelope::new(3, 1), Err(Fault::UnknownType));
    }
}
