// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IPoolBalancer, IToken, IVaultBalancer} from "../interfaces/IPools.sol";

/// @title Reads many of Balancer V2's stable and weighted pools in one `eth_call`, without being deployed.
/// @notice The constructor returns `abi.encode(PoolState[])` in place of code. An address that is no Balancer pool
/// reverts the whole call.
contract BalancerPoolLens {
    /// @notice One pool; the arrays in the Vault's order of tokens.
    struct PoolState {
        address vault;
        bytes32 id;
        uint256 fee;
        /// Zero for a weighted pool.
        uint256 amplification;
        bool paused;
        bool amplificationMoves;
        /// Whether tokens are valued by a rate of somebody else's, which no log tells.
        bool rated;
        /// Whether it is of a generation that has a recovery mode, and multiplies where a power is 1, 2 or 4.
        bool recoverable;
        address[] tokens;
        uint256[] balances;
        uint256[] decimals;
        /// Empty for a stable pool.
        uint256[] weights;
    }

    constructor(IPoolBalancer[] memory pools) {
        PoolState[] memory states = new PoolState[](pools.length);
        for (uint256 i = 0; i < pools.length; ++i) {
            _read(pools[i], states[i]);
        }
        bytes memory answer = abi.encode(states);
        assembly ("memory-safe") {
            return(add(answer, 0x20), mload(answer))
        }
    }

    function _read(IPoolBalancer pool, PoolState memory state) private view {
        state.vault = pool.getVault();
        state.id = pool.getPoolId();
        state.fee = pool.getSwapFeePercentage();
        (state.paused,,) = pool.getPausedState();
        (state.tokens, state.balances,) = IVaultBalancer(state.vault).getPoolTokens(state.id);
        state.decimals = new uint256[](state.tokens.length);
        for (uint256 i = 0; i < state.tokens.length; ++i) {
            state.decimals[i] = IToken(state.tokens[i]).decimals();
        }
        (state.recoverable,) = _ask(pool, abi.encodeCall(IPoolBalancer.inRecoveryMode, ()));
        (bool isWeighted, bytes memory weights) = _ask(pool, abi.encodeCall(IPoolBalancer.getNormalizedWeights, ()));
        if (isWeighted) {
            state.weights = abi.decode(weights, (uint256[]));
            return;
        }
        (state.amplification, state.amplificationMoves,) = pool.getAmplificationParameter();
        (bool hasProviders, bytes memory providers) = _ask(pool, abi.encodeCall(IPoolBalancer.getRateProviders, ()));
        state.rated = hasProviders && _anyOf(abi.decode(providers, (address[])));
    }

    function _anyOf(address[] memory providers) private pure returns (bool) {
        for (uint256 i = 0; i < providers.length; ++i) {
            if (providers[i] != address(0)) return true;
        }
        return false;
    }

    /// @dev Whether a pool knows a function, and what it answers.
    function _ask(IPoolBalancer pool, bytes memory call) private view returns (bool, bytes memory) {
        (bool success, bytes memory output) = address(pool).staticcall(call);
        return (success && output.length >= 32, output);
    }
}
