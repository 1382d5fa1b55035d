// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IPoolV3} from "../interfaces/IPools.sol";
import {TickWalk} from "../ticks/TickWalk.sol";

/// @title Reads a Uniswap V3 pool with all its initialised ticks in one `eth_call`, without being deployed.
/// @notice The creation code is called with no recipient; the constructor returns `abi.encode(Snapshot)` in place of
/// code. It walks the tick bitmap from `firstWord` upwards and stops early when it has `ticksMax` ticks or when gas
/// runs low; then `nextWord` says where the next call, at the same block, goes on.
contract V3PoolLens is TickWalk {
    /// @notice A pool's state, with the ticks of the words walked so far.
    struct Snapshot {
        uint256 blockNumber;
        address token0;
        address token1;
        uint24 fee;
        int24 tickSpacing;
        uint160 sqrtPriceX96;
        int24 tick;
        uint128 liquidity;
        /// First bitmap word not walked yet; greater than `lastWord` when there is none.
        int24 nextWord;
        int24 lastWord;
        /// 35 bytes per initialised tick, ascending: int24 tick, int128 liquidityNet, uint128 liquidityGross.
        bytes ticks;
    }

    IPoolV3 private immutable POOL;

    /// @param pool A genuine, initialised pool.
    /// @param firstWord Where to begin; anything below the first possible word means the beginning.
    /// @param ticksMax How many ticks to return at most, rounded up to whole words. At least one word is walked.
    constructor(IPoolV3 pool, int24 firstWord, uint256 ticksMax) {
        POOL = pool;
        Snapshot memory snapshot = _head(pool);
        (int24 lowest, int24 last) = _words(snapshot.tickSpacing);
        snapshot.lastWord = last;
        (snapshot.nextWord, snapshot.ticks) =
            _walk(firstWord < lowest ? lowest : firstWord, last, snapshot.tickSpacing, ticksMax);
        bytes memory answer = abi.encode(snapshot);
        assembly ("memory-safe") {
            return(add(answer, 0x20), mload(answer))
        }
    }

    function _bitmap(int16 word) internal view override returns (uint256) {
        return POOL.tickBitmap(word);
    }

    function _liquidity(int24 tick) internal view override returns (uint128 gross, int128 net) {
        (gross, net,,,,,,) = POOL.ticks(tick);
    }

    function _head(IPoolV3 pool) private view returns (Snapshot memory snapshot) {
        snapshot.blockNumber = block.number;
        snapshot.token0 = pool.token0();
        snapshot.token1 = pool.token1();
        snapshot.fee = pool.fee();
        snapshot.tickSpacing = pool.tickSpacing();
        snapshot.liquidity = pool.liquidity();
        (snapshot.sqrtPriceX96, snapshot.tick,,,,,) = pool.slot0();
    }
}
