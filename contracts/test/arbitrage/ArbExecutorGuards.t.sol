// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

import {ArbExecutor} from "../../src/arbitrage/ArbExecutor.sol";
import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {Cycles} from "./Cycles.sol";
import {HostileFactory, HostileLender, IExecutorCallbacks} from "./Hostile.sol";

/// @notice What the executor refuses: each guard has a test here that fails without it (`scripts/contract-mutants`).
contract ArbExecutorGuardsTest is Cycles {
    IArbExecutor.Funding private constant OWN = IArbExecutor.Funding.Own;

    function setUp() public {
        _build();
        _skew(300_000e6);
    }

    function test_onlyOperatorsExecute() public {
        address[5] memory others = [owner, pauser, beneficiary, address(this), address(0)];
        for (uint256 i = 0; i < 5; ++i) {
            _refused(others[i], _plain(), _fromUsdc(), IArbExecutor.NotOperator.selector);
        }
        vm.prank(owner);
        executor.setOperator(address(this), true);
        assertGt(executor.execute(_plain(), _fromUsdc()), 0);
        vm.prank(owner);
        executor.setOperator(address(this), false);
        _refused(address(this), _plain(), _fromUsdc(), IArbExecutor.NotOperator.selector);
    }

    function test_aPausedContractMovesNothing() public {
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IArbExecutor.NotPauser.selector, operator));
        executor.pause();
        vm.prank(pauser);
        executor.pause();
        _refused(operator, _plain(), _fromUsdc(), IArbExecutor.IsPaused.selector);
        vm.prank(owner);
        vm.expectRevert(IArbExecutor.IsPaused.selector);
        executor.sweep(usdc, 1);
        vm.prank(pauser);
        vm.expectRevert(Ownable.Unauthorized.selector);
        executor.unpause();
        vm.prank(owner);
        executor.unpause();
        _accepted(_plain(), _fromUsdc());
        vm.prank(owner);
        executor.pause();
        assertTrue(executor.isPaused());
    }

    function test_lateIsNever() public {
        IArbExecutor.Arbitrage memory late = _plain();
        late.deadline = block.timestamp - 1;
        _refused(operator, late, _fromUsdc(), IArbExecutor.Expired.selector);
        late.deadline = block.timestamp;
        late.maxBlock = block.number - 1;
        _refused(operator, late, _fromUsdc(), IArbExecutor.TooLate.selector);
        late.maxBlock = block.number;
        _accepted(late, _fromUsdc());
    }

    function test_theMinimumIsToTheUnit() public {
        uint256 profit = _accepted(_plain(), _fromUsdc());
        IArbExecutor.Arbitrage memory wanted = _plain();
        wanted.minProfit = profit + 1;
        _refused(operator, wanted, _fromUsdc(), IArbExecutor.ProfitBelowMinimum.selector);
        wanted.minProfit = profit;
        _accepted(wanted, _fromUsdc());
    }

    function test_aLossIsRefusedWhateverTheMinimum() public {
        IArbExecutor.Arbitrage memory losing = _plain();
        losing.minProfit = 0;
        IArbExecutor.Step[] memory steps = _steps(_v2(usdc, weth), _v3(weth, usdc, 500));
        _refused(operator, losing, steps, IArbExecutor.ProfitBelowMinimum.selector);
    }

    function test_callbacksOutOfTurnAreRefused() public {
        address[7] memory callers =
            [address(0), address(1), operator, pair, known.poolManager, known.aavePool, known.balancerVault];
        bytes memory data = abi.encode(uint256(1), _fromUsdc());
        (address[] memory tokens, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (tokens[0], amounts[0]) = (usdc, 1);
        bytes[6] memory calls = [
            abi.encodeCall(IExecutorCallbacks.uniswapV2Call, (address(executor), 1, 0, data)),
            abi.encodeCall(IExecutorCallbacks.uniswapV3SwapCallback, (1e6, -1e6, abi.encode(usdc))),
            abi.encodeCall(IExecutorCallbacks.uniswapV3FlashCallback, (1e6, 0, data)),
            abi.encodeCall(IExecutorCallbacks.unlockCallback, (abi.encode(true, 0, 1, _fromUsdc()))),
            abi.encodeCall(IExecutorCallbacks.executeOperation, (usdc, 1e6, 0, address(executor), data)),
            abi.encodeCall(IExecutorCallbacks.receiveFlashLoan, (tokens, amounts, amounts, data))
        ];
        for (uint256 i = 0; i < callers.length; ++i) {
            for (uint256 j = 0; j < calls.length; ++j) {
                vm.prank(callers[i]);
                (bool succeeded, bytes memory answer) = address(executor).call(calls[j]);
                assertFalse(succeeded);
                assertEq(answer, abi.encodeWithSelector(IArbExecutor.UnexpectedCall.selector, callers[i]));
            }
        }
    }

    function test_callbacksBetweenStepsAreRefused() public {
        // While one step's pool has the turn, nobody is awaited.
        IArbExecutor.Step[] memory steps =
            _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _curve(usdc, dai), _balancer(dai, usdc));
        bytes memory call = abi.encodeCall(IExecutorCallbacks.uniswapV3SwapCallback, (1e6, -1e6, abi.encode(usdc)));
        curve.callBetween(address(executor), call);
        _execute(_plain(), steps);
        assertFalse(curve.callSucceeded());
        assertEq(curve.callAnswer(), abi.encodeWithSelector(IArbExecutor.UnexpectedCall.selector, address(curve)));
    }

    function test_nothingIsEnteredTwice() public {
        executor = new ArbExecutor(address(curve), operator, pauser, beneficiary, known);
        vm.prank(address(curve));
        executor.setOperator(address(curve), true);
        _give(usdc, address(executor), OWN_USDC);
        IArbExecutor.Step[] memory steps =
            _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _curve(usdc, dai), _balancer(dai, usdc));
        bytes[2] memory calls = [
            abi.encodeCall(IArbExecutor.sweep, (usdc, 1)), abi.encodeCall(IArbExecutor.execute, (_plain(), _fromUsdc()))
        ];
        for (uint256 i = 0; i < 2; ++i) {
            curve.callBetween(address(executor), calls[i]);
            _execute(_plain(), steps);
            assertFalse(curve.callSucceeded());
            assertEq(curve.callAnswer(), abi.encodeWithSelector(ReentrancyGuardTransient.Reentrancy.selector));
        }
    }

    function test_lendersThatDoNotDoAsTheyShould() public {
        HostileLender lender = new HostileLender();
        IArbExecutor.Venues memory hostile = known;
        (hostile.aavePool, hostile.balancerVault, hostile.poolManager) =
        (address(lender), address(lender), address(lender));
        executor = new ArbExecutor(owner, operator, pauser, beneficiary, hostile);
        _give(usdc, address(executor), OWN_USDC);
        IArbExecutor.Funding[3] memory fundings =
            [IArbExecutor.Funding.Aave, IArbExecutor.Funding.Balancer, IArbExecutor.Funding.UnlockV4];
        for (uint256 i = 0; i < 3; ++i) {
            lender.behave(HostileLender.Manner.Silent, usdc);
            _refused(
                operator,
                _arbitrage(fundings[i], usdc, 1e6),
                _fromUsdc(),
                IArbExecutor.CallbackMissing.selector,
                address(lender)
            );
        }
        for (uint256 i = 0; i < 2; ++i) {
            lender.behave(HostileLender.Manner.Honest, usdc);
            _accepted(_arbitrage(fundings[i], usdc, 1e6), _fromUsdc());
            lender.behave(HostileLender.Manner.Twice, usdc);
            _refused(
                operator,
                _arbitrage(fundings[i], usdc, 1e6),
                _fromUsdc(),
                IArbExecutor.UnexpectedCall.selector,
                address(lender)
            );
        }
        lender.behave(HostileLender.Manner.ForAnother, usdc);
        _refused(
            operator,
            _arbitrage(IArbExecutor.Funding.Aave, usdc, 1e6),
            _fromUsdc(),
            IArbExecutor.UnexpectedCall.selector,
            address(lender)
        );
    }

    function test_aTrustedFactorysPairThatDoesNotDoAsItShould() public {
        HostileFactory factory = new HostileFactory();
        HostileLender lender = factory.createPair(usdc, dai);
        vm.prank(owner);
        executor.setFactory(address(factory), keccak256(type(HostileLender).creationCode));
        // That pair gives one unit for one: six decimals for eighteen, a profit worth having.
        IArbExecutor.Step[] memory steps = _steps(_v2(dai, usdc), _balancer(usdc, dai));
        steps[0].venue = address(factory);
        IArbExecutor.Arbitrage memory arbitrage = _arbitrage(IArbExecutor.Funding.FlashSwap, dai, 1e6);
        lender.behave(HostileLender.Manner.Silent, usdc);
        _refused(operator, arbitrage, steps, IArbExecutor.CallbackMissing.selector, address(lender));
        lender.behave(HostileLender.Manner.ForAnother, usdc);
        _refused(operator, arbitrage, steps, IArbExecutor.UnexpectedCall.selector, address(lender));
        lender.behave(HostileLender.Manner.Honest, usdc);
        _accepted(arbitrage, steps);
        lender.behave(HostileLender.Manner.Twice, usdc);
        _refused(operator, arbitrage, steps, IArbExecutor.UnexpectedCall.selector, address(lender));
    }

    function test_cyclesThatAreNone() public {
        _refused(operator, _plain(), new IArbExecutor.Step[](0), IArbExecutor.NoSteps.selector);
        _refused(operator, _plain(), _fromWeth(), IArbExecutor.BrokenCycle.selector);
        IArbExecutor.Step[] memory steps = _fromUsdc();
        steps[1] = _v2(dai, usdc);
        _refused(operator, _plain(), steps, IArbExecutor.BrokenCycle.selector);
        steps[1] = _v2(weth, dai);
        _refused(operator, _plain(), steps, IArbExecutor.BrokenCycle.selector);
    }

    function test_stepsThatAreNone() public {
        IArbExecutor.Step[] memory steps =
            _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _curve(usdc, dai), _balancer(dai, usdc));
        steps[2].id = bytes32(uint256(8));
        _refused(operator, _plain(), steps, IArbExecutor.BadIndex.selector);
        steps[2].id = bytes32(uint256(8) << 128);
        _refused(operator, _plain(), steps, IArbExecutor.BadIndex.selector);
        steps = _steps(_wrap(usdc, weth), _v2(weth, usdc));
        _refused(operator, _plain(), steps, IArbExecutor.NotWrapping.selector);
        steps = _steps(_wrap(usdc, address(0)), _v4(address(0), usdc, 500));
        _refused(operator, _plain(), steps, IArbExecutor.NotWrapping.selector);
        steps = _steps(_balancer(usdc, dai), _curve(dai, usdc));
        _refused(
            operator,
            _arbitrage(IArbExecutor.Funding.FlashSwap, usdc, 1e6),
            steps,
            IArbExecutor.CannotFlashSwap.selector
        );
    }

    function test_whatGivesNothingIsNamed() public {
        _refused(operator, _arbitrage(OWN, usdc, 1), _fromUsdc(), IArbExecutor.NothingOut.selector);
        IArbExecutor.Step[] memory steps = _steps(_v4(usdc, address(0), 500), _wrap(address(0), weth), _v2(weth, usdc));
        _refused(operator, _arbitrage(OWN, usdc, 1), steps, IArbExecutor.NothingOut.selector);
        steps = _steps(_v2(usdc, weth), _v3(weth, usdc, 500));
        _skew(10 ** 32);
        _refused(
            operator, _arbitrage(IArbExecutor.Funding.FlashSwap, usdc, 1e6), steps, IArbExecutor.NothingOut.selector
        );
    }

    function test_whatTakesLessThanItIsGivenUndoesTheCycle() public {
        IArbExecutor.Step[] memory steps =
            _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _curve(usdc, dai), _balancer(dai, usdc));
        curve.misbehave(9999, 9996);
        _refused(operator, _plain(), steps, IArbExecutor.PartialFill.selector);
        curve.misbehave(10_000, 0);
        _refused(operator, _plain(), steps, IArbExecutor.NothingOut.selector);
        // More than a V3 pool has prices for.
        _give(usdc, address(executor), 1e37);
        _refused(operator, _arbitrage(OWN, usdc, 1e37), _fromUsdc(), IArbExecutor.PartialFill.selector);
        // So large that it would read as negative, which means "exactly out".
        vm.startPrank(operator);
        vm.expectRevert(SafeCastLib.Overflow.selector);
        executor.execute(_arbitrage(IArbExecutor.Funding.FlashSwap, usdc, 2 ** 256 - 1e6), _fromUsdc());
        steps = _steps(_v4(usdc, address(0), 500), _v4(address(0), usdc, 3000));
        vm.expectRevert(SafeCastLib.Overflow.selector);
        executor.execute(_arbitrage(IArbExecutor.Funding.UnlockV4, usdc, 2 ** 256 - 1e6), steps);
        vm.stopPrank();
    }

    function test_coinsComeFromWhereTheyAreExpected() public {
        vm.deal(address(this), 1 ether);
        (bool succeeded, bytes memory answer) = address(executor).call{value: 1}("");
        assertFalse(succeeded);
        assertEq(answer, abi.encodeWithSelector(IArbExecutor.UnexpectedCall.selector, address(this)));
    }

    function test_onlyTheOwnerNamesAndSweeps() public {
        bytes[6] memory calls = [
            abi.encodeCall(IArbExecutor.setOperator, (address(this), true)),
            abi.encodeCall(IArbExecutor.setPauser, (address(this))),
            abi.encodeCall(IArbExecutor.setBeneficiary, (address(this))),
            abi.encodeCall(IArbExecutor.setFactory, (address(this), bytes32(uint256(1)))),
            abi.encodeCall(IArbExecutor.unpause, ()),
            abi.encodeCall(IArbExecutor.sweep, (usdc, 1))
        ];
        address[3] memory others = [operator, pauser, beneficiary];
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; j < others.length; ++j) {
                vm.prank(others[j]);
                (bool refused, bytes memory answer) = address(executor).call(calls[i]);
                assertFalse(refused);
                assertEq(answer, abi.encodeWithSelector(Ownable.Unauthorized.selector));
            }
            vm.prank(owner);
            (bool succeeded,) = address(executor).call(calls[i]);
            assertTrue(succeeded);
        }
        assertTrue(executor.isOperator(address(this)));
        assertEq(executor.pauser(), address(this));
        assertEq(executor.beneficiary(), address(this));
    }

    function test_aSweepGoesToTheOwner() public {
        vm.startPrank(owner);
        vm.expectEmit(address(executor));
        emit IArbExecutor.Swept(usdc, 5e6);
        executor.sweep(usdc, 5e6);
        executor.sweep(address(0), 1 ether);
        vm.stopPrank();
        assertEq(_held(usdc, owner), 5e6);
        assertEq(owner.balance, 1 ether);
    }

    function test_thereIsAlwaysAnOwner() public {
        vm.startPrank(owner);
        vm.expectRevert(IArbExecutor.UseHandover.selector);
        executor.transferOwnership(operator);
        vm.expectRevert(IArbExecutor.UseHandover.selector);
        executor.renounceOwnership();
        vm.expectRevert(Ownable.NoHandoverRequest.selector);
        executor.completeOwnershipHandover(operator);
        vm.stopPrank();
        vm.prank(operator);
        executor.requestOwnershipHandover();
        vm.prank(owner);
        executor.completeOwnershipHandover(operator);
        assertEq(executor.owner(), operator);
    }

    function test_nobodyIsNobody() public {
        for (uint256 i = 0; i < 3; ++i) {
            address[3] memory people = [owner, operator, beneficiary];
            people[i] = address(0);
            vm.expectRevert(IArbExecutor.ZeroAddress.selector);
            new ArbExecutor(people[0], people[1], pauser, people[2], known);
        }
        vm.startPrank(owner);
        vm.expectRevert(IArbExecutor.ZeroAddress.selector);
        executor.setOperator(address(0), true);
        vm.expectRevert(IArbExecutor.ZeroAddress.selector);
        executor.setBeneficiary(address(0));
        vm.stopPrank();
    }

    function _plain() private view returns (IArbExecutor.Arbitrage memory) {
        return _arbitrage(OWN, usdc, 20_000e6);
    }

    function _execute(IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps)
        private
        returns (uint256)
    {
        vm.prank(operator);
        return executor.execute(arbitrage, steps);
    }

    /// @dev Executes and puts the chain back.
    function _accepted(IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps)
        private
        returns (uint256 profit)
    {
        uint256 state = vm.snapshotState();
        profit = _execute(arbitrage, steps);
        assertGt(profit, 0);
        vm.revertToState(state);
    }

    function _refused(
        address caller,
        IArbExecutor.Arbitrage memory arbitrage,
        IArbExecutor.Step[] memory steps,
        bytes4 reason
    ) private {
        assertEq(bytes4(_refusal(caller, arbitrage, steps)), reason);
    }

    function _refused(
        address caller,
        IArbExecutor.Arbitrage memory arbitrage,
        IArbExecutor.Step[] memory steps,
        bytes4 reason,
        address named
    ) private {
        assertEq(_refusal(caller, arbitrage, steps), abi.encodeWithSelector(reason, named));
    }

    function _refusal(address caller, IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps)
        private
        returns (bytes memory answer)
    {
        bool succeeded;
        vm.prank(caller);
        (succeeded, answer) = address(executor).call(abi.encodeCall(IArbExecutor.execute, (arbitrage, steps)));
        assertFalse(succeeded, "it was carried out");
    }
}
