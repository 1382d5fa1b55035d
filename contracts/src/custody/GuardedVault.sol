// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IGuardedVault, ProposalId} from "../interfaces/IGuardedVault.sol";
import {Lock} from "./Lock.sol";
import {SpendingWindow} from "./SpendingWindow.sol";
import {TokenTransfer} from "./TokenTransfer.sol";

/// @title See `IGuardedVault`: what it is for, whom it trusts with what.
contract GuardedVault is IGuardedVault, Lock {
    using SpendingWindow for SpendingWindow.Window;

    uint40 public constant DELAY_MIN = 1 hours;
    uint40 public constant DELAY_MAX = 30 days;
    uint40 public constant GRACE = 14 days;
    /// @notice How many delays the guardian's replacement waits.
    uint40 public constant GUARDIAN_FACTOR = 3;

    /// @inheritdoc IGuardedVault
    address public admin;
    /// @inheritdoc IGuardedVault
    address public operator;
    /// @inheritdoc IGuardedVault
    address public guardian;
    /// @inheritdoc IGuardedVault
    uint40 public delay;
    /// @inheritdoc IGuardedVault
    bool public isPaused;

    /// @inheritdoc IGuardedVault
    mapping(address asset => uint256) public limitOf;
    mapping(address asset => SpendingWindow.Window) private windows;
    mapping(ProposalId => Proposal) private proposals;
    uint256 private proposalCount;
    uint256 private vetoedUpTo;

    modifier only(address holder) {
        _only(holder);
        _;
    }

    constructor(Roles memory roles, uint40 delay_, AssetLimit[] memory limits) {
        (admin, operator, guardian) = (roles.admin, roles.operator, roles.guardian);
        _checkSeparate();
        _checkDelay(delay_);
        delay = delay_;
        for (uint256 i = 0; i < limits.length; ++i) {
            _setLimit(limits[i].asset, limits[i].limit);
        }
        emit DelaySet(delay_);
        emit RoleSet(Kind.ReplaceAdmin, roles.admin);
        emit RoleSet(Kind.ReplaceOperator, roles.operator);
        emit RoleSet(Kind.ReplaceGuardian, roles.guardian);
    }

    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// @inheritdoc IGuardedVault
    function proposal(ProposalId id) public view returns (Proposal memory found) {
        found = proposals[id];
        bool isSwept = ProposalId.unwrap(id) <= vetoedUpTo && found.kind != Kind.ReplaceGuardian;
        if (found.status == Status.Waiting && isSwept) found.status = Status.Vetoed;
    }

    /// @inheritdoc IGuardedVault
    function availableDown(address asset) public view returns (uint256) {
        uint256 spent = windows[asset].spentUp(block.timestamp);
        uint256 limit = limitOf[asset];
        return limit > spent ? limit - spent : 0;
    }

    /// @inheritdoc IGuardedVault
    function pay(address asset, address to, uint256 amount) external alone only(operator) {
        uint256 available = availableDown(asset);
        if (amount > available) revert AboveLimit(asset, amount, available);
        // No limit exceeds a uint216 (`_setLimit`), and the amount no limit.
        // forge-lint: disable-next-line(unsafe-typecast)
        windows[asset].add(block.timestamp, uint216(amount));
        _pay(asset, to, amount);
    }

    /// @inheritdoc IGuardedVault
    function proposePayment(address asset, address to, uint256 amount) external only(operator) returns (ProposalId) {
        _checkPayment(to, amount);
        return _propose(Kind.Payment, asset, to, amount, delay);
    }

    /// @inheritdoc IGuardedVault
    function proposeLimit(address asset, uint256 limit) external only(admin) returns (ProposalId) {
        _checkRaise(asset, limit);
        return _propose(Kind.RaiseLimit, asset, address(0), limit, delay);
    }

    /// @inheritdoc IGuardedVault
    function proposeDelay(uint40 delay_) external only(admin) returns (ProposalId) {
        _checkDelay(delay_);
        if (delay_ >= delay) revert NotLower(delay, delay_);
        return _propose(Kind.ShortenDelay, address(0), address(0), delay_, delay);
    }

    /// @inheritdoc IGuardedVault
    function proposeUnpause() external only(admin) returns (ProposalId) {
        if (!isPaused) revert NotPaused();
        return _propose(Kind.Unpause, address(0), address(0), 0, delay);
    }

    /// @inheritdoc IGuardedVault
    function proposeRole(Kind kind, address holder) external only(admin) returns (ProposalId) {
        if (kind < Kind.ReplaceAdmin) revert Forbidden(msg.sender);
        if (holder == address(0)) revert RolesNotSeparate(holder);
        return _propose(kind, address(0), holder, 0, kind == Kind.ReplaceGuardian ? GUARDIAN_FACTOR * delay : delay);
    }

    /// @inheritdoc IGuardedVault
    function execute(ProposalId id) external alone {
        Proposal memory found = _waiting(id);
        _only(_proposerOf(found.kind));
        if (block.timestamp < found.readyAt) revert TooEarly(id, found.readyAt);
        if (block.timestamp > found.readyAt + GRACE) revert Expired(id, found.readyAt + GRACE);
        _close(id, Status.Executed);
        if (found.kind == Kind.Payment) _pay(found.asset, found.target, found.value);
        else _change(found);
    }

    /// @inheritdoc IGuardedVault
    function withdraw(ProposalId id) external {
        _only(_proposerOf(_waiting(id).kind));
        _close(id, Status.Withdrawn);
    }

    /// @inheritdoc IGuardedVault
    function veto(ProposalId id) external only(guardian) {
        if (_waiting(id).kind == Kind.ReplaceGuardian) revert VetoNotAllowed(id);
        _close(id, Status.Vetoed);
    }

    /// @inheritdoc IGuardedVault
    function vetoUpTo(ProposalId last) external only(guardian) {
        uint256 number = ProposalId.unwrap(last);
        // A veto of what is yet to come would be a stop nobody can lift.
        if (number > proposalCount) revert NoSuchProposal(last);
        if (number <= vetoedUpTo) revert NotHigher(vetoedUpTo, number);
        vetoedUpTo = number;
        emit VetoedUpTo(last);
    }

    /// @inheritdoc IGuardedVault
    function pause() external only(guardian) {
        isPaused = true;
        emit PauseSet(true);
    }

    /// @inheritdoc IGuardedVault
    function lowerLimit(address asset, uint256 limit) external {
        if (msg.sender != admin && msg.sender != guardian) revert Forbidden(msg.sender);
        if (limit >= limitOf[asset]) revert NotLower(limitOf[asset], limit);
        _setLimit(asset, limit);
    }

    /// @inheritdoc IGuardedVault
    function lengthenDelay(uint40 delay_) external only(admin) {
        _checkDelay(delay_);
        if (delay_ <= delay) revert NotHigher(delay, delay_);
        delay = delay_;
        emit DelaySet(delay_);
    }

    function _propose(Kind kind, address asset, address target, uint256 value, uint40 wait)
        private
        returns (ProposalId id)
    {
        id = ProposalId.wrap(++proposalCount);
        uint40 readyAt = uint40(block.timestamp) + wait;
        proposals[id] = Proposal(kind, Status.Waiting, readyAt, asset, target, value);
        emit Proposed(id, kind, asset, target, value, readyAt);
    }

    /// @dev What was true when it was proposed is checked again: the vault may have changed meanwhile.
    function _change(Proposal memory found) private {
        if (found.kind == Kind.RaiseLimit) {
            _checkRaise(found.asset, found.value);
            _setLimit(found.asset, found.value);
        } else if (found.kind == Kind.ShortenDelay) {
            if (found.value >= delay) revert NotLower(delay, found.value);
            // `proposeDelay` took a uint40.
            // forge-lint: disable-next-line(unsafe-typecast)
            delay = uint40(found.value);
            emit DelaySet(delay);
        } else if (found.kind == Kind.Unpause) {
            isPaused = false;
            emit PauseSet(false);
        } else {
            if (found.kind == Kind.ReplaceAdmin) admin = found.target;
            else if (found.kind == Kind.ReplaceOperator) operator = found.target;
            else guardian = found.target;
            _checkSeparate();
            emit RoleSet(found.kind, found.target);
        }
    }

    function _pay(address asset, address to, uint256 amount) private {
        if (isPaused) revert VaultPaused();
        _checkPayment(to, amount);
        emit Paid(asset, to, amount);
        TokenTransfer.pay(asset, to, amount);
    }

    function _close(ProposalId id, Status status) private {
        proposals[id].status = status;
        emit Closed(id, status);
    }

    function _setLimit(address asset, uint256 limit) private {
        if (limit > type(uint216).max) revert LimitTooLarge(limit);
        limitOf[asset] = limit;
        emit LimitSet(asset, limit);
    }

    function _waiting(ProposalId id) private view returns (Proposal memory found) {
        found = proposal(id);
        if (found.status != Status.Waiting) revert NotWaiting(id, found.status);
    }

    function _proposerOf(Kind kind) private view returns (address) {
        return kind == Kind.Payment ? operator : admin;
    }

    function _only(address holder) private view {
        if (msg.sender != holder) revert Forbidden(msg.sender);
    }

    function _checkRaise(address asset, uint256 limit) private view {
        if (limit > type(uint216).max) revert LimitTooLarge(limit);
        if (limit <= limitOf[asset]) revert NotHigher(limitOf[asset], limit);
    }

    function _checkPayment(address to, uint256 amount) private view {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        if (amount == 0) revert NothingToPay();
    }

    function _checkDelay(uint40 delay_) private pure {
        if (delay_ < DELAY_MIN || delay_ > DELAY_MAX) revert DelayOutOfBounds(delay_);
    }

    function _checkSeparate() private view {
        if (admin == address(0) || admin == operator || admin == guardian) revert RolesNotSeparate(admin);
        if (operator == address(0) || operator == guardian) revert RolesNotSeparate(operator);
        if (guardian == address(0)) revert RolesNotSeparate(guardian);
    }
}
