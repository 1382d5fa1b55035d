// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IBatchSweeper, IDepositForwarderFactory} from "../interfaces/IDepositForwarders.sol";

/// @title Many sweeps in one call, each alone with its failure. Holds nothing and may do nothing else.
contract BatchSweeper is IBatchSweeper {
    /// @inheritdoc IBatchSweeper
    uint256 public constant GAS_PER_ITEM = 300_000;
    /// @dev What the loop needs around the call, its report included.
    uint256 private constant GAS_AROUND = 30_000;
    uint256 private constant REASON_BYTES_MAX = 256;

    /// @inheritdoc IBatchSweeper
    IDepositForwarderFactory public immutable factory;

    constructor(IDepositForwarderFactory factory_) {
        if (address(factory_).code.length == 0) revert NoFactory();
        factory = factory_;
    }

    /// @inheritdoc IBatchSweeper
    function sweep(Item[] calldata items) external returns (uint256[] memory received) {
        received = new uint256[](items.length);
        for (uint256 i = 0; i < items.length; ++i) {
            Item calldata item = items[i];
            // EIP-150 keeps back a 64th of what is left.
            if (gasleft() - gasleft() / 64 < GAS_PER_ITEM + GAS_AROUND) revert GasTooLow(i, gasleft());
            (bool succeeded, bytes memory answer) =
                _call(abi.encodeCall(IDepositForwarderFactory.sweep, (item.user, item.token, item.amount)));
            if (succeeded) {
                received[i] = abi.decode(answer, (uint256));
            } else {
                emit SweepFailed(i, item.user, item.token, item.amount, answer);
            }
        }
    }

    /// @dev Copies a bounded part of what is returned: a hostile token may answer with megabytes, and copying them would
    /// be paid for out of the other items' gas.
    function _call(bytes memory data) private returns (bool succeeded, bytes memory answer) {
        address target = address(factory);
        uint256 gas_ = GAS_PER_ITEM;
        uint256 most = REASON_BYTES_MAX;
        assembly ("memory-safe") {
            succeeded := call(gas_, target, 0, add(data, 0x20), mload(data), 0, 0)
            let size := returndatasize()
            if gt(size, most) { size := most }
            answer := mload(0x40)
            mstore(0x40, add(answer, add(0x20, and(add(size, 0x1f), not(0x1f)))))
            mstore(answer, size)
            returndatacopy(add(answer, 0x20), 0, size)
        }
    }
}
