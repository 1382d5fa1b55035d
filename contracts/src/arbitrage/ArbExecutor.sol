// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {ExecutorRoles} from "./ExecutorRoles.sol";
import {IArbExecutor} from "./IArbExecutor.sol";
import {
    IAavePoolCalls,
    IBalancerVaultCalls,
    IPoolManagerCalls,
    IPoolV3Calls,
    ITokenReads,
    IWrappedCoin
} from "./IVenueCalls.sol";
import {Swaps} from "./Swaps.sol";

/// @title Carries out one cycle of swaps in one transaction, or none of it.
/// @dev The balance of the cycle's token before and after decides, however the money moved in between. Lenders call back
/// with `(amount, steps)`, which they were given; a V3 pool that is merely to be paid gets back the token, 32 bytes.
contract ArbExecutor is Swaps {
    uint256 private constant BPS = 10_000;
    uint256 private constant ONE_WORD = 32;

    constructor(address owner_, address operator_, address pauser_, address beneficiary_, Venues memory known)
        ExecutorRoles(owner_, operator_, pauser_, beneficiary_)
        Swaps(known)
    {}

    /// @inheritdoc IArbExecutor
    function execute(Arbitrage calldata arbitrage, Step[] calldata steps)
        external
        override
        onlyOperator
        whenRunning
        nonReentrant
        returns (uint256 profit)
    {
        if (block.timestamp > arbitrage.deadline) revert Expired(arbitrage.deadline, block.timestamp);
        if (block.number > arbitrage.maxBlock) revert TooLate(arbitrage.maxBlock, block.number);
        _checkTip(arbitrage);
        _checkCycle(arbitrage.token, steps);
        uint256 before = ITokenReads(arbitrage.token).balanceOf(address(this));
        _fund(arbitrage, steps);
        return _share(arbitrage, before);
    }

    /// @notice A V2 pair has delivered the first step's output and wants its input.
    function uniswapV2Call(address sender, uint256 out0, uint256 out1, bytes calldata data) external onlyExpected {
        if (sender != address(this)) revert UnexpectedCall(sender);
        _continueAndPay(out0 + out1, data);
    }

    /// @notice A V3 pool has delivered and wants to be paid: at once, or after the steps that follow.
    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external onlyExpected {
        (int256 owed, int256 out) = delta0 > 0 ? (delta0, delta1) : (delta1, delta0);
        if (data.length == ONE_WORD) {
            // forge-lint: disable-next-line(unsafe-typecast)
            SafeTransferLib.safeTransfer(abi.decode(data, (address)), msg.sender, uint256(owed));
        } else {
            // forge-lint: disable-next-line(unsafe-typecast)
            _continueAndPay(uint256(-out), data);
        }
    }

    /// @notice A V3 pool has lent and wants the amount back with its fee.
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external onlyExpected {
        (uint256 amount, Step[] memory steps) = abi.decode(data, (uint256, Step[]));
        _run(steps, 0, amount);
        SafeTransferLib.safeTransfer(steps[0].tokenIn, msg.sender, amount + fee0 + fee1);
    }

    /// @notice Uniswap V4's manager is open: for the whole cycle, or for the V4 steps that come next.
    function unlockCallback(bytes calldata data) external onlyExpected returns (bytes memory) {
        (bool isFunding, uint256 index, uint256 amount, Step[] memory steps) =
            abi.decode(data, (bool, uint256, uint256, Step[]));
        if (isFunding) {
            _runOnCredit(steps, amount);
            return "";
        }
        _settleV4(steps[index].tokenIn, amount);
        do {
            amount = _swapV4(steps[index], amount);
            ++index;
        } while (index < steps.length && steps[index].kind == StepKind.V4);
        _takeV4(steps[index - 1].tokenOut, amount);
        return abi.encode(index, amount);
    }

    /// @notice Aave has lent and takes the amount and its premium when this returns.
    function executeOperation(address asset, uint256 amount, uint256 premium, address initiator, bytes calldata data)
        external
        onlyExpected
        returns (bool)
    {
        if (initiator != address(this)) revert UnexpectedCall(initiator);
        (, Step[] memory steps) = abi.decode(data, (uint256, Step[]));
        _run(steps, 0, amount);
        SafeTransferLib.safeApprove(asset, msg.sender, amount + premium);
        return true;
    }

    /// @notice Balancer's Vault has lent and wants the amount back with its fee.
    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata fees,
        bytes calldata data
    ) external onlyExpected {
        (, Step[] memory steps) = abi.decode(data, (uint256, Step[]));
        _run(steps, 0, amounts[0]);
        SafeTransferLib.safeTransfer(tokens[0], msg.sender, amounts[0] + fees[0]);
    }

    function _fund(Arbitrage calldata arbitrage, Step[] calldata steps) private {
        (Funding funding, uint256 amount) = (arbitrage.funding, arbitrage.amount);
        if (funding == Funding.Own) {
            _run(steps, 0, amount);
            return;
        }
        bytes memory data = abi.encode(amount, steps);
        if (funding == Funding.FlashSwap) _flashSwap(steps[0], amount, data);
        else if (funding == Funding.FlashV3) _flashV3(arbitrage, data);
        else if (funding == Funding.UnlockV4) _unlock(abi.encode(true, uint256(0), amount, steps));
        else if (funding == Funding.Aave) _flashAave(arbitrage.token, amount, data);
        else _flashBalancer(arbitrage.token, amount, data);
    }

    function _flashSwap(Step memory first, uint256 amount, bytes memory data) private {
        if (first.kind == StepKind.V2) {
            address pair = _pairV2(first);
            uint256 out = _quoteV2Down(pair, first, amount);
            if (out == 0) revert NothingOut(first.tokenIn, first.tokenOut);
            _expect(pair);
            _deliverV2(pair, first, out, data);
            _expectNoMore();
        } else if (first.kind == StepKind.V3) {
            _swapV3(first, amount, data);
        } else {
            revert CannotFlashSwap(first.kind);
        }
    }

    function _flashV3(Arbitrage calldata arbitrage, bytes memory data) private {
        (address token, address other) = (arbitrage.token, arbitrage.lenderToken);
        address pool = _poolV3(address(0), token, other, arbitrage.lenderFee);
        (uint256 amount0, uint256 amount1) =
            token < other ? (arbitrage.amount, uint256(0)) : (uint256(0), arbitrage.amount);
        _expect(pool);
        IPoolV3Calls(pool).flash(address(this), amount0, amount1, data);
        _expectNoMore();
    }

    function _flashAave(address token, uint256 amount, bytes memory data) private {
        _expect(AAVE_POOL);
        IAavePoolCalls(AAVE_POOL).flashLoanSimple(address(this), token, amount, data, 0);
        _expectNoMore();
    }

    function _flashBalancer(address token, uint256 amount, bytes memory data) private {
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (token, amount);
        _expect(BALANCER_VAULT);
        IBalancerVaultCalls(BALANCER_VAULT).flashLoan(address(this), tokens, amounts, data);
        _expectNoMore();
    }

    function _unlock(bytes memory data) private returns (bytes memory answer) {
        _expect(POOL_MANAGER);
        answer = IPoolManagerCalls(POOL_MANAGER).unlock(data);
        _expectNoMore();
    }

    /// @dev Carries out the steps from `index` on, each with what the former gave; V4 steps side by side in one unlock.
    function _run(Step[] memory steps, uint256 index, uint256 amount) private {
        while (index < steps.length) {
            if (steps[index].kind == StepKind.V4) {
                bytes memory answer = _unlock(abi.encode(false, index, amount, steps));
                (index, amount) = abi.decode(answer, (uint256, uint256));
            } else {
                amount = _swap(steps[index], amount);
                ++index;
            }
        }
    }

    /// @dev Carries out all steps with the manager open, on credit: tokens move only into and out of other venues.
    function _runOnCredit(Step[] memory steps, uint256 borrowed) private {
        uint256 amount = borrowed;
        bool inHand = false;
        for (uint256 i = 0; i < steps.length; ++i) {
            Step memory step = steps[i];
            if (step.kind == StepKind.V4) {
                if (inHand) _settleV4(step.tokenIn, amount);
                amount = _swapV4(step, amount);
                inHand = false;
            } else {
                if (!inHand) _takeV4(step.tokenIn, amount);
                amount = _swap(step, amount);
                inHand = true;
            }
        }
        if (inHand) _settleV4(steps[0].tokenIn, borrowed);
        else if (amount < borrowed) _settleV4(steps[0].tokenIn, borrowed - amount);
        else if (amount > borrowed) _takeV4(steps[0].tokenIn, amount - borrowed);
    }

    /// @dev The first step's output is here: carry out the rest, then pay for it.
    function _continueAndPay(uint256 out, bytes calldata data) private {
        (uint256 amount, Step[] memory steps) = abi.decode(data, (uint256, Step[]));
        _run(steps, 1, out);
        SafeTransferLib.safeTransfer(steps[0].tokenIn, msg.sender, amount);
    }

    /// @dev Divides what the cycle left: the builder's tip, then the beneficiary's profit.
    function _share(Arbitrage calldata arbitrage, uint256 before) private returns (uint256 profit) {
        address token = arbitrage.token;
        uint256 afterwards = ITokenReads(token).balanceOf(address(this));
        // No token counts to 2^255.
        // forge-lint: disable-next-line(unsafe-typecast)
        if (afterwards < before) revert ProfitBelowMinimum(-int256(before - afterwards), arbitrage.minProfit);
        profit = afterwards - before;
        uint256 tip = profit * arbitrage.tipBps / BPS;
        profit -= tip;
        // forge-lint: disable-next-line(unsafe-typecast)
        if (profit < arbitrage.minProfit) revert ProfitBelowMinimum(int256(profit), arbitrage.minProfit);
        emit Executed(token, arbitrage.funding, arbitrage.amount, profit, tip);
        if (tip != 0) {
            IWrappedCoin(WETH).withdraw(tip);
            SafeTransferLib.safeTransferETH(block.coinbase, tip);
        }
        if (profit != 0) SafeTransferLib.safeTransfer(token, beneficiary, profit);
    }

    function _checkTip(Arbitrage calldata arbitrage) private view {
        if (arbitrage.tipBps > BPS) revert TipTooLarge(arbitrage.tipBps);
        if (arbitrage.tipBps != 0 && arbitrage.token != WETH) revert TipNeedsWrappedCoin(arbitrage.token);
    }

    function _checkCycle(address token, Step[] calldata steps) private pure {
        if (steps.length == 0) revert NoSteps();
        address held = token;
        for (uint256 i = 0; i < steps.length; ++i) {
            if (steps[i].tokenIn != held) revert BrokenCycle(i);
            held = steps[i].tokenOut;
        }
        if (held != token) revert BrokenCycle(steps.length);
    }
}
