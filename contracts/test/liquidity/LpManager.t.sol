// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";

import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {IPoolV3Calls, ITokenReads} from "../../src/arbitrage/IVenueCalls.sol";
import {ILpManager, IPriceReference} from "../../src/liquidity/ILpManager.sol";
import {IPositionsV3} from "../../src/liquidity/IPositions.sol";
import {LpManager} from "../../src/liquidity/LpManager.sol";
import {FeedReference, IFeed} from "../../src/liquidity/FeedReference.sol";
import {IObservable, TwapReference} from "../../src/liquidity/TwapReference.sol";
import {V3LpManager} from "../../src/liquidity/V3LpManager.sol";
import {IPoolActions, ITokenMintable} from "../Genuine.sol";
import {LpWorld} from "./LpWorld.sol";

interface INft {
    function ownerOf(uint256 id) external view returns (address);
    function safeTransferFrom(address from, address to, uint256 id) external;
}

contract Feed is IFeed {
    uint8 public override decimals = 8;
    int256 public answer;
    uint256 public updatedAt;

    function set(int256 answer_, uint256 updatedAt_) external {
        (answer, updatedAt) = (answer_, updatedAt_);
    }

    function latestRoundData() external view override returns (uint80, int256, uint256, uint256, uint80) {
        return (1, answer, 0, updatedAt, 1);
    }
}

