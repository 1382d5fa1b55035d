// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IDepositForwarder} from "../interfaces/IDepositForwarders.sol";
import {TokenTransfer} from "./TokenTransfer.sol";

/// @title What every forwarder runs. Deployed once, by the factory; its clones live at the deposit addresses.
contract DepositForwarder is IDepositForwarder {
    address private immutable FACTORY;
    address private immutable VAULT;

    constructor(address vault) {
        FACTORY = msg.sender;
        VAULT = vault;
    }

    /// @inheritdoc IDepositForwarder
    function flush(address token, uint256 amount) external returns (uint256 received) {
        // The factory's lock is what makes the two balances below comparable; so there is no other way in.
        if (msg.sender != FACTORY) revert OnlyFactory(msg.sender);
        if (token == TokenTransfer.COIN) {
            TokenTransfer.pay(token, VAULT, amount);
            return amount;
        }
        uint256 before = TokenTransfer.balance(token, VAULT);
        TokenTransfer.pay(token, VAULT, amount);
        uint256 present = TokenTransfer.balance(token, VAULT);
        return present > before ? present - before : 0;
    }
}
