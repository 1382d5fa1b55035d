// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";

import {ILpManager, IPriceReference} from "./ILpManager.sol";

/// @title Who may do what with a liquidity manager, and within which bounds.
abstract contract LpRoles is ILpManager, Ownable, ReentrancyGuardTransient {
    uint256 internal constant BPS = 10_000;

    mapping(address account => bool) public override isOperator;
    address public override pauser;
    bool public override isPaused;
    IPriceReference public override oracle;
    Bounds public override bounds;

    modifier onlyOperator() {
        if (!isOperator[msg.sender]) revert NotOperator(msg.sender);
        _;
    }

    modifier whenRunning() {
        if (isPaused) revert IsPaused();
        _;
    }

    constructor(address owner_, address operator_, address pauser_, IPriceReference oracle_, Bounds memory bounds_) {
        if (owner_ == address(0)) revert ZeroAddress();
        _initializeOwner(owner_);
        _setOperator(operator_, true);
        _setPauser(pauser_);
        _setOracle(oracle_);
        _setBounds(bounds_);
    }

    /// @inheritdoc ILpManager
    function pause() external override {
        if (msg.sender != pauser && msg.sender != owner()) revert NotPauser(msg.sender);
        isPaused = true;
        emit PauseSet(true);
    }

    /// @inheritdoc ILpManager
    function unpause() external override onlyOwner {
        isPaused = false;
        emit PauseSet(false);
    }

    function setOperator(address operator, bool isAllowed) external override onlyOwner {
        _setOperator(operator, isAllowed);
    }

    function setPauser(address pauser_) external override onlyOwner {
        _setPauser(pauser_);
    }

    function setOracle(IPriceReference oracle_) external override onlyOwner {
        _setOracle(oracle_);
    }

    function setBounds(Bounds calldata bounds_) external override onlyOwner {
        _setBounds(bounds_);
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

    function _setOracle(IPriceReference oracle_) private {
        if (address(oracle_) == address(0)) revert ZeroAddress();
        oracle = oracle_;
        emit OracleSet(address(oracle_));
    }

    function _setBounds(Bounds memory bounds_) private {
        if (bounds_.deviationBps >= BPS || bounds_.lossBps >= BPS || bounds_.dayLossBps < bounds_.lossBps) {
            revert BadBounds(bounds_);
        }
        bounds = bounds_;
        emit BoundsSet(bounds_);
    }

    /// @dev Transient storage on every chain: the manager needs Cancun anyway.
    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
