// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice Names one deposit account: a hash the operator takes of its own user id. The zero id is nobody's.
type UserId is bytes32;

/// @notice One user's deposit address. It holds no key and no state, and pays to one place.
/// @dev The address receives before it has code: plain transfers to it then leave no event. Once deployed it reports
/// every coin it is sent with `Received`, within the 2,300 gas of Solidity's `transfer`.
interface IDepositForwarder {
    /// @notice Coins came in by a plain transfer. The zero amount is reported too.
    event Received(address indexed sender, uint256 amount);

    error OnlyFactory(address caller);

    /// @notice Sends `amount` of a token (the zero address: the chain's coin) to the vault.
    /// @return received What the vault's balance grew by; below `amount` for a token that takes a fee.
    function flush(address token, uint256 amount) external returns (uint256 received);
}

/// @notice Deploys forwarders at addresses that everyone can compute, and empties them into one vault.
/// @dev Assumptions: `vault` can receive coins and tokens for as long as addresses are in use; it can never be changed.
/// Tokens may return nothing (USDT), call back (ERC-777) or take a fee on transfer; balances that change by themselves
/// are reported as they were found. Tokens are not checked against any list: sweeping a hostile one moves only itself.
interface IDepositForwarderFactory {
    event ForwarderDeployed(UserId indexed user, address forwarder);

    /// @notice What left a forwarder, and what the vault really got.
    event Swept(UserId indexed user, address indexed forwarder, address indexed token, uint256 sent, uint256 received);

    error NoVault();
    error NoUser();
    error DeploymentFailed(UserId user);

    /// @notice Where everything goes. Set at construction and never again.
    function vault() external view returns (address);

    /// @notice The code behind every forwarder.
    function implementation() external view returns (address);

    /// @notice The address of a user's forwarder, deployed or not.
    /// @dev CREATE2 with salt `keccak256(user)` and the clone's creation code.
    function forwarderOf(UserId user) external view returns (address);

    /// @notice Deploys a user's forwarder unless it stands already. Anyone may.
    function deploy(UserId user) external returns (address forwarder);

    /// @notice Moves exactly `amount` of a token (zero address: the coin) from a user's forwarder to the vault,
    /// deploying it first where needed. Anyone may: the destination is fixed.
    /// @return received What the vault got.
    function sweep(UserId user, address token, uint256 amount) external returns (uint256 received);
}

/// @notice Sweeps many forwarders in one transaction.
interface IBatchSweeper {
    struct Item {
        UserId user;
        address token;
        uint256 amount;
    }

    /// @notice One item failed and the others did not care. `reason` holds at most the first 256 bytes.
    event SweepFailed(uint256 indexed index, UserId indexed user, address indexed token, uint256 amount, bytes reason);

    /// @notice The transaction carries too little gas to give this item its share: nothing at all is swept, so that a
    /// short gas limit is never mistaken for a token that fails.
    error GasTooLow(uint256 index, uint256 left);

    error NoFactory();

    /// @notice The gas one item may use; what a hostile token can burn at most.
    function GAS_PER_ITEM() external view returns (uint256);

    function factory() external view returns (IDepositForwarderFactory);

    /// @return received What the vault got for each item; zero where it failed (see `SweepFailed`).
    function sweep(Item[] calldata items) external returns (uint256[] memory received);
}
