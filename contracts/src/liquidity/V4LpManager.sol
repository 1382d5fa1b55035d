// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {ExpectedCaller} from "../arbitrage/ExpectedCaller.sol";
import {IPoolManagerCalls} from "../arbitrage/IVenueCalls.sol";
import {IPriceReference} from "./ILpManager.sol";
import {IManagerV4Liquidity} from "./IPositions.sol";
import {LpManager} from "./LpManager.sol";

/// @title Keeps one position of Uniswap V4, in the PoolManager under its own name.
/// @dev Each of the three steps of a move is an unlock of its own that settles what it opened.
contract V4LpManager is LpManager, ExpectedCaller {
    // v4-core, libraries/StateLibrary.sol: where the pools lie in the manager's storage.
    bytes32 private constant POOLS_SLOT = bytes32(uint256(6));

    IManagerV4Liquidity public immutable MANAGER;
    address private immutable HOOKS;
    uint24 private immutable FEE;
    int24 private immutable SPACING;
    bytes32 private immutable PRICE_SLOT;

    int24 private lowerTick;
    int24 private upperTick;
    uint128 private provided;

    constructor(
        address owner_,
        address operator_,
        address pauser_,
        IPriceReference oracle_,
        Bounds memory bounds_,
        IManagerV4Liquidity manager_,
        IPoolManagerCalls.PoolKey memory key_
    ) LpManager(owner_, operator_, pauser_, oracle_, bounds_, key_.currency0, key_.currency1) {
        MANAGER = manager_;
        (FEE, SPACING, HOOKS) = (key_.fee, key_.tickSpacing, key_.hooks);
        PRICE_SLOT = keccak256(abi.encode(keccak256(abi.encode(key_)), POOLS_SLOT));
        if (_poolPrice() == 0) revert NoSuchPool();
    }

    /// @notice Takes coins from the owner and from the pool, and from nobody else.
    receive() external payable {
        if (msg.sender != address(MANAGER) && msg.sender != owner()) revert UnexpectedCoin(msg.sender);
    }

    /// @notice The manager is open for the one thing it was opened for.
    function unlockCallback(bytes calldata data) external onlyExpected returns (bytes memory) {
        (bool isSwap, bytes memory params) = abi.decode(data, (bool, bytes));
        int256 delta;
        if (isSwap) {
            delta = MANAGER.swap(_key(), abi.decode(params, (IPoolManagerCalls.SwapParams)), "");
        } else {
            (delta,) =
                MANAGER.modifyLiquidity(_key(), abi.decode(params, (IManagerV4Liquidity.ModifyLiquidityParams)), "");
        }
        _settle(token0, delta >> 128);
        // The lower half is a signed number of its own.
        // forge-lint: disable-next-line(unsafe-typecast)
        _settle(token1, int256(int128(delta)));
        return "";
    }

    /// @inheritdoc LpManager
    function position() public view override returns (int24, int24, uint128) {
        return (lowerTick, upperTick, provided);
    }

    function tickSpacing() external view override returns (int24) {
        return SPACING;
    }

    function _poolPrice() internal view override returns (uint160) {
        // The price is the lowest 160 bits of the pool's first word.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint160(uint256(MANAGER.extsload(PRICE_SLOT)));
    }

    function _takeOutAll() internal override {
        if (provided == 0) return;
        _modify(lowerTick, upperTick, -int256(uint256(provided)));
        (lowerTick, upperTick, provided) = (0, 0, 0);
    }

    function _collect() internal override {
        if (provided != 0) _modify(lowerTick, upperTick, 0);
    }

    function _swap(bool zeroForOne, uint256 amount, uint160 limit) internal override {
        _open(
            true,
            abi.encode(
                IPoolManagerCalls.SwapParams({
                    zeroForOne: zeroForOne, amountSpecified: -SafeCastLib.toInt256(amount), sqrtPriceLimitX96: limit
                })
            )
        );
    }

    function _provide(int24 lower, int24 upper, uint128 liquidity, uint256, uint256)
        internal
        override
        returns (uint128)
    {
        _modify(lower, upper, int256(uint256(liquidity)));
        (lowerTick, upperTick, provided) = (lower, upper, liquidity);
        return liquidity;
    }

    function _modify(int24 lower, int24 upper, int256 change) private {
        _open(
            false,
            abi.encode(
                IManagerV4Liquidity.ModifyLiquidityParams({
                    tickLower: lower, tickUpper: upper, liquidityDelta: change, salt: bytes32(0)
                })
            )
        );
    }

    function _open(bool isSwap, bytes memory params) private {
        _expect(address(MANAGER));
        MANAGER.unlock(abi.encode(isSwap, params));
        _expectNoMore();
    }

    /// @dev Pays what is owed (negative) or takes what is due.
    function _settle(address token, int256 delta) private {
        // Signs are checked, and V4 counts in 128 bits.
        // forge-lint: disable-start(unsafe-typecast)
        if (delta > 0) {
            MANAGER.take(token, address(this), uint256(delta));
        } else if (delta < 0) {
            MANAGER.sync(token);
            if (token == address(0)) {
                MANAGER.settle{value: uint256(-delta)}();
            } else {
                SafeTransferLib.safeTransfer(token, address(MANAGER), uint256(-delta));
                MANAGER.settle();
            }
        }
        // forge-lint: disable-end(unsafe-typecast)
    }

    function _key() private view returns (IPoolManagerCalls.PoolKey memory) {
        return
            IPoolManagerCalls.PoolKey({
                currency0: token0, currency1: token1, fee: FEE, tickSpacing: SPACING, hooks: HOOKS
            });
    }
}
