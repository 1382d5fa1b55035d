// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";

import {IPriceReference} from "./ILpManager.sol";

interface IObservable {
    function observe(uint32[] calldata secondsAgos) external view returns (int56[] memory, uint160[] memory);
}

/// @title A pair's mean price over the last seconds, as a Uniswap V3 pool has recorded it.
/// @dev The geometric mean: to move it, a price has to be held for a part of the window, against everybody's arbitrage.
/// The pool's observations must reach back that far, or this reverts.
contract TwapReference is IPriceReference {
    IObservable public immutable POOL;
    uint32 public immutable WINDOW_S;
    /// @notice Whether the pool has the pair the other way round (a V4 pool of the coin sorts it first).
    bool public immutable IS_INVERTED;

    error BadWindow();

    constructor(IObservable pool_, uint32 windowS_, bool isInverted_) {
        if (windowS_ == 0) revert BadWindow();
        (POOL, WINDOW_S, IS_INVERTED) = (pool_, windowS_, isInverted_);
    }

    /// @inheritdoc IPriceReference
    function sqrtPriceX96() external view override returns (uint160) {
        uint32[] memory ago = new uint32[](2);
        ago[0] = WINDOW_S;
        (int56[] memory sums,) = POOL.observe(ago);
        int56 total = sums[1] - sums[0];
        int56 window = int56(uint56(WINDOW_S));
        int56 mean = total / window;
        if (total < 0 && total % window != 0) --mean;
        // A mean of ticks is a tick.
        // forge-lint: disable-next-line(unsafe-typecast)
        return TickMath.getSqrtPriceAtTick(IS_INVERTED ? int24(-mean) : int24(mean));
    }
}
