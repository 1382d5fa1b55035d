// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IManagerV4} from "../interfaces/IPools.sol";
import {TickWalk} from "../ticks/TickWalk.sol";

/// @title Reads a pool of Uniswap V4's PoolManager with all its initialised ticks in one `eth_call`, undeployed.
/// @notice As V3PoolLens: creation code called with no recipient, `abi.encode(Snapshot)` returned in place of code.
/// It reads the manager's storage through `extsload`, whose layout belongs to the deployed, immutable PoolManager.
contract V4PoolLens is TickWalk {
    /// @notice A pool's state, with the ticks of the words walked so far.
    struct Snapshot {
        uint256 blockNumber;
        uint160 sqrtPriceX96;
        int24 tick;
        /// The protocol's fee in pips: 12 bits for token 0 coming in, above them 12 bits for token 1.
        uint24 protocolFee;
        uint24 lpFee;
        uint128 liquidity;
        /// First bitmap word not walked yet; greater than `lastWord` when there is none.
        int24 nextWord;
        int24 lastWord;
        /// 35 bytes per initialised tick, ascending: int24 tick, int128 liquidityNet, uint128 liquidityGross.
        bytes ticks;
    }

    /// @dev Where the PoolManager keeps `mapping(PoolId => Pool.State)`, and the members of that struct.
    uint256 private constant POOLS_SLOT = 6;
    uint256 private constant LIQUIDITY = 3;
    uint256 private constant TICKS = 4;
    uint256 private constant BITMAP = 5;

    IManagerV4 private immutable MANAGER;
    uint256 private immutable STATE;

    /// @param manager The PoolManager.
    /// @param id The pool's id: the hash of its key.
    /// @param spacing The key's tick spacing, which the manager does not keep.
    /// @param firstWord Where to begin; anything below the first possible word means the beginning.
    /// @param ticksMax How many ticks to return at most, rounded up to whole words. At least one word is walked.
    constructor(IManagerV4 manager, bytes32 id, int24 spacing, int24 firstWord, uint256 ticksMax) {
        MANAGER = manager;
        STATE = uint256(keccak256(abi.encode(id, POOLS_SLOT)));
        Snapshot memory snapshot = _head();
        (int24 lowest, int24 last) = _words(spacing);
        snapshot.lastWord = last;
        (snapshot.nextWord, snapshot.ticks) = _walk(firstWord < lowest ? lowest : firstWord, last, spacing, ticksMax);
        bytes memory answer = abi.encode(snapshot);
        assembly ("memory-safe") {
            return(add(answer, 0x20), mload(answer))
        }
    }

    function _bitmap(int16 word) internal view override returns (uint256) {
        return _load(uint256(keccak256(abi.encode(word, STATE + BITMAP))));
    }

    /// @dev The first word of a tick's record: net in the upper half, gross in the lower.
    function _liquidity(int24 tick) internal view override returns (uint128 gross, int128 net) {
        uint256 both = _load(uint256(keccak256(abi.encode(tick, STATE + TICKS))));
        assembly ("memory-safe") {
            gross := and(both, 0xffffffffffffffffffffffffffffffff)
            net := sar(128, both)
        }
    }

    /// @dev The first word of a pool's record, from below: price 160, tick 24, protocol fee 24, fee 24 bits.
    function _head() private view returns (Snapshot memory snapshot) {
        uint256 slot0 = _load(STATE);
        snapshot.blockNumber = block.number;
        // Each is cut to its own bits on purpose.
        // forge-lint: disable-start(unsafe-typecast)
        snapshot.sqrtPriceX96 = uint160(slot0);
        snapshot.tick = int24(uint24(slot0 >> 160));
        snapshot.protocolFee = uint24(slot0 >> 184);
        snapshot.lpFee = uint24(slot0 >> 208);
        snapshot.liquidity = uint128(_load(STATE + LIQUIDITY));
        // forge-lint: disable-end(unsafe-typecast)
    }

    function _load(uint256 slot) private view returns (uint256) {
        return uint256(MANAGER.extsload(bytes32(slot)));
    }
}
