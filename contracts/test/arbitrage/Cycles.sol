// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {ArbWorld} from "./ArbWorld.sol";

/// @notice Steps and cycles over the world's pools.
abstract contract Cycles is ArbWorld {
    function _v2(address from, address to) internal pure returns (IArbExecutor.Step memory step) {
        (step.kind, step.tokenIn, step.tokenOut, step.fee) = (IArbExecutor.StepKind.V2, from, to, 3000);
    }

    function _v3(address from, address to, uint24 fee) internal pure returns (IArbExecutor.Step memory step) {
        (step.kind, step.tokenIn, step.tokenOut, step.fee) = (IArbExecutor.StepKind.V3, from, to, fee);
    }

    function _v4(address from, address to, uint24 fee) internal pure returns (IArbExecutor.Step memory step) {
        (step.kind, step.tokenIn, step.tokenOut, step.fee) = (IArbExecutor.StepKind.V4, from, to, fee);
        step.tickSpacing = fee == 500 ? int24(10) : int24(60);
    }

    function _balancer(address from, address to) internal view returns (IArbExecutor.Step memory step) {
        (step.kind, step.tokenIn, step.tokenOut, step.id) = (IArbExecutor.StepKind.Balancer, from, to, stableId);
    }

    function _curve(address from, address to) internal view returns (IArbExecutor.Step memory step) {
        (step.kind, step.venue, step.tokenIn, step.tokenOut) = (IArbExecutor.StepKind.Curve, address(curve), from, to);
        step.id = from == usdc ? bytes32(uint256(1)) : bytes32(uint256(1) << 128);
    }

    function _wrap(address from, address to) internal pure returns (IArbExecutor.Step memory step) {
        (step.kind, step.tokenIn, step.tokenOut) = (IArbExecutor.StepKind.Wrap, from, to);
    }

    function _steps(IArbExecutor.Step memory a, IArbExecutor.Step memory b)
        internal
        pure
        returns (IArbExecutor.Step[] memory steps)
    {
        steps = new IArbExecutor.Step[](2);
        (steps[0], steps[1]) = (a, b);
    }

    function _steps(IArbExecutor.Step memory a, IArbExecutor.Step memory b, IArbExecutor.Step memory c)
        internal
        pure
        returns (IArbExecutor.Step[] memory steps)
    {
        steps = new IArbExecutor.Step[](3);
        (steps[0], steps[1], steps[2]) = (a, b, c);
    }

    function _steps(
        IArbExecutor.Step memory a,
        IArbExecutor.Step memory b,
        IArbExecutor.Step memory c,
        IArbExecutor.Step memory d
    ) internal pure returns (IArbExecutor.Step[] memory steps) {
        steps = new IArbExecutor.Step[](4);
        (steps[0], steps[1], steps[2], steps[3]) = (a, b, c, d);
    }

    function _arbitrage(IArbExecutor.Funding funding, address token, uint256 amount)
        internal
        view
        returns (IArbExecutor.Arbitrage memory arbitrage)
    {
        arbitrage.funding = funding;
        arbitrage.token = token;
        arbitrage.amount = amount;
        arbitrage.minProfit = 1;
        arbitrage.deadline = block.timestamp;
        arbitrage.maxBlock = block.number;
        if (funding == IArbExecutor.Funding.FlashV3) {
            (arbitrage.lenderToken, arbitrage.lenderFee) = (token == weth ? usdc : weth, 3000);
        }
    }

    /// @dev From WETH, dear on V2 after a skew: sold there, bought back with the coin on V4.
    function _fromWeth() internal view returns (IArbExecutor.Step[] memory) {
        return _steps(_v2(weth, usdc), _v4(usdc, address(0), 500), _wrap(address(0), weth));
    }

    /// @dev From USDC: WETH bought on V3, sold on V2, where it is dear after a skew.
    function _fromUsdc() internal view returns (IArbExecutor.Step[] memory) {
        return _steps(_v3(usdc, weth, 500), _v2(weth, usdc));
    }
}
