// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {BatchSweeper} from "../../src/custody/BatchSweeper.sol";
import {DepositForwarderFactory} from "../../src/custody/DepositForwarderFactory.sol";
import {TokenTransfer} from "../../src/custody/TokenTransfer.sol";
import {
    IBatchSweeper,
    IDepositForwarder,
    IDepositForwarderFactory,
    UserId
} from "../../src/interfaces/IDepositForwarders.sol";
import {
    FalseToken,
    FeeToken,
    GasBurner,
    HeavyToken,
    OldPayer,
    PlainToken,
    ReentrantToken,
    ReturnBomb,
    SilentToken,
    TestToken
} from "./Tokens.sol";

contract ForwardersTest is Test {
    address private constant COIN = address(0);

    address private vault = makeAddr("vault");
    DepositForwarderFactory private factory;
    BatchSweeper private sweeper;
    UserId private alice = UserId.wrap(keccak256("alice"));
    UserId private bob = UserId.wrap(keccak256("bob"));

    function setUp() public {
        factory = new DepositForwarderFactory(vault);
        sweeper = new BatchSweeper(factory);
    }

    // --- addresses

    function testFuzz_theComputedAddressIsTheDeployedOneWhoeverDeploys(UserId user, address caller) public {
        vm.assume(UserId.unwrap(user) != 0);
        address expected = factory.forwarderOf(user);
        assertEq(expected.code.length, 0);
        vm.prank(caller);
        vm.expectEmit(address(factory));
        emit IDepositForwarderFactory.ForwarderDeployed(user, expected);
        assertEq(factory.deploy(user), expected);
        assertEq(expected.code.length, 0x5c);
        vm.recordLogs();
        assertEq(factory.deploy(user), expected);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function testFuzz_twoUsersHaveTwoAddresses(UserId one, UserId two) public view {
        vm.assume(UserId.unwrap(one) != UserId.unwrap(two));
        assertNotEq(factory.forwarderOf(one), factory.forwarderOf(two));
    }

    function testFuzz_anotherVaultMeansOtherAddresses(UserId user, address other) public {
        vm.assume(other != vault && other != address(0));
        assertNotEq(factory.forwarderOf(user), new DepositForwarderFactory(other).forwarderOf(user));
    }

    function test_theZeroUserAndTheZeroVaultAreRefused() public {
        vm.expectRevert(IDepositForwarderFactory.NoUser.selector);
        factory.deploy(UserId.wrap(0));
        vm.expectRevert(IDepositForwarderFactory.NoVault.selector);
        new DepositForwarderFactory(address(0));
        vm.expectRevert(IBatchSweeper.NoFactory.selector);
        new BatchSweeper(IDepositForwarderFactory(makeAddr("nobody")));
    }

    // --- receiving

    function testFuzz_aDeployedForwarderReportsCoinsWithinTheGasOfTransfer(uint96 amount) public {
        address forwarder = factory.deploy(alice);
        OldPayer payer = new OldPayer();
        vm.deal(address(this), amount);
        vm.expectEmit(forwarder);
        emit IDepositForwarder.Received(address(payer), amount);
        payer.pay{value: amount}(payable(forwarder));
        assertEq(forwarder.balance, amount);
    }

    function test_aCallWithDataOtherThanFlushIsRefused() public {
        address forwarder = factory.deploy(alice);
        (bool succeeded,) = forwarder.call{value: 0}(hex"deadbeef");
        assertFalse(succeeded);
    }

    // --- sweeping

    function testFuzz_coinsGoToTheVaultWhoeverSweeps(uint96 held, uint96 amount, address caller) public {
        amount = uint96(bound(amount, 0, held));
        address forwarder = factory.forwarderOf(alice);
        vm.deal(forwarder, held);
        vm.prank(caller);
        vm.expectEmit(address(factory));
        emit IDepositForwarderFactory.Swept(alice, forwarder, COIN, amount, amount);
        assertEq(factory.sweep(alice, COIN, amount), amount);
        assertEq(vault.balance, amount);
        assertEq(forwarder.balance, held - amount);
    }

    function testFuzz_tokensOfEveryDialectGoToTheVault(uint128 held, uint128 amount, bool isSilent) public {
        amount = uint128(bound(amount, 0, held));
        TestToken token = isSilent ? TestToken(new SilentToken()) : new PlainToken();
        token.mint(factory.forwarderOf(alice), held);
        assertEq(factory.sweep(alice, address(token), amount), amount);
        assertEq(token.balanceOf(vault), amount);
    }

    function testFuzz_aFeeOnTransferIsReportedAsItWas(uint128 amount) public {
        FeeToken token = new FeeToken();
        address forwarder = factory.forwarderOf(alice);
        token.mint(forwarder, amount);
        uint256 expected = amount - amount / 100;
        vm.expectEmit(address(factory));
        emit IDepositForwarderFactory.Swept(alice, forwarder, address(token), amount, expected);
        assertEq(factory.sweep(alice, address(token), amount), expected);
        assertEq(token.balanceOf(vault), expected);
    }

    function test_moreThanThereIsMovesNothing() public {
        PlainToken token = new PlainToken();
        token.mint(factory.forwarderOf(alice), 5);
        vm.expectRevert(abi.encodeWithSelector(TokenTransfer.TransferFailed.selector, address(token), vault, 6));
        factory.sweep(alice, address(token), 6);
        vm.deal(factory.forwarderOf(alice), 5);
        vm.expectRevert(abi.encodeWithSelector(TokenTransfer.TransferFailed.selector, COIN, vault, 6));
        factory.sweep(alice, COIN, 6);
    }

    function test_aTokenThatSaysNoOrIsNoneReverts() public {
        FalseToken token = new FalseToken();
        token.mint(factory.forwarderOf(alice), 5);
        vm.expectRevert(abi.encodeWithSelector(TokenTransfer.TransferFailed.selector, address(token), vault, 5));
        factory.sweep(alice, address(token), 5);
        address nobody = makeAddr("nobody");
        vm.expectRevert(abi.encodeWithSelector(TokenTransfer.NoSuchToken.selector, nobody));
        factory.sweep(alice, nobody, 5);
    }

    function testFuzz_onlyTheFactoryFlushes(address caller, uint96 amount) public {
        vm.assume(caller != address(factory));
        address forwarder = factory.deploy(alice);
        vm.deal(forwarder, amount);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IDepositForwarder.OnlyFactory.selector, caller));
        IDepositForwarder(forwarder).flush(COIN, amount);
    }

    function test_aTokenThatCallsBackCannotSweepInTheMiddleOfASweep() public {
        ReentrantToken hook = new ReentrantToken();
        PlainToken token = new PlainToken();
        hook.aim(factory, bob, address(token));
        hook.mint(factory.forwarderOf(alice), 5);
        token.mint(factory.forwarderOf(bob), 5);
        vm.expectRevert(abi.encodeWithSelector(TokenTransfer.TransferFailed.selector, address(hook), vault, 5));
        factory.sweep(alice, address(hook), 5);
        // The lock is gone afterwards.
        assertEq(factory.sweep(bob, address(token), 5), 5);
    }

    // --- in batches

    function test_oneFailingTokenDoesNotBlockTheOthers() public {
        PlainToken plain = new PlainToken();
        TestToken[4] memory bad = [TestToken(new GasBurner()), new ReturnBomb(), new FalseToken(), new FeeToken()];
        IBatchSweeper.Item[] memory items = new IBatchSweeper.Item[](7);
        for (uint256 i = 0; i < 4; ++i) {
            bad[i].mint(factory.forwarderOf(alice), 1000);
            items[i] = IBatchSweeper.Item(alice, address(bad[i]), 1000);
        }
        items[4] = IBatchSweeper.Item(UserId.wrap(0), COIN, 1);
        plain.mint(factory.forwarderOf(bob), 7);
        items[5] = IBatchSweeper.Item(bob, address(plain), 7);
        vm.deal(factory.forwarderOf(bob), 1 ether);
        items[6] = IBatchSweeper.Item(bob, COIN, 1 ether);

        vm.expectEmit(true, true, true, false, address(sweeper));
        emit IBatchSweeper.SweepFailed(0, alice, address(bad[0]), 1000, "");
        vm.expectEmit(true, true, true, false, address(sweeper));
        emit IBatchSweeper.SweepFailed(1, alice, address(bad[1]), 1000, "");
        bytes memory why = abi.encodeWithSelector(TokenTransfer.TransferFailed.selector, address(bad[2]), vault, 1000);
        vm.expectEmit(address(sweeper));
        emit IBatchSweeper.SweepFailed(2, alice, address(bad[2]), 1000, why);
        vm.expectEmit(address(sweeper));
        emit IBatchSweeper.SweepFailed(
            4, UserId.wrap(0), COIN, 1, abi.encodePacked(IDepositForwarderFactory.NoUser.selector)
        );
        uint256[] memory received = sweeper.sweep{gas: 3_000_000}(items);

        assertEq(received[0] + received[1] + received[2] + received[4], 0);
        assertEq(received[3], 990);
        assertEq(received[5], 7);
        assertEq(received[6], 1 ether);
        assertEq(plain.balanceOf(vault), 7);
        assertEq(vault.balance, 1 ether);
    }

    function testFuzz_tooLittleGasSweepsNothingRatherThanFailingItems(uint256 gas_) public {
        gas_ = bound(gas_, 60_000, 2_000_000);
        HeavyToken token = new HeavyToken();
        IBatchSweeper.Item[] memory items = new IBatchSweeper.Item[](5);
        for (uint256 i = 0; i < items.length; ++i) {
            UserId user = UserId.wrap(bytes32(i + 1));
            token.mint(factory.forwarderOf(user), 9);
            items[i] = IBatchSweeper.Item(user, address(token), 9);
        }
        try sweeper.sweep{gas: gas_}(items) returns (uint256[] memory received) {
            for (uint256 i = 0; i < items.length; ++i) {
                assertEq(received[i], 9);
            }
            assertEq(token.balanceOf(vault), 45);
        } catch {
            assertEq(token.balanceOf(vault), 0);
        }
    }

    function test_anEmptyBatchDoesNothing() public {
        assertEq(sweeper.sweep(new IBatchSweeper.Item[](0)).length, 0);
    }
}
