// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IDepositForwarderFactory, UserId} from "../../src/interfaces/IDepositForwarders.sol";

/// @notice Balances and minting; how a transfer answers is what the dialects below differ in.
abstract contract TestToken {
    mapping(address => uint256) public balanceOf;

    error Short(address owner, uint256 held, uint256 wanted);

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function _move(address to, uint256 amount) internal {
        uint256 held = balanceOf[msg.sender];
        if (held < amount) revert Short(msg.sender, held, amount);
        balanceOf[msg.sender] = held - amount;
        balanceOf[to] += amount;
    }
}

/// @notice As the standard says.
contract PlainToken is TestToken {
    function transfer(address to, uint256 amount) external returns (bool) {
        _move(to, amount);
        return true;
    }
}

/// @notice Returns nothing, like USDT.
contract SilentToken is TestToken {
    function transfer(address to, uint256 amount) external {
        _move(to, amount);
    }
}

/// @notice Says no by returning false, like early tokens.
contract FalseToken is TestToken {
    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }
}

/// @notice Keeps one percent of what is moved.
contract FeeToken is TestToken {
    function transfer(address to, uint256 amount) external returns (bool) {
        _move(to, amount);
        balanceOf[to] -= amount / 100;
        return true;
    }
}

/// @notice Works for long before it moves anything: it needs 150,000 gas.
contract HeavyToken is TestToken {
    function transfer(address to, uint256 amount) external returns (bool) {
        uint256 left = gasleft();
        _move(to, amount);
        while (left - gasleft() < 150_000) {}
        return true;
    }
}

/// @notice Burns all the gas it is given.
contract GasBurner is TestToken {
    function transfer(address, uint256) external pure returns (bool) {
        while (true) {}
        return true;
    }
}

/// @notice Answers with far more than anyone asked for.
contract ReturnBomb is TestToken {
    function transfer(address, uint256) external pure returns (bool) {
        assembly ("memory-safe") {
            revert(0, 100000)
        }
    }
}

/// @notice Calls back into the factory in the middle of a transfer, as an ERC-777 hook would.
contract ReentrantToken is TestToken {
    IDepositForwarderFactory public factory;
    UserId public other;
    address public token;

    function aim(IDepositForwarderFactory factory_, UserId other_, address token_) external {
        (factory, other, token) = (factory_, other_, token_);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(to, amount);
        factory.sweep(other, token, 1);
        return true;
    }
}

/// @notice Pays with the 2,300 gas of Solidity's `transfer`, as old exchanges' hot wallets do.
contract OldPayer {
    function pay(address payable to) external payable {
        to.transfer(msg.value);
    }
}
