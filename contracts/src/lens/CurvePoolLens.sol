// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IPoolCurve, IToken} from "../interfaces/IPools.sol";

/// @title Reads many Curve StableSwap-NG pools in one `eth_call`, without being deployed.
/// @notice The constructor returns `abi.encode(PoolState[])` in place of code. An address that is no such pool reverts
/// the whole call.
contract CurvePoolLens {
    /// @notice One pool; the arrays in its order of coins.
    struct PoolState {
        uint256 amplification;
        uint256 fee;
        uint256 feeOffpeg;
        uint256 feeAdmin;
        bool amplificationMoves;
        /// Whether a coin is valued by a rate other than one, which may move without a log.
        bool rated;
        address[] tokens;
        uint256[] balances;
        uint256[] decimals;
    }

    constructor(IPoolCurve[] memory pools) {
        PoolState[] memory states = new PoolState[](pools.length);
        for (uint256 i = 0; i < pools.length; ++i) {
            _read(pools[i], states[i]);
        }
        bytes memory answer = abi.encode(states);
        assembly ("memory-safe") {
            return(add(answer, 0x20), mload(answer))
        }
    }

    function _read(IPoolCurve pool, PoolState memory state) private view {
        uint256 count = pool.N_COINS();
        state.amplification = pool.A_precise();
        state.fee = pool.fee();
        state.feeOffpeg = pool.offpeg_fee_multiplier();
        state.feeAdmin = pool.admin_fee();
        state.amplificationMoves = pool.future_A_time() > block.timestamp;
        state.tokens = new address[](count);
        state.balances = new uint256[](count);
        state.decimals = new uint256[](count);
        uint256[] memory rates = pool.stored_rates();
        for (uint256 i = 0; i < count; ++i) {
            state.tokens[i] = pool.coins(i);
            state.balances[i] = pool.balances(i);
            state.decimals[i] = IToken(state.tokens[i]).decimals();
            if (rates[i] != 10 ** (36 - state.decimals[i])) state.rated = true;
        }
    }
}
