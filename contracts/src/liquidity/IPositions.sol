// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IPoolManagerCalls} from "../arbitrage/IVenueCalls.sol";

interface IFactoryV3Reads {
    function getPool(address tokenA, address tokenB, uint24 fee) external view returns (address);
}

/// @notice What a liquidity manager asks of V3's NonfungiblePositionManager.
interface IPositionsV3 {
    struct MintParams {
        address token0;
        address token1;
        uint24 fee;
        int24 tickLower;
        int24 tickUpper;
        uint256 amount0Desired;
        uint256 amount1Desired;
        uint256 amount0Min;
        uint256 amount1Min;
        address recipient;
        uint256 deadline;
    }

    struct DecreaseLiquidityParams {
        uint256 tokenId;
        uint128 liquidity;
        uint256 amount0Min;
        uint256 amount1Min;
        uint256 deadline;
    }

    struct CollectParams {
        uint256 tokenId;
        address recipient;
        uint128 amount0Max;
        uint128 amount1Max;
    }

    function factory() external view returns (address);
    function positions(uint256 id)
        external
        view
        returns (
            uint96 nonce,
            address operator,
            address token0,
            address token1,
            uint24 fee,
            int24 tickLower,
            int24 tickUpper,
            uint128 liquidity,
            uint256 growth0,
            uint256 growth1,
            uint128 owed0,
            uint128 owed1
        );
    function mint(MintParams calldata params)
        external
        payable
        returns (uint256 tokenId, uint128 liquidity, uint256 amount0, uint256 amount1);
    function decreaseLiquidity(DecreaseLiquidityParams calldata params)
        external
        payable
        returns (uint256 amount0, uint256 amount1);
    function collect(CollectParams calldata params) external payable returns (uint256 amount0, uint256 amount1);
    function burn(uint256 tokenId) external payable;
}

/// @notice What a liquidity manager asks of V4's PoolManager besides swapping.
interface IManagerV4Liquidity is IPoolManagerCalls {
    struct ModifyLiquidityParams {
        int24 tickLower;
        int24 tickUpper;
        int256 liquidityDelta;
        bytes32 salt;
    }

    function extsload(bytes32 slot) external view returns (bytes32);
    /// @return callerDelta Two int128, fees included: of token 0 in the upper half, of token 1 in the lower.
    function modifyLiquidity(PoolKey calldata key, ModifyLiquidityParams calldata params, bytes calldata hookData)
        external
        returns (int256 callerDelta, int256 feesAccrued);
}
