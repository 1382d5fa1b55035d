"""The fee for layer 1 that rollups add to gas.

**OP stack** (Optimism, Base): the predeploy GasPriceOracle publishes the terms. Since Fjord the size is FastLZ's,
corrected by a regression; before, Ecotone counted calldata gas. Both are computed here as the contract does, so that a
route can be priced without a question per candidate. Isthmus may add an operator's fee by gas.

**Arbitrum**: the size is Brotli's, which is asked of the node (NodeInterface); what is kept is the price of a byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.client import ChainClient
from chain.codec import Function, function
from chain.errors import NodeRefused
from chain.fees.flz import flz_length
from chain.keccak import checksum
from chain.networks import L1Fee
from chain.records import BlockRef
from domain.errors import InputError
from domain.ids import Address, Wei

GAS_PRICE_ORACLE: Final = checksum("0x420000000000000000000000000000000000000f")
NODE_INTERFACE: Final = checksum("0x00000000000000000000000000000000000000c8")

_IS_FJORD: Final = function("isFjord() returns (bool)")
_IS_ECOTONE: Final = function("isEcotone() returns (bool)")
_L1_BASE_FEE: Final = function("l1BaseFee() returns (uint256)")
_BLOB_BASE_FEE: Final = function("blobBaseFee() returns (uint256)")
_BASE_SCALAR: Final = function("baseFeeScalar() returns (uint32)")
_BLOB_SCALAR: Final = function("blobBaseFeeScalar() returns (uint32)")
_OPERATOR_FEE: Final = function("getOperatorFee(uint256 gasUsed) returns (uint256)")
_ESTIMATE: Final = function(
    "gasEstimateL1Component(address to, bool contractCreation, bytes data)"
    " returns (uint64 gasEstimateForL1, uint256 baseFee, uint256 l1BaseFeeEstimate)"
)

_SIGNATURE_BYTES: Final = 68
"""What the oracle adds for the signature of an unsigned transaction."""
_INTERCEPT: Final = -42_585_600
_COEFFICIENT: Final = 836_500
_SIZE_MIN: Final = 100
_MILLION: Final = 10**6
_ZERO_GAS: Final = 4
_BYTE_GAS: Final = 16
_SAMPLE: Final = bytes(range(1, 256)) * 4
"""Bytes that hardly compress: the price of a byte read from them is on the safe side."""


@dataclass(frozen=True, slots=True)
class L1Facts:
    """By which terms a chain charges for layer 1, as of one block."""

    kind: L1Fee
    l1_base_fee_wei: int = 0
    blob_base_fee_wei: int = 0
    base_scalar: int = 0
    blob_scalar: int = 0
    is_fjord: bool = False
    byte_price_wei: int = 0
    """Of Arbitrum: what one byte that does not compress costs."""

    @property
    def byte_wei(self) -> int:
        """What one more byte of calldata costs, for choosing among routes; 0 where nothing is charged."""
        if self.kind == "op-stack":
            # A byte of calldata makes about one byte more, by the regression 0.84 of it; Ecotone counts 16 gas.
            return _COEFFICIENT * self._scaled // _MILLION**2 if self.is_fjord else self._scaled // _MILLION
        return self.byte_price_wei

    def fee_wei(self, unsigned: bytes) -> Wei:
        """Compute the fee of a transaction from its bytes before signing (`unsigned_bytes`).

        Equal to the oracle's `getL1Fee` on the OP stack. On Arbitrum an upper estimate: its bytes as if they did not
        compress.
        """
        if self.kind == "none":
            return Wei(0)
        if self.kind == "arbitrum":
            return Wei((len(unsigned) + _SIGNATURE_BYTES) * self.byte_price_wei)
        if self.is_fjord:
            size = fjord_size_millionths(flz_length(unsigned) + _SIGNATURE_BYTES)
            return Wei(size * self._scaled // _MILLION**2)
        return Wei(calldata_gas(unsigned) * self._scaled // (_BYTE_GAS * _MILLION))

    @property
    def _scaled(self) -> int:
        return self.base_scalar * _BYTE_GAS * self.l1_base_fee_wei + self.blob_scalar * self.blob_base_fee_wei


def fjord_size_millionths(flz_bytes: int) -> int:
    """Estimate a transaction's share of a compressed batch from its FastLZ size, in millionths of a byte."""
    return max(_INTERCEPT + _COEFFICIENT * flz_bytes, _SIZE_MIN * _MILLION)


