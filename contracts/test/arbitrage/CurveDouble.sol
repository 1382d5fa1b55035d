// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ITokenReads} from "../../src/arbitrage/IVenueCalls.sol";
import {ITokenMintable} from "../Genuine.sol";

interface IPull {
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @notice A pool with Curve's call: index 0 has 6 decimals, index 1 has 18, one to one less 4 bps. `misbehave` makes it
/// take less than it was given, or answer with nothing, or call whom it likes in between.
contract CurveDouble {
    address[2] public coins;
    uint256 public takenBps = 10_000;
    uint256 public givenBps = 9996;
    address public target;
    bytes public call;
    bool public callSucceeded;
    bytes public callAnswer;

    constructor(address six, address eighteen) {
        coins = [six, eighteen];
    }

    function misbehave(uint256 taken, uint256 given) external {
        (takenBps, givenBps) = (taken, given);
    }

    function callBetween(address target_, bytes calldata call_) external {
        (target, call) = (target_, call_);
    }

    function exchange(int128 i, int128 j, uint256 dx, uint256) external {
        address from = coins[uint256(int256(i))];
        address to = coins[uint256(int256(j))];
        IPull(from).transferFrom(msg.sender, address(this), dx * takenBps / 10_000);
        if (target != address(0)) (callSucceeded, callAnswer) = target.call(call);
        uint256 same = i == j ? dx : (i == 0 ? dx * 1e12 : dx / 1e12);
        uint256 out = same * givenBps / 10_000;
        uint256 held = ITokenReads(to).balanceOf(address(this));
        ITokenMintable(to).transfer(msg.sender, out < held ? out : held);
    }
}
