// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IDepositForwarder, IDepositForwarderFactory, UserId} from "../interfaces/IDepositForwarders.sol";
import {DepositForwarder} from "./DepositForwarder.sol";
import {ForwarderClone} from "./ForwarderClone.sol";
import {Lock} from "./Lock.sol";

/// @title Deposit addresses for any number of users, all paying to one vault.
contract DepositForwarderFactory is IDepositForwarderFactory, Lock {
    /// @inheritdoc IDepositForwarderFactory
    address public immutable vault;
    /// @inheritdoc IDepositForwarderFactory
    address public immutable implementation;

    constructor(address vault_) {
        if (vault_ == address(0)) revert NoVault();
        vault = vault_;
        implementation = address(new DepositForwarder(vault_));
    }

    /// @inheritdoc IDepositForwarderFactory
    function forwarderOf(UserId user) public view returns (address) {
        return ForwarderClone.predict(address(this), implementation, _salt(user));
    }

    /// @inheritdoc IDepositForwarderFactory
    function deploy(UserId user) public returns (address forwarder) {
        if (UserId.unwrap(user) == 0) revert NoUser();
        forwarder = forwarderOf(user);
        if (forwarder.code.length != 0) return forwarder;
        bytes memory code = ForwarderClone.creationCode(implementation);
        bytes32 salt = _salt(user);
        address created;
        assembly ("memory-safe") {
            created := create2(0, add(code, 0x20), mload(code), salt)
        }
        if (created != forwarder) revert DeploymentFailed(user);
        emit ForwarderDeployed(user, forwarder);
    }

    /// @inheritdoc IDepositForwarderFactory
    function sweep(UserId user, address token, uint256 amount) external alone returns (uint256 received) {
        address forwarder = deploy(user);
        received = IDepositForwarder(forwarder).flush(token, amount);
        emit Swept(user, forwarder, token, amount, received);
    }

    /// @dev Nobody chooses a salt: it is the user's, so no two users share an address and no caller moves one.
    function _salt(UserId user) private pure returns (bytes32) {
        return keccak256(abi.encode(user));
    }
}
