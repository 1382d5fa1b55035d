// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {BatchSweeper} from "../../src/custody/BatchSweeper.sol";
import {DepositForwarderFactory} from "../../src/custody/DepositForwarderFactory.sol";
import {IBatchSweeper, UserId} from "../../src/interfaces/IDepositForwarders.sol";
import {FeeToken, GasBurner, PlainToken, SilentToken, TestToken} from "./Tokens.sol";

/// @notice Anyone pays in and sweeps, in any order and any amount; the model counts what must be where.
contract ForwardersHandler is Test {
    uint256 public constant USERS = 5;
    uint256 public constant TOKENS = 5;

    address public immutable vault = makeAddr("vault");
    DepositForwarderFactory public immutable factory;
    BatchSweeper public immutable sweeper;
    address[TOKENS] public tokens;
    /// @notice By token: paid in, and (of the fee token) kept by the token.
    uint256[TOKENS] public paidIn;
    uint256[TOKENS] public kept;

    constructor() {
        factory = new DepositForwarderFactory(vault);
        sweeper = new BatchSweeper(factory);
        tokens[1] = address(new PlainToken());
        tokens[2] = address(new SilentToken());
        tokens[3] = address(new FeeToken());
        tokens[4] = address(new GasBurner());
    }

    function user(uint256 index) public pure returns (UserId) {
        return UserId.wrap(bytes32(1 + index % USERS));
    }

    function held(uint256 index, uint256 token) public view returns (uint256) {
        address forwarder = factory.forwarderOf(user(index));
        return token == 0 ? forwarder.balance : TestToken(tokens[token]).balanceOf(forwarder);
    }

    function payIn(uint256 index, uint256 token, uint96 amount) external {
        token %= TOKENS;
        address forwarder = factory.forwarderOf(user(index));
        paidIn[token] += amount;
        if (token == 0) {
            vm.deal(address(this), amount);
            (bool succeeded,) = forwarder.call{value: amount}("");
            assertTrue(succeeded);
        } else {
            TestToken(tokens[token]).mint(forwarder, amount);
        }
    }

    function sweep(uint256 index, uint256 token, uint256 amount, address caller) external {
        token %= TOKENS;
        amount = bound(amount, 0, held(index, token) + 1);
        uint256 before = held(index, token);
        vm.prank(caller);
        try factory.sweep{gas: 400_000}(user(index), tokens[token], amount) returns (uint256 received) {
            _count(token, amount, received);
        } catch {
            assertEq(held(index, token), before);
        }
    }

    function sweepMany(uint256[4] calldata indexes, uint256[4] calldata picked, uint96[4] calldata amounts) external {
        IBatchSweeper.Item[] memory items = new IBatchSweeper.Item[](4);
        for (uint256 i = 0; i < 4; ++i) {
            uint256 token = picked[i] % TOKENS;
            items[i] =
                IBatchSweeper.Item(user(indexes[i]), tokens[token], bound(amounts[i], 0, held(indexes[i], token)));
        }
        uint256[] memory received = sweeper.sweep{gas: 4_000_000}(items);
        for (uint256 i = 0; i < 4; ++i) {
            // Nothing received: it failed, or nothing was asked. One user twice may ask for more than there is.
            if (received[i] > 0) _count(picked[i] % TOKENS, items[i].amount, received[i]);
        }
    }

    function _count(uint256 token, uint256 sent, uint256 received) private {
        kept[token] += sent - received;
    }
}

contract ForwardersInvariantTest is Test {
    ForwardersHandler private handler;

    function setUp() public {
        handler = new ForwardersHandler();
        targetContract(address(handler));
    }

    function invariant_whatWasPaidInIsAtTheForwardersOrInTheVault() public view {
        for (uint256 token = 0; token < handler.TOKENS(); ++token) {
            uint256 total =
                token == 0 ? handler.vault().balance : TestToken(handler.tokens(token)).balanceOf(handler.vault());
            for (uint256 index = 0; index < handler.USERS(); ++index) {
                total += handler.held(index, token);
            }
            assertEq(total + handler.kept(token), handler.paidIn(token));
        }
    }

    function invariant_sweeperAndFactoryHoldNothing() public view {
        for (uint256 token = 1; token < handler.TOKENS(); ++token) {
            assertEq(TestToken(handler.tokens(token)).balanceOf(address(handler.sweeper())), 0);
            assertEq(TestToken(handler.tokens(token)).balanceOf(address(handler.factory())), 0);
        }
        assertEq(address(handler.sweeper()).balance + address(handler.factory()).balance, 0);
    }
}
