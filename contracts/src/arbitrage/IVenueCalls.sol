// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice What the executor asks of a Uniswap V2 pair.
interface IPairV2Calls {
    function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 timestampLast);
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data) external;
}

/// @notice What the executor asks of a Uniswap V3 pool.
interface IPoolV3Calls {
    function swap(address recipient, bool zeroForOne, int256 amountSpecified, uint160 priceLimit, bytes calldata data)
        external
        returns (int256 amount0, int256 amount1);
    function flash(address recipient, uint256 amount0, uint256 amount1, bytes calldata data) external;
}

/// @notice What the executor asks of Uniswap V4's PoolManager. Signed amounts: negative is owed to the manager.
interface IPoolManagerCalls {
    struct PoolKey {
        address currency0;
        address currency1;
        uint24 fee;
        int24 tickSpacing;
        address hooks;
    }

    struct SwapParams {
        bool zeroForOne;
        int256 amountSpecified;
        uint160 sqrtPriceLimitX96;
    }

    function unlock(bytes calldata data) external returns (bytes memory);
    /// @return delta Two int128: of token 0 in the upper half, of token 1 in the lower.
    function swap(PoolKey calldata key, SwapParams calldata params, bytes calldata hookData)
        external
        returns (int256 delta);
    function sync(address currency) external;
    function settle() external payable returns (uint256);
    function take(address currency, address to, uint256 amount) external;
}

/// @notice What the executor asks of Balancer's Vault.
interface IBalancerVaultCalls {
    struct SingleSwap {
        bytes32 poolId;
        /// @dev 0: the amount is what goes in.
        uint8 kind;
        address assetIn;
        address assetOut;
        uint256 amount;
        bytes userData;
    }

    struct FundManagement {
        address sender;
        bool fromInternalBalance;
        address recipient;
        bool toInternalBalance;
    }

    function swap(SingleSwap calldata single, FundManagement calldata funds, uint256 limit, uint256 deadline)
        external
        payable
        returns (uint256 amountCalculated);
    function flashLoan(address recipient, address[] calldata tokens, uint256[] calldata amounts, bytes calldata data)
        external;
}

/// @notice What the executor asks of a Curve-style pool. Some return nothing, so the answer is not read.
interface ICurveCalls {
    function exchange(int128 i, int128 j, uint256 dx, uint256 minDy) external;
}

/// @notice What the executor asks of Aave v3.
interface IAavePoolCalls {
    function flashLoanSimple(address receiver, address asset, uint256 amount, bytes calldata params, uint16 referral)
        external;
}

interface IWrappedCoin {
    function deposit() external payable;
    function withdraw(uint256 amount) external;
}

interface ITokenReads {
    function balanceOf(address owner) external view returns (uint256);
    function allowance(address owner, address spender) external view returns (uint256);
}
