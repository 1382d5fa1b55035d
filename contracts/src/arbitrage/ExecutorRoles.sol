// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IArbExecutor} from "./IArbExecutor.sol";

/// @title Who may do what with the executor.
abstract contract ExecutorRoles is IArbExecutor, Ownable, ReentrancyGuardTransient {
    mapping(address account => bool) public override isOperator;
    address public override pauser;
    bool public override isPaused;
    address public override beneficiary;

    modifier onlyOperator() {
        if (!isOperator[msg.sender]) revert NotOperator(msg.sender);
        _;
    }

    modifier whenRunning() {
        if (isPaused) revert IsPaused();
        _;
    }

    constructor(address owner_, address operator_, address pauser_, address beneficiary_) {
        if (owner_ == address(0)) revert ZeroAddress();
        _initializeOwner(owner_);
        _setOperator(operator_, true);
        _setPauser(pauser_);
        _setBeneficiary(beneficiary_);
    }

    /// @inheritdoc IArbExecutor
    function sweep(address token, uint256 amount) external override onlyOwner whenRunning nonReentrant {
        emit Swept(token, amount);
        if (token == address(0)) SafeTransferLib.safeTransferETH(msg.sender, amount);
        else SafeTransferLib.safeTransfer(token, msg.sender, amount);
    }

    /// @inheritdoc IArbExecutor
    function pause() external override {
        if (msg.sender != pauser && msg.sender != owner()) revert NotPauser(msg.sender);
        isPaused = true;
        emit PauseSet(true);
    }

    /// @inheritdoc IArbExecutor
    function unpause() external override onlyOwner {
        isPaused = false;
        emit PauseSet(false);
    }

    /// @inheritdoc IArbExecutor
    function setOperator(address operator, bool isAllowed) external override onlyOwner {
        _setOperator(operator, isAllowed);
    }

    /// @inheritdoc IArbExecutor
    function setPauser(address pauser_) external override onlyOwner {
        _setPauser(pauser_);
    }

    /// @inheritdoc IArbExecutor
    function setBeneficiary(address beneficiary_) external override onlyOwner {
        _setBeneficiary(beneficiary_);
    }

    function transferOwnership(address) public payable override {
        revert UseHandover();
    }

    function renounceOwnership() public payable override {
        revert UseHandover();
    }

    function _setOperator(address operator, bool isAllowed) private {
        if (operator == address(0)) revert ZeroAddress();
        isOperator[operator] = isAllowed;
        emit OperatorSet(operator, isAllowed);
    }

    function _setPauser(address pauser_) private {
        pauser = pauser_;
        emit PauserSet(pauser_);
    }

    function _setBeneficiary(address beneficiary_) private {
        if (beneficiary_ == address(0)) revert ZeroAddress();
        beneficiary = beneficiary_;
        emit BeneficiarySet(beneficiary_);
    }

    /// @dev Transient storage on every chain: the executor needs Cancun anyway.
    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
