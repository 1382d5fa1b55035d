// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {ITokenReads} from "../../src/arbitrage/IVenueCalls.sol";
import {Cycles} from "./Cycles.sol";
import {IExecutorCallbacks} from "./Hostile.sol";

/// @notice Any cycle, any funding, any size, any operator: the contract keeps what it had.
contract ArbExecutorFuzzTest is Cycles {
    function setUp() public {
        _build();
    }

    function testFuzz_theProfitIsWhatTheBeneficiaryGot(uint8 funding, uint8 cycle, uint256 amount, uint256 skew)
        public
    {
        _skew(bound(skew, 0, USDC_DEPTH));
        (IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps) = _any(funding, cycle, amount);
        uint256[4] memory before = _holdings();
        vm.prank(operator);
        (bool succeeded, bytes memory answer) =
            address(executor).call(abi.encodeCall(IArbExecutor.execute, (arbitrage, steps)));
        uint256[4] memory afterwards = _holdings();
        for (uint256 i = 0; i < 4; ++i) {
            assertEq(afterwards[i], before[i]);
        }
        uint256 paid = _held(arbitrage.token, beneficiary);
        if (succeeded) {
            assertEq(paid, abi.decode(answer, (uint256)));
            assertGe(paid, arbitrage.minProfit);
        } else {
            assertEq(paid, 0);
        }
    }

    /// @dev Without a skew every cycle pays fees for nothing, so none may be carried out.
    function testFuzz_nothingComesOfEqualPrices(uint8 funding, uint8 cycle, uint256 amount) public {
        (IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps) = _any(funding, cycle, amount);
        vm.prank(operator);
        (bool succeeded,) = address(executor).call(abi.encodeCall(IArbExecutor.execute, (arbitrage, steps)));
        assertFalse(succeeded);
    }

    function testFuzz_fundingsThatCostNothingGiveTheSame(uint256 amount, uint256 skew) public {
        _skew(bound(skew, 100_000e6, USDC_DEPTH));
        amount = bound(amount, 100e6, 30_000e6);
        uint256 own = _profitOf(IArbExecutor.Funding.Own, amount);
        assertGt(own, 0);
        assertEq(_profitOf(IArbExecutor.Funding.FlashSwap, amount), own);
        assertEq(_profitOf(IArbExecutor.Funding.UnlockV4, amount), own);
        assertEq(_profitOf(IArbExecutor.Funding.Balancer, amount), own);
        assertEq(_profitOf(IArbExecutor.Funding.FlashV3, amount), own - (amount * 3000 + 999_999) / 1_000_000);
    }

    /// @dev The operator's key is stolen: it names its own "pool", any tokens in any order, any lender, and no minimum.
    function testFuzz_aStolenOperatorKeyTakesNothing(uint256 seed) public {
        _tryStolen(seed);
    }

    /// @dev The test above is about what is carried out, not only about what is refused.
    function test_someOfAStolenKeysCyclesAreCarriedOut() public {
        uint256 count = 0;
        for (uint256 seed = 0; seed < 200; ++seed) {
            uint256 state = vm.snapshotState();
            bool succeeded = _tryStolen(seed);
            vm.revertToState(state);
            if (succeeded) ++count;
        }
        assertGt(count, 5);
    }

    function _tryStolen(uint256 seed) private returns (bool succeeded) {
        _skew(_random(seed, 0) % USDC_DEPTH);
        curve.misbehave(_random(seed, 1) % 3 == 0 ? _random(seed, 2) % 10_001 : 10_000, _random(seed, 3) % 12_000);
        address start = [weth, usdc, dai][_random(seed, 5) % 3];
        IArbExecutor.Step[] memory steps = _walk(seed, start);
        IArbExecutor.Arbitrage memory arbitrage = _arbitrage(
            IArbExecutor.Funding(_random(seed, 6) % 6), start, _random(seed, 7) % (2 * _held(start, address(executor)))
        );
        arbitrage.minProfit = 0;
        if (start == weth) arbitrage.tipBps = uint16(_random(seed, 8) % 10_001);
        uint256[4] memory before = _holdings();
        vm.prank(operator);
        (succeeded,) = address(executor).call(abi.encodeCall(IArbExecutor.execute, (arbitrage, steps)));
        uint256[4] memory afterwards = _holdings();
        for (uint256 i = 0; i < 4; ++i) {
            assertGe(afterwards[i], before[i], "it took something");
        }
        if (succeeded) _checkNoApprovals();
    }

    function testFuzz_callbacksOutOfTurn(address caller, uint8 which, uint256 a, uint256 b, bytes calldata data)
        public
    {
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (usdc, a);
        bytes[6] memory calls = [
            abi.encodeCall(IExecutorCallbacks.uniswapV2Call, (caller, a, b, data)),
            abi.encodeCall(IExecutorCallbacks.uniswapV3SwapCallback, (int256(a), int256(b), abi.encode(usdc))),
            abi.encodeCall(IExecutorCallbacks.uniswapV3FlashCallback, (a, b, data)),
            abi.encodeCall(IExecutorCallbacks.unlockCallback, (data)),
            abi.encodeCall(IExecutorCallbacks.executeOperation, (usdc, a, b, address(executor), data)),
            abi.encodeCall(IExecutorCallbacks.receiveFlashLoan, (tokens, amounts, amounts, data))
        ];
        vm.prank(caller);
        (bool succeeded, bytes memory answer) = address(executor).call(calls[which % 6]);
        assertFalse(succeeded);
        assertEq(answer, abi.encodeWithSelector(IArbExecutor.UnexpectedCall.selector, caller));
    }

    function _any(uint8 funding, uint8 cycle, uint256 amount)
        private
        view
        returns (IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps)
    {
        address token = usdc;
        if (cycle % 5 == 0) (token, steps) = (weth, _fromWeth());
        else if (cycle % 5 == 1) steps = _fromUsdc();
        else if (cycle % 5 == 2) steps = _steps(_v2(usdc, weth), _v3(weth, usdc, 3000));
        else if (cycle % 5 == 3) (token, steps) = (dai, _steps(_v2(dai, weth), _v2(weth, usdc), _balancer(usdc, dai)));
        else steps = _steps(_v4(usdc, address(0), 3000), _wrap(address(0), weth), _v2(weth, usdc));
        amount = bound(amount, 1, 2 * _held(token, address(executor)));
        arbitrage = _arbitrage(IArbExecutor.Funding(funding % 6), token, amount);
    }

    /// @dev Walks from pool to pool until it is back where it began, or for six steps, which then make no cycle. One step
    /// in ten is spoiled.
    function _walk(uint256 seed, address start) private view returns (IArbExecutor.Step[] memory steps) {
        steps = new IArbExecutor.Step[](6);
        address held = start;
        uint256 count = 0;
        do {
            uint256 dice = _random(seed, 100 + count);
            IArbExecutor.Step memory step = _anyFrom(held, dice);
            held = step.tokenOut;
            if (dice >> 128 & 15 == 0) step.id = bytes32((dice >> 16) % 2 << 128 | (dice >> 17) % 2);
            if (dice >> 136 & 31 == 0) step.tokenOut = start;
            if (dice >> 144 & 31 == 0) step.fee = uint24(dice >> 152);
            steps[count++] = step;
        } while (count < 6 && held != start);
        assembly ("memory-safe") {
            mstore(steps, count)
        }
    }

    function _anyFrom(address held, uint256 dice) private view returns (IArbExecutor.Step memory) {
        uint24 fee = dice & 64 == 0 ? 500 : 3000;
        uint256 which = dice >> 8;
        if (held == weth) {
            if (which % 4 == 0) return _v2(weth, usdc);
            if (which % 4 == 1) return _v2(weth, dai);
            return which % 4 == 2 ? _v3(weth, usdc, fee) : _wrap(weth, address(0));
        }
        if (held == usdc) {
            if (which % 5 == 0) return _v2(usdc, weth);
            if (which % 5 == 1) return _v3(usdc, weth, fee);
            if (which % 5 == 2) return _v4(usdc, address(0), fee);
            return which % 5 == 3 ? _balancer(usdc, dai) : _curve(usdc, dai);
        }
        if (held == dai) {
            if (which % 3 == 0) return _v2(dai, weth);
            return which % 3 == 1 ? _balancer(dai, usdc) : _curve(dai, usdc);
        }
        return which % 2 == 0 ? _v4(address(0), usdc, fee) : _wrap(address(0), weth);
    }

    function _profitOf(IArbExecutor.Funding funding, uint256 amount) private returns (uint256 profit) {
        uint256 state = vm.snapshotState();
        vm.prank(operator);
        profit = executor.execute(_arbitrage(funding, usdc, amount), _fromUsdc());
        vm.revertToState(state);
    }

    function _holdings() private view returns (uint256[4] memory) {
        address at = address(executor);
        return [_held(weth, at), _held(usdc, at), _held(dai, at), at.balance];
    }

    function _checkNoApprovals() private view {
        address[3] memory tokens = [weth, usdc, dai];
        address[3] memory spenders = [known.balancerVault, known.aavePool, address(curve)];
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = 0; j < 3; ++j) {
                assertEq(ITokenReads(tokens[i]).allowance(address(executor), spenders[j]), 0, "an approval stands");
            }
        }
    }

    function _random(uint256 seed, uint256 use) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, use)));
    }
}
