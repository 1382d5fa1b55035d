// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ITokenReads} from "../../src/arbitrage/IVenueCalls.sol";
import {ILpManager} from "../../src/liquidity/ILpManager.sol";
import {LpManager} from "../../src/liquidity/LpManager.sol";
import {LpWorld} from "./LpWorld.sol";

/// @notice Operators move, others trade and move the true price, the pauser pauses, time passes.
contract LpHandler is LpWorld {
    uint256 public moves;
    uint256 public paused;
    uint256 public worstBps;
    bool public movedWhilePaused;

    /// @dev Not a constructor: pools call back.
    function build() external {
        _build();
    }

    function trade(bool isV4, int256 bps) external {
        _tradeTo(isV4, _away(oracle.sqrtPriceX96(), bound(bps, -150, 150)));
    }

    function drift(int256 bps) external {
        oracle.set(_away(oracle.sqrtPriceX96(), bound(bps, -80, 80)));
    }

    function move(bool isV4, int24 centre, uint24 width, bool zeroForOne, uint256 swapIn) external {
        LpManager manager = _manager(isV4);
        int24 middle = int24(bound(centre, -10, 10)) * SPACING;
        int24 half = int24(uint24(bound(width, 0, 120))) * SPACING;
        ILpManager.Move memory wanted = _move(middle - half, middle + half, zeroForOne, bound(swapIn, 0, OWN));
        vm.prank(operator);
        // What is in the position but not collected yet is not in `valueDown`: it is paid out, so that it does not hide a
        // loss.
        try manager.collectToOwner() {} catch {}
        uint256 before = manager.valueDown();
        vm.prank(operator);
        try manager.move(wanted) {
            ++moves;
            if (manager.isPaused()) movedWhilePaused = true;
            uint256 left = manager.valueDown();
            if (left < before) {
                uint256 bps = ((before - left) * 10_000 + before - 1) / before;
                if (bps > worstBps) worstBps = bps;
            }
        } catch {}
    }

    function pauseOrNot(bool isV4, bool stop) external {
        LpManager manager = _manager(isV4);
        vm.prank(stop ? pauser : owner);
        if (stop) manager.pause();
        else manager.unpause();
        if (stop) ++paused;
    }

    function wait_(uint256 seconds_) external {
        vm.warp(block.timestamp + bound(seconds_, 1, 20_000));
    }

    function managers() external view returns (LpManager, LpManager) {
        return (v3, v4);
    }

    function tokens() external view returns (address, address) {
        return (token0, token1);
    }

    function people() external view returns (address, address) {
        return (operator, address(positions));
    }
}

contract LpManagerInvariant is LpWorld {
    LpHandler private handler;

    function setUp() public {
        handler = new LpHandler();
        handler.build();
        targetContract(address(handler));
        bytes4[] memory used = new bytes4[](5);
        used[0] = LpHandler.trade.selector;
        used[1] = LpHandler.drift.selector;
        used[2] = LpHandler.move.selector;
        used[3] = LpHandler.pauseOrNot.selector;
        used[4] = LpHandler.wait_.selector;
        targetSelector(FuzzSelector(address(handler), used));
    }

    /// @dev No single move, nor all of a day, lost more than the bounds; and nothing moved while it was paused.
    function invariant_lossesStayWithinTheBounds() public view {
        assertLe(handler.worstBps(), 51); // 50, and one for what rounding up a share of a basis point adds
        (LpManager one, LpManager other) = handler.managers();
        assertLe(one.spentBpsUp(), 200);
        assertLe(other.spentBpsUp(), 200);
        assertFalse(handler.movedWhilePaused());
    }

    /// @dev Operators hold nothing, and nothing stays approved.
    function invariant_nothingLeavesButToTheOwner() public view {
        (address a, address b) = handler.tokens();
        (address someone, address spender) = handler.people();
        (LpManager one,) = handler.managers();
        assertEq(ITokenReads(a).balanceOf(someone) + ITokenReads(b).balanceOf(someone), 0);
        assertEq(ITokenReads(a).allowance(address(one), spender), 0);
        assertEq(ITokenReads(b).allowance(address(one), spender), 0);
    }
}
