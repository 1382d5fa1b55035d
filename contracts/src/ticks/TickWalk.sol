// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice Walks the tick bitmap of a Uniswap V3 or V4 pool and packs its initialised ticks.
/// @dev For lenses: written to answer within one `eth_call`, and to stop early rather than run out of gas.
abstract contract TickWalk {
    /// @dev 35 bytes each must stay below the code size limit of 24,576 bytes, with a head's 400.
    uint256 private constant TICKS_PER_ANSWER = 680;
    /// @dev Reading a word's 256 ticks (11,000 each) and paying 200 gas per returned byte must still be possible.
    uint256 private constant GAS_RESERVE = 8_500_000;
    int24 private constant MAX_TICK = 887_272;

    /// @dev One word of the bitmap: bit `i` stands for tick `(word * 256 + i) * tickSpacing`.
    function _bitmap(int16 word) internal view virtual returns (uint256);

    function _liquidity(int24 tick) internal view virtual returns (uint128 gross, int128 net);

    /// @dev The bitmap's first and last word for a spacing.
    function _words(int24 spacing) internal pure returns (int24 first, int24 last) {
        first = (-MAX_TICK / spacing - 1) >> 8;
        last = (MAX_TICK / spacing) >> 8;
    }

    /// @dev Packs the ticks of the words from `word` to `lastWord`, stopping after `ticksMax` ticks (rounded up to
    /// whole words; at least one word is walked) or when gas runs low. Gives the first word not walked.
    /// The array is filled in place: appending with `abi.encodePacked` would copy it at every tick.
    function _walk(int24 word, int24 lastWord, int24 spacing, uint256 ticksMax)
        internal
        view
        returns (int24 nextWord, bytes memory ticks)
    {
        ticks = new bytes(TICKS_PER_ANSWER * 35 + 32);
        uint256 count = 0;
        for (; word <= lastWord; ++word) {
            // Words lie within ±3,466 for a spacing of 1.
            // forge-lint: disable-next-line(unsafe-typecast)
            uint256 bitmap = _bitmap(int16(word));
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
                _pack(((word << 8) + int24(uint24(bit))) * spacing, ticks, count * 35);
                ++count;
            }
        }
        assembly ("memory-safe") {
            mstore(ticks, mul(count, 35))
        }
        nextWord = word;
    }

    function _pack(int24 tick, bytes memory into, uint256 offset) private view {
        (uint128 gross, int128 net) = _liquidity(tick);
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
