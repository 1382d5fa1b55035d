// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice Names a proposal: numbers counting up from 1.
type ProposalId is uint256;

/// @title A vault three parties hold, none of whom can empty it alone.
/// @notice
/// - The **operator** pays: at once within an asset's limit for any 24 hours, above it by a proposal that waits.
/// - The **admin** changes limits, delay and roles: by proposals that wait; what makes the vault tighter is immediate.
/// - The **guardian** pauses at once and vetoes any proposal but its own replacement, which waits three times as long.
///
/// So a stolen operator key takes one day's limit and no more, unless nobody looks for the length of the delay; a stolen
/// admin key takes nothing the guardian sees, and the operator can pay everything out to safety within the time that
/// the guardian's replacement takes; a stolen guardian key stops payments until the admin has replaced it.
/// @dev Assumptions: block time is honest to within minutes. Tokens may return nothing or take a fee (the limit counts
/// what leaves). The vault makes no call but transfers of its own assets, and no `delegatecall` at all.
interface IGuardedVault {
    enum Kind {
        None,
        Payment,
        RaiseLimit,
        ShortenDelay,
        Unpause,
        ReplaceAdmin,
        ReplaceOperator,
        ReplaceGuardian
    }

    enum Status {
        None,
        Waiting,
        Executed,
        Vetoed,
        Withdrawn
    }

    struct Roles {
        address admin;
        address operator;
        address guardian;
    }

    /// @notice What at most leaves in any 24 hours without a proposal. The zero address is the chain's coin.
    struct AssetLimit {
        address asset;
        uint256 limit;
    }

    struct Proposal {
        Kind kind;
        Status status;
        uint40 readyAt;
        /// @dev The asset of a payment or a limit.
        address asset;
        /// @dev Who is paid, or who takes the role.
        address target;
        /// @dev The amount of a payment, the new limit, or the new delay in seconds.
        uint256 value;
    }

    event Received(address indexed sender, uint256 amount);
    event Paid(address indexed asset, address indexed to, uint256 amount);
    event Proposed(
        ProposalId indexed id, Kind indexed kind, address asset, address target, uint256 value, uint40 readyAt
    );
    event Closed(ProposalId indexed id, Status status);
    event VetoedUpTo(ProposalId indexed last);
    event LimitSet(address indexed asset, uint256 limit);
    event DelaySet(uint40 delay);
    event RoleSet(Kind indexed kind, address holder);
    event PauseSet(bool paused);

    error Forbidden(address caller);
    error RolesNotSeparate(address holder);
    error VaultPaused();
    error NotPaused();
    error NothingToPay();
    error BadRecipient(address to);
    error AboveLimit(address asset, uint256 amount, uint256 available);
    error NotLower(uint256 present, uint256 asked);
    error NotHigher(uint256 present, uint256 asked);
    error DelayOutOfBounds(uint256 delay);
    error NoSuchProposal(ProposalId id);
    error NotWaiting(ProposalId id, Status status);
    error TooEarly(ProposalId id, uint256 readyAt);
    error Expired(ProposalId id, uint256 expiredAt);
    error VetoNotAllowed(ProposalId id);
    error LimitTooLarge(uint256 limit);

    function admin() external view returns (address);
    function operator() external view returns (address);
    function guardian() external view returns (address);
    function isPaused() external view returns (bool);
    function delay() external view returns (uint40);
    function limitOf(address asset) external view returns (uint256);
    function proposal(ProposalId id) external view returns (Proposal memory);

    /// @notice What may leave now without a proposal, rounded down: the last 24 hours count, and up to four hours more.
    function availableDown(address asset) external view returns (uint256);

    /// @notice Operator: pay within the limit, at once.
    function pay(address asset, address to, uint256 amount) external;

    /// @notice Operator: propose a payment of any size. It takes nothing from the limit.
    function proposePayment(address asset, address to, uint256 amount) external returns (ProposalId);

    /// @notice Admin: propose a higher limit.
    function proposeLimit(address asset, uint256 limit) external returns (ProposalId);

    /// @notice Admin: propose a shorter delay.
    function proposeDelay(uint40 delay) external returns (ProposalId);

    /// @notice Admin: propose to end the pause.
    function proposeUnpause() external returns (ProposalId);

    /// @notice Admin: propose another holder of a role (`kind` is one of the three that replace).
    function proposeRole(Kind kind, address holder) external returns (ProposalId);

    /// @notice Whoever proposes this kind: carry out what has waited long enough, within 14 days of being ready.
    function execute(ProposalId id) external;

    /// @notice Whoever proposes this kind: take it back.
    function withdraw(ProposalId id) external;

    /// @notice Guardian: stop a proposal for good.
    function veto(ProposalId id) external;

    /// @notice Guardian: stop every proposal up to this number, whoever made them, so that no flood of them hides one.
    /// Only replacements of the guardian stay.
    function vetoUpTo(ProposalId last) external;

    /// @notice Guardian: stop all payments, at once.
    function pause() external;

    /// @notice Admin or guardian: lower a limit, at once.
    function lowerLimit(address asset, uint256 limit) external;

    /// @notice Admin: lengthen the delay, at once. What waits already waits as long as it was told.
    function lengthenDelay(uint40 delay) external;
}
