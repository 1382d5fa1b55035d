// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {GuardedVault} from "../../src/custody/GuardedVault.sol";
import {IGuardedVault, ProposalId} from "../../src/interfaces/IGuardedVault.sol";

/// @notice The three parties act in any order while time passes; the handler remembers every payment.
contract GuardedVaultHandler is Test {
    struct Payment {
        uint256 time;
        uint256 amount;
        bool isImmediate;
        uint256 limit;
    }

    address private constant COIN = address(0);
    uint256 public constant FUNDS = 10_000 ether;

    address public immutable admin = makeAddr("admin");
    address public immutable operator = makeAddr("operator");
    address public immutable guardian = makeAddr("guardian");
    address public immutable payee = makeAddr("payee");
    GuardedVault public immutable vault;
    Payment[] public payments;
    uint256 public paid;
    uint256 public limitMax = 10 ether;
    uint256 public pausedPayments;
    uint256 public earlyOrVetoed;
    ProposalId[] private ids;

    constructor() {
        vm.warp(1_800_000_000);
        IGuardedVault.AssetLimit[] memory limits = new IGuardedVault.AssetLimit[](1);
        limits[0] = IGuardedVault.AssetLimit(COIN, limitMax);
        vault = new GuardedVault(IGuardedVault.Roles(admin, operator, guardian), 1 days, limits);
        vm.deal(address(vault), FUNDS);
    }

    function wait(uint32 seconds_) external {
        vm.warp(block.timestamp + bound(seconds_, 1, 2 days));
    }

    function pay(uint256 amount) external {
        amount = bound(amount, 1, vault.limitOf(COIN) + 1);
        vm.prank(operator);
        try vault.pay(COIN, payee, amount) {
            _note(amount, true);
        } catch {}
    }

    function propose(uint256 amount) external {
        vm.prank(operator);
        ids.push(vault.proposePayment(COIN, payee, bound(amount, 1, 50 ether)));
    }

    function proposeLimit(uint256 limit) external {
        vm.prank(admin);
        try vault.proposeLimit(COIN, bound(limit, 1, 40 ether)) returns (ProposalId id) {
            ids.push(id);
        } catch {}
    }

    function proposeUnpause() external {
        vm.prank(admin);
        try vault.proposeUnpause() returns (ProposalId id) {
            ids.push(id);
        } catch {}
    }

    function execute(uint256 index) external {
        if (ids.length == 0) return;
        ProposalId id = ids[index % ids.length];
        IGuardedVault.Proposal memory found = vault.proposal(id);
        vm.prank(found.kind == IGuardedVault.Kind.Payment ? operator : admin);
        try vault.execute(id) {
            if (block.timestamp < found.readyAt || found.status != IGuardedVault.Status.Waiting) ++earlyOrVetoed;
            if (found.kind == IGuardedVault.Kind.Payment) _note(found.value, false);
            if (found.kind == IGuardedVault.Kind.RaiseLimit && found.value > limitMax) limitMax = found.value;
        } catch {}
    }

    function veto(uint256 index) external {
        if (ids.length == 0) return;
        vm.prank(guardian);
        try vault.veto(ids[index % ids.length]) {} catch {}
    }

    function pause(uint8 dice) external {
        if (dice % 8 != 0) return;
        vm.prank(guardian);
        vault.pause();
    }

    function lowerLimit(uint256 limit, uint8 dice) external {
        if (dice % 4 != 0) return;
        vm.prank(guardian);
        try vault.lowerLimit(COIN, bound(limit, 0, 10 ether)) {} catch {}
    }

    function count() external view returns (uint256) {
        return payments.length;
    }

    function _note(uint256 amount, bool isImmediate) private {
        if (vault.isPaused()) ++pausedPayments;
        paid += amount;
        payments.push(Payment(block.timestamp, amount, isImmediate, vault.limitOf(COIN)));
    }
}

contract GuardedVaultInvariantTest is Test {
    GuardedVaultHandler private handler;

    function setUp() public {
        handler = new GuardedVaultHandler();
        targetContract(address(handler));
    }

    /// @dev At each immediate payment, what went immediately in the 24 hours before and with it is within the limit of
    /// that moment.
    function invariant_immediatePaymentsKeepTheLimitInEvery24Hours() public view {
        uint256 count = handler.count();
        for (uint256 last = 0; last < count; ++last) {
            (uint256 time,, bool isImmediate, uint256 limit) = handler.payments(last);
            if (!isImmediate) continue;
            uint256 total = 0;
            for (uint256 i = 0; i <= last; ++i) {
                (uint256 at, uint256 amount, bool counts,) = handler.payments(i);
                if (counts && at + 24 hours > time) total += amount;
            }
            assertLe(total, limit);
        }
    }

    function invariant_nothingLeavesPausedEarlyVetoedOrTwice() public view {
        assertEq(handler.pausedPayments(), 0);
        assertEq(handler.earlyOrVetoed(), 0);
        assertEq(address(handler.vault()).balance + handler.paid(), handler.FUNDS());
        assertEq(handler.payee().balance, handler.paid());
        assertLe(handler.vault().limitOf(address(0)), handler.limitMax());
    }
}
