// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IPoolManagerCalls} from "../../src/arbitrage/IVenueCalls.sol";

/// @notice A V4 hook that calls whom it likes before a swap, and takes of what comes out after it what it likes.
contract HostileHook {
    address public target;
    bytes public call;
    bool public wasCalled;
    bool public callSucceeded;
    bytes public callAnswer;
    int128 public taken;

    function callBetween(address target_, bytes calldata call_) external {
        (target, call) = (target_, call_);
    }

    function takeOf(int128 amount) external {
        taken = amount;
    }

    function beforeSwap(
        address,
        IPoolManagerCalls.PoolKey calldata,
        IPoolManagerCalls.SwapParams calldata,
        bytes calldata
    ) external returns (bytes4, int256, uint24) {
        wasCalled = true;
        if (target != address(0)) (callSucceeded, callAnswer) = target.call(call);
        return (this.beforeSwap.selector, 0, 0);
    }

    function afterSwap(
        address,
        IPoolManagerCalls.PoolKey calldata key,
        IPoolManagerCalls.SwapParams calldata params,
        int256,
        bytes calldata
    ) external returns (bytes4, int128) {
        address out = params.zeroForOne ? key.currency1 : key.currency0;
        if (taken > 0) IPoolManagerCalls(msg.sender).take(out, address(this), uint256(int256(taken)));
        return (this.afterSwap.selector, taken);
    }

    receive() external payable {}
}
