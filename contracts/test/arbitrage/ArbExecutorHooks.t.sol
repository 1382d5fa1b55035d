// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";

import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {Cycles} from "./Cycles.sol";
import {HostileHook} from "./HostileHook.sol";
import {IExecutorCallbacks} from "./Hostile.sol";

/// @notice A pool of the genuine PoolManager with a hook that is nobody's friend, in the middle of a cycle.
contract ArbExecutorHooksTest is Cycles {
    /// @dev The lowest bits say what the manager asks of a hook: before a swap, after it, and what that takes.
    address payable private constant HOOK = payable(address(uint160(0xbad << 100 | 1 << 7 | 1 << 6 | 1 << 2)));
    HostileHook private hook;

    function setUp() public {
        _build();
        vm.etch(HOOK, type(HostileHook).runtimeCode);
        hook = HostileHook(HOOK);
        _poolV4(3000, 60, 887_220, HOOK);
        _skew(300_000e6);
    }

    function test_aHookThatTakesItsShareLeavesTheRest() public {
        uint256 whole = _execute(IArbExecutor.Funding.Own, "");
        hook.takeOf(0.01 ether);
        uint256 less = _execute(IArbExecutor.Funding.Own, "");
        assertLt(less, whole);
        assertGt(less, 0);
        assertEq(_execute(IArbExecutor.Funding.UnlockV4, ""), less);
    }

    function test_aHookThatTakesAllOrMoreLeavesNothingToGoOnWith() public {
        // The pool gives less than 10.
        for (uint256 i = 0; i < 2; ++i) {
            hook.takeOf(i == 0 ? int128(100 ether) : int128(10 ether));
            _refused(IArbExecutor.Funding.Own);
            _refused(IArbExecutor.Funding.UnlockV4);
            _refused(IArbExecutor.Funding.Aave);
        }
    }

    function testFuzz_aHookTakesNothingOfWhatWasThere(int128 amount, uint8 funding) public {
        hook.takeOf(int128(bound(amount, -1 ether, 20 ether)));
        uint256[4] memory before = _holdings();
        vm.prank(operator);
        (bool succeeded,) = address(executor).call(_call(IArbExecutor.Funding(funding % 6)));
        uint256[4] memory afterwards = _holdings();
        for (uint256 i = 0; i < 4; ++i) {
            assertEq(afterwards[i], before[i]);
        }
        if (succeeded) assertGt(_held(usdc, beneficiary), 0);
    }

    function test_aHookCannotCallBackNorEnterAgain() public {
        vm.prank(owner);
        executor.setOperator(HOOK, true);
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (usdc, 1e6);
        bytes memory data = abi.encode(uint256(1e6), _steps());
        bytes[6] memory calls = [
            abi.encodeCall(IExecutorCallbacks.unlockCallback, (abi.encode(true, 0, 1e6, _steps()))),
            abi.encodeCall(IExecutorCallbacks.uniswapV3SwapCallback, (1e6, -1e6, abi.encode(usdc))),
            abi.encodeCall(IExecutorCallbacks.uniswapV2Call, (address(executor), 1e6, 0, data)),
            abi.encodeCall(IExecutorCallbacks.executeOperation, (usdc, 1e6, 0, address(executor), data)),
            abi.encodeCall(IExecutorCallbacks.receiveFlashLoan, (tokens, amounts, amounts, data)),
            _call(IArbExecutor.Funding.Own)
        ];
        IArbExecutor.Funding[3] memory fundings =
            [IArbExecutor.Funding.Own, IArbExecutor.Funding.UnlockV4, IArbExecutor.Funding.Balancer];
        for (uint256 i = 0; i < calls.length; ++i) {
            hook.callBetween(address(executor), calls[i]);
            bytes memory refusal = i == 5
                ? abi.encodeWithSelector(ReentrancyGuardTransient.Reentrancy.selector)
                : abi.encodeWithSelector(IArbExecutor.UnexpectedCall.selector, HOOK);
            for (uint256 j = 0; j < fundings.length; ++j) {
                assertGt(_execute(fundings[j], refusal), 0);
            }
        }
    }

    function _steps() private view returns (IArbExecutor.Step[] memory steps) {
        steps = _steps(_v4(usdc, address(0), 3000), _wrap(address(0), weth), _v2(weth, usdc));
        steps[0].venue = HOOK;
    }

    function _call(IArbExecutor.Funding funding) private view returns (bytes memory) {
        return abi.encodeCall(IArbExecutor.execute, (_arbitrage(funding, usdc, 18_000e6), _steps()));
    }

    /// @dev Executes and puts the world back. `refusal`: what the hook was answered, where it calls.
    function _execute(IArbExecutor.Funding funding, bytes memory refusal) private returns (uint256 profit) {
        uint256 state = vm.snapshotState();
        uint256[4] memory before = _holdings();
        vm.prank(operator);
        profit = executor.execute(_arbitrage(funding, usdc, 18_000e6), _steps());
        uint256[4] memory afterwards = _holdings();
        for (uint256 i = 0; i < 4; ++i) {
            assertEq(afterwards[i], before[i]);
        }
        assertEq(_held(usdc, beneficiary), profit);
        assertTrue(hook.wasCalled());
        assertFalse(hook.callSucceeded());
        assertEq(hook.callAnswer(), refusal);
        vm.revertToState(state);
    }

    function _refused(IArbExecutor.Funding funding) private {
        vm.prank(operator);
        (bool succeeded, bytes memory answer) = address(executor).call(_call(funding));
        assertFalse(succeeded);
        assertEq(answer, abi.encodeWithSelector(IArbExecutor.NothingOut.selector, usdc, address(0)));
    }

    function _holdings() private view returns (uint256[4] memory) {
        address at = address(executor);
        return [_held(weth, at), _held(usdc, at), _held(dai, at), at.balance];
    }
}
