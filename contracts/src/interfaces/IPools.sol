// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice What the lenses read of a Uniswap V2 pair.
interface IPairV2 {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 timestampLast);
}

/// @notice What the lenses read of a Uniswap V3 pool.
interface IPoolV3 {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function fee() external view returns (uint24);
    function tickSpacing() external view returns (int24);
    function liquidity() external view returns (uint128);
    function tickBitmap(int16 word) external view returns (uint256);
    function slot0()
        external
        view
        returns (
            uint160 sqrtPriceX96,
            int24 tick,
            uint16 observationIndex,
            uint16 observationCardinality,
            uint16 observationCardinalityNext,
            uint8 feeProtocol,
            bool unlocked
        );
    function ticks(int24 tick)
        external
        view
        returns (
            uint128 liquidityGross,
            int128 liquidityNet,
            uint256 feeGrowthOutside0X128,
            uint256 feeGrowthOutside1X128,
            int56 tickCumulativeOutside,
            uint160 secondsPerLiquidityOutsideX128,
            uint32 secondsOutside,
            bool initialized
        );
}

/// @notice What the lenses read of Uniswap V4's PoolManager: its storage, word by word.
interface IManagerV4 {
    function extsload(bytes32 slot) external view returns (bytes32 value);
}

/// @notice What the lenses read of a Balancer V2 pool; a stable pool has no weights, a weighted one no amplification.
interface IPoolBalancer {
    function getVault() external view returns (address);
    function getPoolId() external view returns (bytes32);
    function getSwapFeePercentage() external view returns (uint256);
    function getPausedState() external view returns (bool paused, uint256 windowEnd, uint256 bufferEnd);
    function getAmplificationParameter() external view returns (uint256 value, bool isUpdating, uint256 precision);
    function getNormalizedWeights() external view returns (uint256[] memory);
    function getRateProviders() external view returns (address[] memory);
    function inRecoveryMode() external view returns (bool);
}

/// @notice What the lenses read of Balancer V2's Vault.
interface IVaultBalancer {
    function getPoolTokens(bytes32 poolId)
        external
        view
        returns (address[] memory tokens, uint256[] memory balances, uint256 lastChangeBlock);
}

/// @notice What the lenses read of a Curve StableSwap-NG pool, named as there.
interface IPoolCurve {
    // forge-lint: disable-start(mixed-case-function)
    function N_COINS() external view returns (uint256);
    function coins(uint256 index) external view returns (address);
    function balances(uint256 index) external view returns (uint256);
    function stored_rates() external view returns (uint256[] memory);
    function A_precise() external view returns (uint256);
    function fee() external view returns (uint256);
    function offpeg_fee_multiplier() external view returns (uint256);
    function admin_fee() external view returns (uint256);
    function future_A_time() external view returns (uint256);
    // forge-lint: disable-end(mixed-case-function)
}

/// @notice What the lenses read of an ERC-20 token.
interface IToken {
    function balanceOf(address owner) external view returns (uint256);
    function decimals() external view returns (uint8);
    function symbol() external view returns (string memory);
}