def calldata_gas(unsigned: bytes) -> int:
    """Count calldata gas as Ecotone does, with the signature's bytes added."""
    zeros = unsigned.count(0)
    return zeros * _ZERO_GAS + (len(unsigned) - zeros) * _BYTE_GAS + _SIGNATURE_BYTES * _BYTE_GAS


async def read_l1_facts(
    client: ChainClient, kind: L1Fee, block: BlockRef = "latest", *, oracle: str | None = None
) -> L1Facts:
    """Read the terms of a chain at a block.

    `oracle` is the contract to ask where it is not at its usual address.

    Raises:
        InputError: The chain has no such contract, or one from before Ecotone.
        VenueUnavailable: No node answers.
    """
    if kind == "none":
        return L1Facts("none")
    if kind == "arbitrum":
        gas, base_fee, _ = await _ask(client, checksum(oracle or NODE_INTERFACE), _ESTIMATE, block, _SAMPLE)
        return L1Facts("arbitrum", byte_price_wei=-(-gas * base_fee // len(_SAMPLE)))
    at = checksum(oracle or GAS_PRICE_ORACLE)
    is_fjord = await _flag(client, at, _IS_FJORD, block)
    if not is_fjord and not await _flag(client, at, _IS_ECOTONE, block):
        raise InputError(f"the gas price oracle {at} is from before Ecotone", hint="Check l1_fee of the network.")
    base_fee, blob_fee, base_scalar, blob_scalar = [
        (await _ask(client, at, question, block))[0]
        for question in (_L1_BASE_FEE, _BLOB_BASE_FEE, _BASE_SCALAR, _BLOB_SCALAR)
    ]
    return L1Facts("op-stack", base_fee, blob_fee, base_scalar, blob_scalar, is_fjord)


async def operator_fee_wei(client: ChainClient, gas: int, *, oracle: str | None = None) -> Wei:
    """Give the operator's fee for so much gas, which OP-stack chains may charge since Isthmus; 0 before."""
    at = checksum(oracle or GAS_PRICE_ORACLE)
    try:
        return Wei(_OPERATOR_FEE.decode(await client.call(at, _OPERATOR_FEE.encode(gas)))[0])
    except (NodeRefused, InputError):
        return Wei(0)


async def arbitrum_fee_wei(client: ChainClient, to: str, data: bytes, *, oracle: str | None = None) -> Wei:
    """Ask an Arbitrum node what a transaction pays for layer 1; its gas estimate holds that already."""
    at = checksum(oracle or NODE_INTERFACE)
    gas, base_fee, _ = _ESTIMATE.decode(await client.call(at, _ESTIMATE.encode(checksum(to), False, data)))
    return Wei(gas * base_fee)


async def _flag(client: ChainClient, at: Address, question: Function, block: BlockRef) -> bool:
    """Ask whether a fork is on; a contract that does not know the question is older."""
    try:
        return bool(question.decode(await client.call(at, question.encode(), block))[0])
    except (NodeRefused, InputError):
        return False


async def _ask(
    client: ChainClient, at: Address, question: Function, block: BlockRef, sample: bytes | None = None
) -> tuple[int, ...]:
    arguments = () if sample is None else (at, False, sample)
    try:
        return question.decode(await client.call(at, question.encode(*arguments), block))
    except (NodeRefused, InputError) as exc:
        raise InputError(f"{at} does not answer {question.name}: {exc}", hint="Check l1_fee of the network.") from exc