contract LpManagerTest is LpWorld {
    function setUp() public {
        _build();
    }

    function test_aMoveProvidesAndAnotherMovesIt() public {
        for (uint256 i = 0; i < 2; ++i) {
            LpManager manager = _manager(i == 1);
            vm.prank(operator);
            uint128 liquidity = manager.move(_move(-600, 600, false, 0));
            assertGt(liquidity, 0);
            (int24 lower, int24 upper, uint128 held) = manager.position();
            assertEq(lower, -600);
            assertEq(upper, 600);
            assertEq(held, liquidity);
            assertLt(ITokenReads(token0).balanceOf(address(manager)), OWN / 1000);
            // The price moves, and the reference knows; all that is held of one token is swapped half into the other.
            _tradeTo(i == 1, _away(START, 300));
            oracle.set(_away(START, 300));
            vm.prank(operator);
            manager.move(_move(-300, 900, false, OWN / 10));
            (lower, upper, held) = manager.position();
            assertEq(lower, -300);
            assertGt(held, 0);
            oracle.set(START);
        }
    }

    function test_whatIsHeldComesBackToTheOwnerOnly() public {
        for (uint256 i = 0; i < 2; ++i) {
            LpManager manager = _manager(i == 1);
            vm.prank(operator);
            manager.move(_move(-600, 600, false, 0));
            vm.prank(operator);
            vm.expectRevert();
            manager.exit(0, 0);
            vm.prank(pauser);
            manager.pause();
            uint256 before0 = ITokenReads(token0).balanceOf(owner);
            vm.prank(owner);
            (uint256 amount0, uint256 amount1) = manager.exit(OWN - 2, OWN - 2);
            assertEq(ITokenReads(token0).balanceOf(owner) - before0, amount0);
            assertApproxEqAbs(amount1, OWN, 2);
            assertEq(ITokenReads(token0).balanceOf(address(manager)), 0);
            assertEq(manager.valueDown(), 0);
            ITokenMintable(token0).mint(address(manager), 5);
            vm.prank(owner);
            manager.takeOut(token0, 5);
            vm.prank(operator);
            vm.expectRevert();
            manager.takeOut(token0, 0);
        }
    }

    function test_anExitBelowItsMinimumReverts() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(ILpManager.BelowMinimum.selector, OWN, OWN));
        v3.exit(OWN + 1, 0);
    }

    function test_feesGoToTheOwner() public {
        for (uint256 i = 0; i < 2; ++i) {
            LpManager manager = _manager(i == 1);
            vm.prank(operator);
            manager.move(_move(-6000, 6000, false, 0));
            _tradeTo(i == 1, _away(START, 200));
            _tradeTo(i == 1, START);
            (,, uint128 held) = manager.position();
            vm.prank(operator);
            (uint256 amount0, uint256 amount1) = manager.collectToOwner();
            assertGt(amount0, 0);
            assertGt(amount1, 0);
            (,, uint128 after_) = manager.position();
            assertEq(held, after_);
            vm.prank(operator);
            (amount0, amount1) = manager.collectToOwner();
            assertEq(amount0 + amount1, 0);
        }
    }

    function testFuzz_noMoveBeginsWhenThePriceIsAway(bool isV4, int256 bps) public {
        bps = bound(bps, -3000, 3000);
        _tradeTo(isV4, _away(START, bps));
        LpManager manager = _manager(isV4);
        bool isAway = bps > 100 || bps < -100;
        vm.prank(operator);
        if (isAway) {
            vm.expectPartialRevert(ILpManager.PriceAway.selector);
            manager.move(_move(-6000, 6000, false, 0));
        } else if (bps > -100 && bps < 100) {
            manager.move(_move(-6000, 6000, false, 0));
        }
    }

    /// @dev Whatever range, swap and price within the deviation: what is left at the reference is within the bound, and
    /// what would be less reverts.
    function testFuzz_noMoveLosesMoreThanItsBound(
        bool isV4,
        int256 bps,
        int24 centre,
        uint24 width,
        bool zeroForOne,
        uint256 swapIn
    ) public {
        LpManager manager = _manager(isV4);
        _tradeTo(isV4, _away(START, bound(bps, -99, 99)));
        ILpManager.Move memory wanted = _range(centre, width, zeroForOne, bound(swapIn, 0, 2 * OWN));
        uint256 before = manager.valueDown();
        vm.prank(operator);
        try manager.move(wanted) {
            uint256 left = manager.valueDown();
            assertLe((before - _least(before, left)) * 10_000, before * 50 + 10_000);
        } catch {
            assertEq(manager.valueDown(), before);
        }
        (ITokenReads token, address at) = (ITokenReads(token0), address(positions));
        assertEq(token.allowance(address(manager), at), 0);
        assertEq(ITokenReads(token1).allowance(address(manager), at), 0);
    }

    function test_aDearSwapIsRefused() public {
        for (uint256 i = 0; i < 2; ++i) {
            LpManager manager = _manager(i == 1);
            uint256 before = manager.valueDown();
            vm.prank(owner);
            manager.setBounds(ILpManager.Bounds(100, 15, 200));
            // Swapping all of one token costs the fee of 30 bps on half of what is held, and the impact besides.
            vm.prank(operator);
            vm.expectPartialRevert(ILpManager.LossTooHigh.selector);
            manager.move(_move(-6000, 6000, true, OWN));
            assertEq(manager.valueDown(), before);
        }
    }

    function test_lossesOfADayAddUp() public {
        LpManager manager = _manager(false);
        uint256 moves = 0;
        for (uint256 i = 0; i < 200; ++i) {
            vm.prank(operator);
            try manager.move(_move(-6000, 6000, i % 2 == 0, OWN / 4)) {
                ++moves;
                // Somebody undoes the impact, so that every move can be as dear as the last.
                _tradeTo(false, START);
            } catch (bytes memory reason) {
                assertEq(bytes4(reason), ILpManager.DayLossTooHigh.selector);
                break;
            }
        }
        assertGt(moves, 3);
        assertLe(manager.spentBpsUp(), 200);
        assertGt(manager.spentBpsUp(), 150);
        vm.warp(block.timestamp + 29 hours);
        assertEq(manager.spentBpsUp(), 0);
        vm.prank(operator);
        manager.move(_move(-6000, 6000, true, OWN / 4));
    }

    function test_swapsStopAtTheirLimit() public {
        for (uint256 i = 0; i < 2; ++i) {
            ILpManager.Move memory wanted = _move(-6000, 6000, true, OWN);
            wanted.swapLimit = _away(START, -1);
            vm.prank(operator);
            _manager(i == 1).move(wanted);
            assertEq(_price(i == 1), wanted.swapLimit);
        }
    }

    function test_onlyOperatorsMoveAndNotWhilePaused() public {
        ILpManager.Move memory wanted = _move(-600, 600, false, 0);
        for (uint256 i = 0; i < 2; ++i) {
            LpManager manager = _manager(i == 1);
            vm.prank(owner);
            vm.expectRevert(abi.encodeWithSelector(ILpManager.NotOperator.selector, owner));
            manager.move(wanted);
            vm.expectRevert(abi.encodeWithSelector(ILpManager.NotPauser.selector, address(this)));
            manager.pause();
            vm.prank(pauser);
            manager.pause();
            vm.startPrank(operator);
            vm.expectRevert(ILpManager.IsPaused.selector);
            manager.move(wanted);
            vm.expectRevert(ILpManager.IsPaused.selector);
            manager.collectToOwner();
            vm.expectRevert();
            manager.unpause();
            vm.stopPrank();
            vm.startPrank(owner);
            manager.unpause();
            manager.setOperator(operator, false);
            vm.expectRevert(ILpManager.UseHandover.selector);
            manager.renounceOwnership();
            vm.expectPartialRevert(ILpManager.BadBounds.selector);
            manager.setBounds(ILpManager.Bounds(100, 300, 200));
            vm.stopPrank();
            vm.prank(operator);
            vm.expectRevert(abi.encodeWithSelector(ILpManager.NotOperator.selector, operator));
            manager.move(wanted);
        }
    }

    function test_lateMovesAndTooLittleLiquidityRevert() public {
        ILpManager.Move memory wanted = _move(-600, 600, false, 0);
        wanted.minLiquidity = type(uint128).max;
        vm.startPrank(operator);
        vm.expectPartialRevert(ILpManager.LiquidityBelowMinimum.selector);
        v4.move(wanted);
        wanted.deadline = block.timestamp - 1;
        vm.expectPartialRevert(ILpManager.Expired.selector);
        v4.move(wanted);
        wanted = _move(600, -600, false, 0);
        vm.expectRevert(abi.encodeWithSelector(ILpManager.BadRange.selector, int24(600), int24(-600)));
        v3.move(wanted);
    }

    function test_callbacksAreTakenFromNobodyElse() public {
        vm.expectPartialRevert(IArbExecutor.UnexpectedCall.selector);
        v3.uniswapV3SwapCallback(1, 0, "");
        vm.prank(pool);
        vm.expectPartialRevert(IArbExecutor.UnexpectedCall.selector);
        v3.uniswapV3SwapCallback(1, 0, "");
        vm.prank(address(0));
        vm.expectPartialRevert(IArbExecutor.UnexpectedCall.selector);
        v3.uniswapV3SwapCallback(1, 0, "");
        vm.prank(address(poolManager));
        vm.expectPartialRevert(IArbExecutor.UnexpectedCall.selector);
        v4.unlockCallback("");
        vm.deal(address(this), 1);
        (bool taken,) = address(v4).call{value: 1}("");
        assertFalse(taken);
    }

    function test_aPositionThatExistsIsAdopted() public {
        ITokenMintable(token0).mint(owner, 1e18);
        ITokenMintable(token1).mint(owner, 1e18);
        vm.startPrank(owner);
        (bool ok0,) = token0.call(abi.encodeWithSignature("approve(address,uint256)", positions, 1e18));
        (bool ok1,) = token1.call(abi.encodeWithSignature("approve(address,uint256)", positions, 1e18));
        assertTrue(ok0 && ok1);
        (uint256 id,,,) = positions.mint(
            IPositionsV3.MintParams(token0, token1, 3000, -600, 600, 1e18, 1e18, 0, 0, owner, block.timestamp)
        );
        INft(address(positions)).safeTransferFrom(owner, address(v3), id);
        vm.stopPrank();
        assertEq(v3.tokenId(), id);
        assertEq(INft(address(positions)).ownerOf(id), address(v3));
        // A second one would be forgotten: it is not taken.
        vm.expectRevert(abi.encodeWithSelector(V3LpManager.NotAdoptable.selector, id));
        vm.prank(address(positions));
        v3.onERC721Received(owner, owner, id, "");
        vm.prank(operator);
        v3.move(_move(-1200, 1200, false, 0));
        (int24 lower,,) = v3.position();
        assertEq(lower, -1200);
    }

    function test_aPoolThatIsNotTheFactorysIsRefused() public {
        ILpManager.Bounds memory bounds = ILpManager.Bounds(1, 1, 1);
        address falsePool = address(new FalsePool(token0, token1));
        vm.expectRevert(ILpManager.NoSuchPool.selector);
        new V3LpManager(owner, operator, pauser, oracle, bounds, positions, falsePool);
    }

    function test_theTwapIsAMeanThatOneBlockDoesNotMove() public {
        (bool grown,) = pool.call(abi.encodeWithSignature("increaseObservationCardinalityNext(uint16)", 50));
        assertTrue(grown);
        TwapReference twap = new TwapReference(IObservable(pool), 600, false);
        TwapReference inverted = new TwapReference(IObservable(pool), 600, true);
        vm.warp(block.timestamp + 1000);
        assertEq(twap.sqrtPriceX96(), START);
        _tradeTo(false, _away(START, 2000));
        assertEq(twap.sqrtPriceX96(), START);
        vm.warp(block.timestamp + 300);
        uint160 half = twap.sqrtPriceX96();
        assertApproxEqRel(uint256(half), uint256(_away(START, 954)), 1e15);
        assertApproxEqRel(uint256(inverted.sqrtPriceX96()) * half, 1 << 192, 2e14);
        vm.warp(block.timestamp + 300);
        assertApproxEqRel(uint256(twap.sqrtPriceX96()), uint256(_price(false)), 1e15);
        vm.expectRevert(TwapReference.BadWindow.selector);
        new TwapReference(IObservable(pool), 0, false);
    }

    function test_theFeedIsRefusedWhenOldOrNotPositive() public {
        Feed feed = new Feed();
        FeedReference reference_ = new FeedReference(feed, 3600, 18, 6);
        feed.set(3000e8, block.timestamp - 3600);
        // 3,000 whole token 1 of 6 decimals for one of 18: 3,000 * 10^-12 raw.
        assertApproxEqRel(uint256(reference_.sqrtPriceX96()), FixedSqrt.wanted(3000), 1e12);
        feed.set(3000e8, block.timestamp - 3601);
        vm.expectPartialRevert(FeedReference.NoAnswer.selector);
        reference_.sqrtPriceX96();
        feed.set(0, block.timestamp);
        vm.expectPartialRevert(FeedReference.NoAnswer.selector);
        reference_.sqrtPriceX96();
    }

    function _range(int24 centre, uint24 width, bool zeroForOne, uint256 swapIn)
        private
        view
        returns (ILpManager.Move memory)
    {
        int24 middle = int24(bound(centre, -20, 20)) * SPACING;
        int24 half = int24(uint24(bound(width, 0, 100))) * SPACING;
        return _move(middle - half, middle + half, zeroForOne, swapIn);
    }

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}

contract FalsePool {
    address public token0;
    address public token1;
    uint24 public constant fee = 3000;

    constructor(address token0_, address token1_) {
        (token0, token1) = (token0_, token1_);
    }
}

library FixedSqrt {
    /// @dev The square root of `whole` * 10^-12, times 2^96.
    function wanted(uint256 whole) internal pure returns (uint256 root) {
        uint256 square = (whole << 192) / 1e12;
        root = 1 << 120;
        while (root * root > square) root = (root + square / root) / 2;
    }
}
