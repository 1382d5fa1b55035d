// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {GuardedVault} from "../../src/custody/GuardedVault.sol";
import {Lock} from "../../src/custody/Lock.sol";
import {TokenTransfer} from "../../src/custody/TokenTransfer.sol";
import {IGuardedVault, ProposalId} from "../../src/interfaces/IGuardedVault.sol";
import {FalseToken, SilentToken} from "./Tokens.sol";

contract GuardedVaultTest is Test {
    address private constant COIN = address(0);
    uint40 private constant DELAY = 2 days;
    uint256 private constant LIMIT = 10 ether;

    address private admin = makeAddr("admin");
    address private operator = makeAddr("operator");
    address private guardian = makeAddr("guardian");
    address payable private payee = payable(makeAddr("payee"));
    GuardedVault private vault;
    SilentToken private token;

    function setUp() public {
        vm.warp(1_800_000_000);
        token = new SilentToken();
        vault = _vault(admin, operator, guardian);
        vm.deal(address(vault), 1000 ether);
        token.mint(address(vault), 1000);
    }

    function _vault(address a, address o, address g) private returns (GuardedVault) {
        IGuardedVault.AssetLimit[] memory limits = new IGuardedVault.AssetLimit[](2);
        limits[0] = IGuardedVault.AssetLimit(COIN, LIMIT);
        limits[1] = IGuardedVault.AssetLimit(address(token), 100);
        return new GuardedVault(IGuardedVault.Roles(a, o, g), DELAY, limits);
    }

    function _forbidden(address caller) private {
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.Forbidden.selector, caller));
    }

    function _pay(uint256 amount) private {
        vm.prank(operator);
        vault.pay(COIN, payee, amount);
    }

    function _payment(uint256 amount) private returns (ProposalId) {
        vm.prank(operator);
        return vault.proposePayment(COIN, payee, amount);
    }

    function _role(IGuardedVault.Kind kind, address holder) private returns (ProposalId) {
        vm.prank(admin);
        return vault.proposeRole(kind, holder);
    }

    function _execute(address caller, ProposalId id) private {
        vm.prank(caller);
        vault.execute(id);
    }

    // --- the limit

    function testFuzz_paymentsWithinTheLimitGoAtOnce(uint256 amount) public {
        amount = bound(amount, 1, LIMIT);
        vm.expectEmit(address(vault));
        emit IGuardedVault.Paid(COIN, payee, amount);
        _pay(amount);
        assertEq(payee.balance, amount);
        assertEq(vault.availableDown(COIN), LIMIT - amount);
    }

    function testFuzz_aboveTheLimitNothingGoesAtOnce(uint256 first, uint256 second) public {
        first = bound(first, 1, LIMIT);
        second = bound(second, LIMIT - first + 1, type(uint256).max);
        _pay(first);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.AboveLimit.selector, COIN, second, LIMIT - first));
        _pay(second);
    }

    function testFuzz_theLimitHoldsInEvery24Hours(uint32[12] calldata waits, uint64[12] calldata amounts) public {
        uint256[12] memory times;
        uint256[12] memory paid;
        for (uint256 i = 0; i < 12; ++i) {
            vm.warp(block.timestamp + bound(waits[i], 0, 12 hours));
            uint256 available = vault.availableDown(COIN);
            times[i] = block.timestamp;
            if (available == 0) continue;
            paid[i] = bound(amounts[i], 1, available);
            _pay(paid[i]);
            uint256 inADay = 0;
            for (uint256 j = 0; j <= i; ++j) {
                if (times[j] + 24 hours > block.timestamp) inADay += paid[j];
            }
            assertLe(inADay, LIMIT);
        }
    }

    function testFuzz_theWholeLimitIsBackAfter28Hours(uint256 start) public {
        vm.warp(bound(start, 1_800_000_000, 4_000_000_000));
        _pay(LIMIT);
        vm.warp(block.timestamp + 24 hours - 1);
        assertEq(vault.availableDown(COIN), 0);
        vm.warp(block.timestamp + 4 hours + 1);
        assertEq(vault.availableDown(COIN), LIMIT);
    }

    function test_anAssetWithoutALimitNeedsAProposal() public {
        FalseToken other = new FalseToken();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.AboveLimit.selector, address(other), 1, 0));
        vault.pay(address(other), payee, 1);
    }

    function test_tokensThatReturnNothingArePaidAndThoseThatSayNoRevert() public {
        vm.prank(operator);
        vault.pay(address(token), payee, 100);
        assertEq(token.balanceOf(payee), 100);
        FalseToken bad = new FalseToken();
        vm.prank(operator);
        ProposalId id = vault.proposePayment(address(bad), payee, 1);
        vm.warp(block.timestamp + DELAY);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(TokenTransfer.TransferFailed.selector, address(bad), payee, 1));
        vault.execute(id);
    }

    function test_nothingAndNobodyAreNotPaid() public {
        vm.expectRevert(IGuardedVault.NothingToPay.selector);
        _pay(0);
        for (uint256 i = 0; i < 2; ++i) {
            address to = i == 0 ? address(0) : address(vault);
            vm.prank(operator);
            vm.expectRevert(abi.encodeWithSelector(IGuardedVault.BadRecipient.selector, to));
            vault.proposePayment(COIN, to, 1);
        }
    }

    // --- the timelock

    function testFuzz_aLargePaymentWaitsTheDelayAndLeavesTheLimitAlone(uint256 amount, uint40 wait) public {
        amount = bound(amount, LIMIT + 1, 1000 ether);
        wait = uint40(bound(wait, 0, DELAY - 1));
        ProposalId id = _payment(amount);
        uint40 readyAt = uint40(block.timestamp) + DELAY;
        vm.warp(block.timestamp + wait);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.TooEarly.selector, id, readyAt));
        vault.execute(id);
        vm.warp(readyAt);
        _execute(operator, id);
        assertEq(payee.balance, amount);
        assertEq(vault.availableDown(COIN), LIMIT);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotWaiting.selector, id, IGuardedVault.Status.Executed));
        vault.execute(id);
    }

    function testFuzz_whatNobodyExecutesExpires(uint40 late) public {
        ProposalId id = _payment(LIMIT + 1);
        uint256 end = block.timestamp + DELAY + vault.GRACE();
        vm.warp(end + bound(late, 1, 1000 days));
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.Expired.selector, id, end));
        vault.execute(id);
    }

    function test_vetoAndWithdrawalEndAProposal() public {
        ProposalId one = _payment(LIMIT + 1);
        ProposalId two = _payment(LIMIT + 1);
        vm.prank(guardian);
        vault.veto(one);
        vm.prank(operator);
        vault.withdraw(two);
        vm.warp(block.timestamp + DELAY);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotWaiting.selector, one, IGuardedVault.Status.Vetoed));
        vault.execute(one);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotWaiting.selector, two, IGuardedVault.Status.Withdrawn));
        vault.execute(two);
    }

    function test_aFloodOfProposalsIsVetoedAtOnceAndTheGuardiansReplacementStays() public {
        ProposalId last;
        for (uint256 i = 0; i < 20; ++i) {
            last = _payment(LIMIT + 1);
        }
        ProposalId replacement = _role(IGuardedVault.Kind.ReplaceGuardian, makeAddr("new"));
        vm.startPrank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NoSuchProposal.selector, ProposalId.wrap(22)));
        vault.vetoUpTo(ProposalId.wrap(22));
        vault.vetoUpTo(replacement);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotHigher.selector, 21, 21));
        vault.vetoUpTo(replacement);
        vm.stopPrank();
        assertEq(uint8(vault.proposal(last).status), uint8(IGuardedVault.Status.Vetoed));
        vm.warp(block.timestamp + 3 * DELAY);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotWaiting.selector, last, IGuardedVault.Status.Vetoed));
        vault.execute(last);
        _execute(admin, replacement);
        assertEq(vault.guardian(), makeAddr("new"));
        assertEq(uint8(vault.proposal(_payment(LIMIT + 1)).status), uint8(IGuardedVault.Status.Waiting));
    }

    // --- the pause

    function test_aPauseStopsPaymentsAtOnceAndEndsByTheTimelockOnly() public {
        ProposalId large = _payment(LIMIT + 1);
        vm.prank(admin);
        vm.expectRevert(IGuardedVault.NotPaused.selector);
        vault.proposeUnpause();
        vm.prank(guardian);
        vault.pause();
        vm.expectRevert(IGuardedVault.VaultPaused.selector);
        _pay(1);
        vm.prank(admin);
        ProposalId unpause = vault.proposeUnpause();
        vm.warp(block.timestamp + DELAY);
        vm.prank(operator);
        vm.expectRevert(IGuardedVault.VaultPaused.selector);
        vault.execute(large);
        _execute(admin, unpause);
        _execute(operator, large);
        assertEq(payee.balance, LIMIT + 1);
    }

    // --- changes

    function testFuzz_aLimitRisesByTheTimelockAndFallsAtOnce(uint256 higher, uint256 lower) public {
        higher = bound(higher, LIMIT + 1, type(uint216).max);
        lower = bound(lower, 0, higher - 1);
        vm.startPrank(admin);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotLower.selector, LIMIT, higher));
        vault.lowerLimit(COIN, higher);
        ProposalId id = vault.proposeLimit(COIN, higher);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.TooEarly.selector, id, block.timestamp + DELAY));
        vault.execute(id);
        vm.warp(block.timestamp + DELAY);
        vault.execute(id);
        assertEq(vault.limitOf(COIN), higher);
        vm.stopPrank();
        vm.prank(guardian);
        vault.lowerLimit(COIN, lower);
        assertEq(vault.limitOf(COIN), lower);
    }

    function test_aRaiseThatIsNoneAnyMoreIsRefused() public {
        vm.startPrank(admin);
        ProposalId one = vault.proposeLimit(COIN, LIMIT + 1);
        ProposalId two = vault.proposeLimit(COIN, LIMIT + 2);
        vm.warp(block.timestamp + DELAY);
        vault.execute(two);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotHigher.selector, LIMIT + 2, LIMIT + 1));
        vault.execute(one);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotHigher.selector, LIMIT + 2, 1));
        vault.proposeLimit(COIN, 1);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.LimitTooLarge.selector, 1 << 216));
        vault.proposeLimit(COIN, 1 << 216);
    }

    function testFuzz_theDelayGrowsAtOnceAndShrinksByTheTimelock(uint40 longer, uint40 shorter) public {
        longer = uint40(bound(longer, DELAY + 1, vault.DELAY_MAX()));
        shorter = uint40(bound(shorter, vault.DELAY_MIN(), longer - 1));
        vm.startPrank(admin);
        vault.lengthenDelay(longer);
        ProposalId id = vault.proposeDelay(shorter);
        vm.warp(block.timestamp + longer);
        vault.execute(id);
        assertEq(vault.delay(), shorter);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotHigher.selector, shorter, shorter));
        vault.lengthenDelay(shorter);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.NotLower.selector, shorter, shorter));
        vault.proposeDelay(shorter);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.DelayOutOfBounds.selector, 1));
        vault.proposeDelay(1);
        uint40 over = vault.DELAY_MAX() + 1;
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.DelayOutOfBounds.selector, over));
        vault.lengthenDelay(over);
    }

    function test_rolesChangeByTheTimelockAndStaySeparate() public {
        address heir = makeAddr("heir");
        ProposalId id = _role(IGuardedVault.Kind.ReplaceOperator, heir);
        ProposalId same = _role(IGuardedVault.Kind.ReplaceOperator, guardian);
        ProposalId next = _role(IGuardedVault.Kind.ReplaceAdmin, makeAddr("next"));
        vm.warp(block.timestamp + DELAY);
        _execute(admin, id);
        assertEq(vault.operator(), heir);
        _forbidden(operator);
        vault.pay(COIN, payee, 1);
        vm.prank(admin);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.RolesNotSeparate.selector, guardian));
        vault.execute(same);
        _execute(admin, next);
        assertEq(vault.admin(), makeAddr("next"));
        vm.startPrank(makeAddr("next"));
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.RolesNotSeparate.selector, address(0)));
        vault.proposeRole(IGuardedVault.Kind.ReplaceAdmin, address(0));
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.Forbidden.selector, makeAddr("next")));
        vault.proposeRole(IGuardedVault.Kind.Payment, heir);
    }

    function test_theGuardiansReplacementWaitsThreeDelaysAndCannotBeVetoed() public {
        address heir = makeAddr("heir");
        ProposalId id = _role(IGuardedVault.Kind.ReplaceGuardian, heir);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.VetoNotAllowed.selector, id));
        vault.veto(id);
        uint256 readyAt = block.timestamp + 3 * DELAY;
        vm.warp(readyAt - 1);
        vm.prank(admin);
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.TooEarly.selector, id, readyAt));
        vault.execute(id);
        vm.warp(readyAt);
        _execute(admin, id);
        assertEq(vault.guardian(), heir);
    }

    function test_theConstructorRefusesRolesThatAreNotSeparateAndDelaysOutOfBounds() public {
        address[3][5] memory bad = [
            [address(0), operator, guardian],
            [admin, address(0), guardian],
            [admin, operator, address(0)],
            [admin, admin, guardian],
            [admin, operator, operator]
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectPartialRevert(IGuardedVault.RolesNotSeparate.selector);
            _vault(bad[i][0], bad[i][1], bad[i][2]);
        }
        vm.expectRevert(abi.encodeWithSelector(IGuardedVault.DelayOutOfBounds.selector, 5));
        new GuardedVault(IGuardedVault.Roles(admin, operator, guardian), 5, new IGuardedVault.AssetLimit[](0));
    }

    // --- who may

    function testFuzz_othersMayDoNothing(address caller) public {
        vm.assume(caller != admin && caller != operator && caller != guardian);
        ProposalId id = _payment(1);
        vm.warp(block.timestamp + DELAY);
        _forbidden(caller);
        vault.pay(COIN, payee, 1);
        _forbidden(caller);
        vault.proposePayment(COIN, payee, 1);
        _forbidden(caller);
        vault.proposeLimit(COIN, LIMIT + 1);
        _forbidden(caller);
        vault.proposeDelay(1 hours);
        _forbidden(caller);
        vault.proposeUnpause();
        _forbidden(caller);
        vault.proposeRole(IGuardedVault.Kind.ReplaceAdmin, caller);
        _forbidden(caller);
        vault.execute(id);
        _forbidden(caller);
        vault.withdraw(id);
        _forbidden(caller);
        vault.veto(id);
        _forbidden(caller);
        vault.vetoUpTo(id);
        _forbidden(caller);
        vault.pause();
        _forbidden(caller);
        vault.lowerLimit(COIN, 0);
        _forbidden(caller);
        vault.lengthenDelay(3 days);
    }

    function test_eachRoleDoesItsOwnAndNoMore() public {
        ProposalId payment = _payment(LIMIT + 1);
        ProposalId change = _role(IGuardedVault.Kind.ReplaceOperator, makeAddr("heir"));
        vm.warp(block.timestamp + DELAY);
        _forbidden(admin);
        vault.pay(COIN, payee, 1);
        _forbidden(admin);
        vault.execute(payment);
        _forbidden(admin);
        vault.pause();
        _forbidden(operator);
        vault.execute(change);
        _forbidden(operator);
        vault.lowerLimit(COIN, 0);
        _forbidden(guardian);
        vault.pay(COIN, payee, 1);
        _forbidden(guardian);
        vault.withdraw(change);
        _forbidden(guardian);
        vault.lengthenDelay(3 days);
    }

    function test_aPayeeThatCallsBackGetsNothingMore() public {
        GreedyPayee greedy = new GreedyPayee(vault);
        ProposalId id = _role(IGuardedVault.Kind.ReplaceOperator, address(greedy));
        vm.warp(block.timestamp + DELAY);
        _execute(admin, id);
        greedy.start(1 ether);
        assertEq(address(greedy).balance, 1 ether);
        assertEq(greedy.refusal(), Lock.Reentered.selector);
    }

    function test_coinsAreReceivedWithAnEvent() public {
        vm.deal(address(this), 5);
        vm.expectEmit(address(vault));
        emit IGuardedVault.Received(address(this), 5);
        (bool succeeded,) = address(vault).call{value: 5}("");
        assertTrue(succeeded);
    }
}

/// @notice An operator that is paid and asks again from within the payment.
contract GreedyPayee {
    GuardedVault private vault;
    bytes4 public refusal;

    constructor(GuardedVault vault_) {
        vault = vault_;
    }

    function start(uint256 amount) external {
        vault.pay(address(0), address(this), amount);
    }

    receive() external payable {
        try vault.pay(address(0), address(this), msg.value) {}
        catch (bytes memory why) {
            refusal = bytes4(why);
        }
    }
}
