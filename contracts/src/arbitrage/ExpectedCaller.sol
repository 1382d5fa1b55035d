// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IArbExecutor} from "./IArbExecutor.sol";

/// @title Callbacks are taken from the one contract that was just called, once.
/// @dev The awaited address lies in transient storage together with a bit that no address has. Nothing awaited is zero,
/// as at every transaction's beginning; so not even a call from the zero address, which `eth_call` allows, is awaited.
abstract contract ExpectedCaller {
    uint256 private constant AWAITED = 1 << 160;

    uint256 private transient expected;

    /// @dev A callback may come once, from the contract that was named last.
    modifier onlyExpected() {
        if (expected != AWAITED | uint160(msg.sender)) revert IArbExecutor.UnexpectedCall(msg.sender);
        expected = 0;
        _;
    }

    function _expect(address caller) internal {
        expected = AWAITED | uint160(caller);
    }

    /// @dev After the call that should have called back: nothing may stay open.
    function _expectNoMore() internal view {
        // The cast takes the bit off.
        // forge-lint: disable-next-line(unsafe-typecast)
        if (expected != 0) revert IArbExecutor.CallbackMissing(address(uint160(expected)));
    }
}
