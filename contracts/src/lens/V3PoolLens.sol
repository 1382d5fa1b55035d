// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IPoolV3} from "../interfaces/IPools.sol";

/// @title Reads a Uniswap V3 pool with all its initialised ticks in one `eth_call`, without being deployed.
/// @notice The creation code is called with no recipient; the constructor returns `abi.encode(Snapshot)` in place of
/// code. It walks the tick bitmap from `firstWord` upwards and stops early when it has `ticksMax` ticks or when gas
/// runs low; then `nextWord` says where the next call, at the same block, goes on.
contract V3PoolLens {
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

    /// @dev 35 bytes each must stay below the code size limit of 24,576 bytes, with the head's 400.
    uint256 private constant TICKS_PER_ANSWER = 680;
    /// @dev Reading a word's 256 ticks (11,000 each) and paying 200 gas per returned byte must still be possible.
    uint256 private constant GAS_RESERVE = 8_500_000;
    int24 private constant MAX_TICK = 887_272;

    /// @param pool A genuine, initialised pool.
    /// @param firstWord Where to begin; anything below the first possible word means the beginning.
    /// @param ticksMax How many ticks to return at most, rounded up to whole words. At least one word is walked.
    constructor(IPoolV3 pool, int24 firstWord, uint256 ticksMax) {
        Snapshot memory snapshot = _head(pool);
        int24 lowest = (-MAX_TICK / snapshot.tickSpacing - 1) >> 8;
        snapshot.nextWord = firstWord < lowest ? lowest : firstWord;
        snapshot.lastWord = (MAX_TICK / snapshot.tickSpacing) >> 8;
        _walk(pool, snapshot, ticksMax);
        bytes memory answer = abi.encode(snapshot);
        assembly ("memory-safe") {
            return(add(answer, 0x20), mload(answer))
        }
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

    /// @dev Fills `snapshot.ticks` in place: appending with `abi.encodePacked` would copy the array at every tick.
    function _walk(IPoolV3 pool, Snapshot memory snapshot, uint256 ticksMax) private view {
        bytes memory ticks = new bytes(TICKS_PER_ANSWER * 35 + 32);
        uint256 count = 0;
        int24 word = snapshot.nextWord;
        for (; word <= snapshot.lastWord; ++word) {
            // Words lie within ±3,466 for a spacing of 1.
            // forge-lint: disable-next-line(unsafe-typecast)
            uint256 bitmap = pool.tickBitmap(int16(word));
            if (bitmap == 0) {
                if (gasleft() < GAS_RESERVE) {
                    ++word;
                    break;
                }
                continue;
            }
            uint256 found = _population(bitmap);
            // A word is taken whole or not at all; the first one always fits.
            if (count > 0 && (count + found > TICKS_PER_ANSWER || count >= ticksMax || gasleft() < GAS_RESERVE)) break;
            for (uint256 bit = 0; bit < 256; ++bit) {
                if ((bitmap >> bit) & 1 == 0) continue;
                // A bit's index is below 256.
                // forge-lint: disable-next-line(unsafe-typecast)
                _read(pool, ((word << 8) + int24(uint24(bit))) * snapshot.tickSpacing, ticks, count * 35);
                ++count;
            }
        }
        assembly ("memory-safe") {
            mstore(ticks, mul(count, 35))
        }
        snapshot.nextWord = word;
        snapshot.ticks = ticks;
    }

    function _read(IPoolV3 pool, int24 tick, bytes memory into, uint256 offset) private view {
        (uint128 gross, int128 net,,,,,,) = pool.ticks(tick);
        // Signed numbers are packed as their two's complement bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint256 first = (uint256(uint24(tick)) << 232) | (uint256(uint128(net)) << 104) | (uint256(gross) >> 24);
        uint256 rest = uint256(gross) << 232;
        assembly ("memory-safe") {
            let at := add(add(into, 0x20), offset)
            mstore(at, first)
            mstore(add(at, 0x20), rest)
        }
    }

    function _population(uint256 bitmap) private pure returns (uint256 count) {
        for (; bitmap != 0; ++count) {
            bitmap &= bitmap - 1;
        }
    }
}
