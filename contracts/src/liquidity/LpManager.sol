// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {SqrtPriceMath} from "@uniswap/v4-core/src/libraries/SqrtPriceMath.sol";
import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {LiquidityAmounts} from "@uniswap/v4-periphery/src/libraries/LiquidityAmounts.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {SpendingWindow} from "../custody/SpendingWindow.sol";
import {ILpManager, IPriceReference} from "./ILpManager.sol";
import {LpRoles} from "./LpRoles.sol";

/// @title Moves liquidity within a loss bound. What a pool is asked, `V3LpManager` and `V4LpManager` know.
abstract contract LpManager is LpRoles {
    using SpendingWindow for SpendingWindow.Window;

    uint256 private constant Q96 = 1 << 96;
    uint256 private constant ONE = 1e18;

    address public immutable override token0;
    address public immutable override token1;

    SpendingWindow.Window private losses;

    constructor(
        address owner_,
        address operator_,
        address pauser_,
        IPriceReference oracle_,
        Bounds memory bounds_,
        address token0_,
        address token1_
    ) LpRoles(owner_, operator_, pauser_, oracle_, bounds_) {
        token0 = token0_;
        token1 = token1_;
    }

    /// @inheritdoc ILpManager
    function move(Move calldata wanted)
        external
        override
        onlyOperator
        whenRunning
        nonReentrant
        returns (uint128 liquidity)
    {
        if (block.timestamp > wanted.deadline) revert Expired(wanted.deadline, block.timestamp);
        if (wanted.lower > wanted.upper) revert BadRange(wanted.lower, wanted.upper);
        uint160 expected = oracle.sqrtPriceX96();
        _checkPrice(_poolPrice(), expected);
        _takeOutAll();
        (uint256 held0, uint256 held1) = _held();
        uint256 valueBefore = _value(held0, held1, expected);
        if (wanted.swapIn != 0) _swap(wanted.zeroForOne, wanted.swapIn, wanted.swapLimit);
        if (wanted.lower != wanted.upper) liquidity = _provideAll(wanted.lower, wanted.upper);
        if (liquidity < wanted.minLiquidity) revert LiquidityBelowMinimum(liquidity, wanted.minLiquidity);
        uint256 valueAfter = _valueOfAll(expected);
        _count(valueBefore, valueAfter);
        emit Moved(wanted.lower, wanted.upper, liquidity, valueBefore, valueAfter);
    }

    /// @inheritdoc ILpManager
    function collectToOwner()
        external
        override
        onlyOperator
        whenRunning
        nonReentrant
        returns (uint256 amount0, uint256 amount1)
    {
        (uint256 before0, uint256 before1) = _held();
        _collect();
        (amount0, amount1) = _held();
        (amount0, amount1) = (amount0 - before0, amount1 - before1);
        emit Collected(amount0, amount1);
        _pay(token0, amount0);
        _pay(token1, amount1);
    }

    /// @inheritdoc ILpManager
    function exit(uint256 min0, uint256 min1)
        external
        override
        onlyOwner
        nonReentrant
        returns (uint256 amount0, uint256 amount1)
    {
        _takeOutAll();
        (amount0, amount1) = _held();
        if (amount0 < min0 || amount1 < min1) revert BelowMinimum(amount0, amount1);
        _pay(token0, amount0);
        _pay(token1, amount1);
    }

    /// @inheritdoc ILpManager
    function takeOut(address token, uint256 amount) external override onlyOwner nonReentrant {
        _pay(token, amount);
    }

    /// @inheritdoc ILpManager
    function valueDown() external view override returns (uint256) {
        return _valueOfAll(oracle.sqrtPriceX96());
    }

    /// @inheritdoc ILpManager
    function spentBpsUp() external view override returns (uint256) {
        return losses.spentUp(block.timestamp);
    }

    /// @inheritdoc ILpManager
    function position() public view virtual override returns (int24 lower, int24 upper, uint128 liquidity);

    // --- what a pool is asked

    function _poolPrice() internal view virtual returns (uint160);

    /// @dev Liquidity and fees into this contract's hands; nothing when there is no position.
    function _takeOutAll() internal virtual;

    /// @dev Fees into this contract's hands.
    function _collect() internal virtual;

    function _swap(bool zeroForOne, uint256 amount, uint160 limit) internal virtual;

    function _provide(int24 lower, int24 upper, uint128 liquidity, uint256 held0, uint256 held1)
        internal
        virtual
        returns (uint128);

    // --- value

    /// @dev As much liquidity as what is in hand pays for at the pool's price.
    function _provideAll(int24 lower, int24 upper) private returns (uint128) {
        (uint256 held0, uint256 held1) = _held();
        uint128 liquidity = LiquidityAmounts.getLiquidityForAmounts(
            _poolPrice(), TickMath.getSqrtPriceAtTick(lower), TickMath.getSqrtPriceAtTick(upper), held0, held1
        );
        return liquidity == 0 ? 0 : _provide(lower, upper, liquidity, held0, held1);
    }

    function _valueOfAll(uint160 price) private view returns (uint256) {
        (uint256 amount0, uint256 amount1) = _held();
        (int24 lower, int24 upper, uint128 liquidity) = position();
        if (liquidity != 0) {
            (uint160 low, uint160 high) = (TickMath.getSqrtPriceAtTick(lower), TickMath.getSqrtPriceAtTick(upper));
            // What the position would hold if the pool stood where the oracle is.
            uint160 there = price < low ? low : price > high ? high : price;
            if (there < high) amount0 += SqrtPriceMath.getAmount0Delta(there, high, liquidity, false);
            if (there > low) amount1 += SqrtPriceMath.getAmount1Delta(low, there, liquidity, false);
        }
        return _value(amount0, amount1, price);
    }

    /// @dev In raw token 1, rounded down.
    function _value(uint256 amount0, uint256 amount1, uint160 price) private pure returns (uint256) {
        return amount1 + FullMath.mulDiv(FullMath.mulDiv(amount0, price, Q96), price, Q96);
    }

    function _checkPrice(uint160 pool, uint160 expected) private view {
        uint256 root = FullMath.mulDiv(pool, ONE, expected);
        uint256 ratio = root * root / ONE;
        uint256 allowed = ONE * bounds.deviationBps / BPS;
        if (ratio > ONE + allowed || ratio < ONE - allowed) revert PriceAway(pool, expected);
    }

    /// @dev Refuses a loss above the bounds, and remembers the rest against the day's.
    function _count(uint256 valueBefore, uint256 valueAfter) private {
        if (valueAfter >= valueBefore) return;
        uint256 lossBps = FullMath.mulDivRoundingUp(valueBefore - valueAfter, BPS, valueBefore);
        if (lossBps > bounds.lossBps) revert LossTooHigh(valueBefore, valueAfter, lossBps);
        uint256 spent = losses.spentUp(block.timestamp);
        if (spent + lossBps > bounds.dayLossBps) revert DayLossTooHigh(spent, lossBps, bounds.dayLossBps);
        // Bounded by a uint16 above.
        // forge-lint: disable-next-line(unsafe-typecast)
        losses.add(block.timestamp, uint216(lossBps));
    }

    function _held() internal view returns (uint256, uint256) {
        return (_balance(token0), _balance(token1));
    }

    function _balance(address token) private view returns (uint256) {
        return token == address(0) ? address(this).balance : SafeTransferLib.balanceOf(token, address(this));
    }

    function _pay(address token, uint256 amount) private {
        if (amount == 0) return;
        emit Withdrawn(token, amount);
        if (token == address(0)) SafeTransferLib.safeTransferETH(owner(), amount);
        else SafeTransferLib.safeTransfer(token, owner(), amount);
    }
}
