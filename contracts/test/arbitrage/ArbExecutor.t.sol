// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {ITokenReads} from "../../src/arbitrage/IVenueCalls.sol";
import {Cycles} from "./Cycles.sol";

/// @notice Every funding and every kind of step, on the genuine venues.
contract ArbExecutorTest is Cycles {
    IArbExecutor.Funding private constant OWN = IArbExecutor.Funding.Own;

    function setUp() public {
        _build();
        _skew(300_000e6);
    }

    function test_everyFundingPaysTheSameCycleBackAndTheProfitOut() public {
        uint256 own = _profitOf(_arbitrage(OWN, usdc, 40_000e6), _fromUsdc());
        assertGt(own, 1000e6);
        // These three cost nothing beyond the swaps.
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.FlashSwap, usdc, 40_000e6), _fromUsdc()), own);
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.UnlockV4, usdc, 40_000e6), _fromUsdc()), own);
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.Balancer, usdc, 40_000e6), _fromUsdc()), own);
        // 30 bps to the V3 pool that lends, 5 bps to Aave.
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.FlashV3, usdc, 40_000e6), _fromUsdc()), own - 120e6);
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.Aave, usdc, 40_000e6), _fromUsdc()), own - 20e6);
    }

    function test_aFlashSwapBeginsAtAV2Pair() public {
        uint256 own = _profitOf(_arbitrage(OWN, weth, 20 ether), _fromWeth());
        assertGt(own, 0.5 ether);
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.FlashSwap, weth, 20 ether), _fromWeth()), own);
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.Balancer, weth, 20 ether), _fromWeth()), own);
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.FlashV3, weth, 20 ether), _fromWeth()), own - 0.06 ether);
    }

    function test_moreThanTheContractHasIsBorrowed() public {
        vm.startPrank(owner);
        executor.sweep(usdc, OWN_USDC);
        executor.sweep(weth, OWN_WETH);
        vm.stopPrank();
        assertGt(_profitOf(_arbitrage(IArbExecutor.Funding.FlashSwap, usdc, 90_000e6), _fromUsdc()), 0);
        assertGt(_profitOf(_arbitrage(IArbExecutor.Funding.UnlockV4, usdc, 90_000e6), _fromUsdc()), 0);
        assertGt(_profitOf(_arbitrage(IArbExecutor.Funding.FlashV3, usdc, 90_000e6), _fromUsdc()), 0);
        assertGt(_profitOf(_arbitrage(IArbExecutor.Funding.Aave, usdc, 90_000e6), _fromUsdc()), 0);
        assertGt(_profitOf(_arbitrage(IArbExecutor.Funding.Balancer, usdc, 90_000e6), _fromUsdc()), 0);
    }

    function test_v4StepsSettleTogetherWhoeverFunds() public {
        // Two V4 pools side by side, then V2: the coin is bought twice over on V4 and sold as WETH.
        IArbExecutor.Step[] memory steps = _steps(_v4(usdc, address(0), 500), _wrap(address(0), weth), _v2(weth, usdc));
        uint256 own = _profitOf(_arbitrage(OWN, usdc, 30_000e6), steps);
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.UnlockV4, usdc, 30_000e6), steps), own);
        // V4 between others, with what the manager lends taken out first.
        _give(weth, known.poolManager, 1 ether);
        steps = _steps(_v3(weth, usdc, 500), _v4(usdc, address(0), 500), _wrap(address(0), weth));
        _expectLoss(_arbitrage(IArbExecutor.Funding.UnlockV4, weth, 1 ether), steps);
    }

    function test_v4StepsSideBySideNetInsideTheManager() public {
        _skewV4(200_000e6);
        IArbExecutor.Step[] memory steps = _steps(_v4(usdc, address(0), 500), _v4(address(0), usdc, 3000));
        uint256 own = _profitOf(_arbitrage(OWN, usdc, 20_000e6), steps);
        assertGt(own, 0);
        // Nothing is lent but credit, and only the profit moves.
        assertEq(_profitOf(_arbitrage(IArbExecutor.Funding.UnlockV4, usdc, 20_000e6), steps), own);
        // The other way round it is a loss, which the manager is owed.
        steps = _steps(_v4(usdc, address(0), 3000), _v4(address(0), usdc, 500));
        _expectLoss(_arbitrage(IArbExecutor.Funding.UnlockV4, usdc, 20_000e6), steps);
    }

    function test_stableStepsOfBalancerAndCurve() public {
        // DAI is cheap in WETH terms nowhere; WETH is dear on V2 in USDC: DAI -> WETH -> USDC -> DAI.
        IArbExecutor.Step[] memory steps = _steps(_v2(dai, weth), _v2(weth, usdc), _balancer(usdc, dai));
        uint256 byBalancer = _profitOf(_arbitrage(OWN, dai, 20_000e18), steps);
        steps[2] = _curve(usdc, dai);
        uint256 byCurve = _profitOf(_arbitrage(OWN, dai, 20_000e18), steps);
        assertApproxEqRel(byBalancer, byCurve, 0.01e18);
        assertGt(byCurve, 1000e18);
        // The other index order, in the middle of a cycle.
        steps = _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _curve(usdc, dai), _balancer(dai, usdc));
        assertGt(_profitOf(_arbitrage(OWN, usdc, 20_000e6), steps), 500e6);
        steps = _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _balancer(usdc, dai), _curve(dai, usdc));
        assertGt(_profitOf(_arbitrage(OWN, usdc, 20_000e6), steps), 500e6);
    }

    function test_theBuildersTipComesOutOfTheProfit() public {
        IArbExecutor.Arbitrage memory arbitrage = _arbitrage(OWN, weth, 20 ether);
        uint256 whole = _profitOf(arbitrage, _fromWeth());
        arbitrage.tipBps = 2500;
        uint256 kept = whole - whole / 4;
        assertEq(_profitOf(arbitrage, _fromWeth()), kept);
        // The minimum is what the beneficiary gets, after the tip.
        arbitrage.minProfit = kept + 1;
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IArbExecutor.ProfitBelowMinimum.selector, int256(kept), kept + 1));
        executor.execute(arbitrage, _fromWeth());
        arbitrage.minProfit = kept;
        uint256 before = block.coinbase.balance;
        vm.prank(operator);
        executor.execute(arbitrage, _fromWeth());
        assertEq(block.coinbase.balance - before, whole / 4);
        assertEq(address(executor).balance, OWN_COIN);
    }

    function test_aTipOfATokenIsRefused() public {
        IArbExecutor.Arbitrage memory arbitrage = _arbitrage(OWN, usdc, 20_000e6);
        arbitrage.tipBps = 1;
        _expectRefusal(arbitrage, _fromUsdc(), abi.encodeWithSelector(IArbExecutor.TipNeedsWrappedCoin.selector, usdc));
        arbitrage.tipBps = 10_001;
        _expectRefusal(arbitrage, _fromUsdc(), abi.encodeWithSelector(IArbExecutor.TipTooLarge.selector, 10_001));
    }

    function test_poolsOfAnotherFactoryOnceTheOwnerKnowsIt() public {
        address factory = address(_factoryV2());
        IArbExecutor.Step[] memory steps = _fromUsdc();
        steps[1].venue = factory;
        _expectRefusal(
            _arbitrage(OWN, usdc, 20_000e6),
            steps,
            abi.encodeWithSelector(IArbExecutor.UnknownFactory.selector, factory)
        );
        // Named by address, Uniswap's own are the same as by zero.
        (steps[0].venue, steps[1].venue) = (known.v3Factory, known.v2Factory);
        assertGt(_profitOf(_arbitrage(OWN, usdc, 20_000e6), steps), 0);
        vm.prank(owner);
        executor.setFactory(factory, known.v2InitCodeHash);
        assertEq(executor.initCodeHash(factory), known.v2InitCodeHash);
        _fillOther(factory);
        (steps[0].venue, steps[1].venue) = (address(0), factory);
        assertGt(_profitOf(_arbitrage(OWN, usdc, 20_000e6), steps), 0);
        assertGt(_profitOf(_arbitrage(IArbExecutor.Funding.FlashSwap, weth, 5 ether), _otherFirst(factory)), 0);
        vm.prank(owner);
        executor.setFactory(factory, 0);
        _expectRefusal(
            _arbitrage(OWN, usdc, 20_000e6),
            steps,
            abi.encodeWithSelector(IArbExecutor.UnknownFactory.selector, factory)
        );
    }

    function test_whatItWasBuiltFor() public view {
        assertEq(keccak256(abi.encode(executor.venues())), keccak256(abi.encode(known)));
        assertEq(executor.initCodeHash(known.v2Factory), known.v2InitCodeHash);
        assertEq(executor.initCodeHash(known.v3Factory), known.v3InitCodeHash);
        assertEq(executor.initCodeHash(operator), 0);
        // EIP-170 allows 24,576; what is added should be worth its bytes.
        assertLt(address(executor).code.length, 18_000);
    }

    function test_theEventSaysWhatWent() public {
        IArbExecutor.Arbitrage memory arbitrage = _arbitrage(OWN, usdc, 40_000e6);
        uint256 profit = _profitOf(arbitrage, _fromUsdc());
        vm.expectEmit(address(executor));
        emit IArbExecutor.Executed(usdc, OWN, 40_000e6, profit, 0);
        vm.prank(operator);
        assertEq(executor.execute(arbitrage, _fromUsdc()), profit);
    }

    /// @dev Executes, checks what must hold of every execution, and puts the chain back.
    function _profitOf(IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps)
        private
        returns (uint256 profit)
    {
        uint256 state = vm.snapshotState();
        uint256 paid = _held(arbitrage.token, beneficiary);
        uint256[4] memory before = _holdings();
        vm.prank(operator);
        profit = executor.execute(arbitrage, steps);
        assertEq(_held(arbitrage.token, beneficiary) - paid, profit, "the beneficiary got the profit");
        uint256[4] memory afterwards = _holdings();
        for (uint256 i = 0; i < 4; ++i) {
            assertEq(afterwards[i], before[i], "the contract has what it had");
        }
        _checkNoApprovals();
        vm.revertToState(state);
    }

    function _expectLoss(IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps) private {
        vm.prank(operator);
        (bool succeeded, bytes memory answer) =
            address(executor).call(abi.encodeCall(IArbExecutor.execute, (arbitrage, steps)));
        assertFalse(succeeded);
        assertEq(bytes4(answer), IArbExecutor.ProfitBelowMinimum.selector);
    }

    function _expectRefusal(
        IArbExecutor.Arbitrage memory arbitrage,
        IArbExecutor.Step[] memory steps,
        bytes memory reason
    ) private {
        vm.prank(operator);
        vm.expectRevert(reason);
        executor.execute(arbitrage, steps);
    }

    function _holdings() private view returns (uint256[4] memory) {
        address at = address(executor);
        return [_held(weth, at), _held(usdc, at), _held(dai, at), at.balance];
    }

    function _checkNoApprovals() private view {
        address[3] memory tokens = [weth, usdc, dai];
        address[5] memory spenders = [known.balancerVault, known.aavePool, address(curve), known.poolManager, pair];
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = 0; j < 5; ++j) {
                assertEq(ITokenReads(tokens[i]).allowance(address(executor), spenders[j]), 0, "an approval stands");
            }
        }
    }

    function _fillOther(address factory) private {
        (address other) = _createPair(factory);
        _give(weth, other, 100 ether);
        _give(usdc, other, 260_000e6);
        _mintPair(other);
    }

    function _otherFirst(address factory) private view returns (IArbExecutor.Step[] memory steps) {
        steps = _steps(_v2(weth, usdc), _v3(usdc, weth, 500));
        steps[0].venue = factory;
    }
}
