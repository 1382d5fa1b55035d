// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {Cycles} from "./Cycles.sol";

/// @notice Prices move, an operator tries cycles good and bad, the pauser and the owner do their part, in any order.
contract ArbExecutorHandler is Cycles {
    uint256[4] public least;
    uint256 public profits;
    uint256 public executed;
    uint256 public executedWhilePaused;
    uint256 public fellBelow;

    /// @dev Not in the constructor: pools call back while the world is made.
    function begin() external {
        _build();
        least = holdings();
    }

    function skew(uint256 given) external {
        _skew(bound(given, 1e6, 50_000e6));
    }

    function skewV4(uint256 usdcIn) external {
        _skewV4(bound(usdcIn, 1e6, 20_000e6));
    }

    function execute(uint8 funding, uint8 cycle, uint256 amount, uint16 tipBps) external {
        address token = usdc;
        IArbExecutor.Step[] memory steps;
        if (cycle % 4 == 0) (token, steps) = (weth, _fromWeth());
        else if (cycle % 4 == 1) steps = _fromUsdc();
        else if (cycle % 4 == 2) steps = _steps(_v4(usdc, address(0), 500), _v4(address(0), usdc, 3000));
        else steps = _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _curve(usdc, dai), _balancer(dai, usdc));
        amount = bound(amount, token == weth ? 0.001 ether : 1e6, token == weth ? 60 ether : 120_000e6);
        IArbExecutor.Arbitrage memory arbitrage = _arbitrage(IArbExecutor.Funding(funding % 6), token, amount);
        if (token == weth) arbitrage.tipBps = tipBps % 10_001;
        arbitrage.minProfit = 0;
        _try(arbitrage, steps);
    }

    function hostile(uint256 taken, uint256 given, uint256 amount) external {
        curve.misbehave(bound(taken, 0, 10_000), bound(given, 0, 11_000));
        IArbExecutor.Step[] memory steps = _steps(_curve(usdc, dai), _balancer(dai, usdc));
        IArbExecutor.Arbitrage memory arbitrage =
            _arbitrage(IArbExecutor.Funding.Own, usdc, bound(amount, 1, 100_000e6));
        arbitrage.minProfit = 0;
        _try(arbitrage, steps);
        curve.misbehave(10_000, 9996);
    }

    function pause(uint8 dice) external {
        if (dice % 4 != 0) return;
        vm.prank(pauser);
        executor.pause();
    }

    function unpause() external {
        vm.prank(owner);
        executor.unpause();
    }

    function sweep(uint256 which, uint256 amount) external {
        address[4] memory tokens = [weth, usdc, dai, address(0)];
        address token = tokens[which % 4];
        amount = bound(amount, 0, _held(token, address(executor)) / 20);
        bool wasPaused = executor.isPaused();
        vm.prank(owner);
        try executor.sweep(token, amount) {
            if (wasPaused) ++executedWhilePaused;
            least[which % 4] -= amount;
        } catch {}
    }

    function holdings() public view returns (uint256[4] memory) {
        address at = address(executor);
        return [_held(weth, at), _held(usdc, at), _held(dai, at), at.balance];
    }

    function paidOut() external view returns (uint256) {
        return _held(weth, beneficiary) + _held(usdc, beneficiary) + _held(dai, beneficiary);
    }

    function _try(IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps) private {
        bool wasPaused = executor.isPaused();
        uint256[4] memory before = holdings();
        vm.prank(operator);
        try executor.execute(arbitrage, steps) returns (uint256 profit) {
            ++executed;
            profits += profit;
            if (wasPaused) ++executedWhilePaused;
        } catch {}
        uint256[4] memory afterwards = holdings();
        for (uint256 i = 0; i < 4; ++i) {
            if (afterwards[i] < before[i]) ++fellBelow;
        }
    }
}

contract ArbExecutorInvariantTest is Cycles {
    ArbExecutorHandler private handler;

    function setUp() public {
        handler = new ArbExecutorHandler();
        handler.begin();
        targetContract(address(handler));
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = ArbExecutorHandler.skew.selector;
        selectors[1] = ArbExecutorHandler.skewV4.selector;
        selectors[2] = ArbExecutorHandler.execute.selector;
        selectors[3] = ArbExecutorHandler.hostile.selector;
        selectors[4] = ArbExecutorHandler.pause.selector;
        selectors[5] = ArbExecutorHandler.unpause.selector;
        selectors[6] = ArbExecutorHandler.sweep.selector;
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    function invariant_itNeverEndsWithLessThanItHad() public view {
        assertEq(handler.fellBelow(), 0);
        uint256[4] memory held = handler.holdings();
        for (uint256 i = 0; i < 4; ++i) {
            assertGe(held[i], handler.least(i));
        }
    }

    function invariant_aPausedContractMovesNothing() public view {
        assertEq(handler.executedWhilePaused(), 0);
    }

    function invariant_whatItCallsProfitIsPaid() public view {
        assertEq(handler.paidOut(), handler.profits());
    }
}
