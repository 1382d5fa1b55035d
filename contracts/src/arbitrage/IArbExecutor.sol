// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Carries out one cycle of swaps in one transaction, or none of it.
/// @notice A cycle begins and ends in one token. Each step takes all that the former gave. Whoever lends is paid back in
/// the same transaction, a share may go to the block's builder, and what is left is the profit: it goes to the
/// beneficiary, and a profit below the stated minimum reverts everything.
/// - The **owner** (a Safe, say) names operators, pauser and beneficiary, and sweeps to itself.
/// - **Operators** execute. A stolen operator key takes nothing that the contract holds: no execution ends with less of
///   its token than there was, and steps spend only what the former step gave.
/// - The **pauser** stops everything, sweeping too; only the owner ends a pause.
/// @dev Assumptions: tokens move what they are told (no fee on transfer, no rebasing, no balance that changes by itself);
/// the cycle's token is no native coin; `block.number` counts this chain's own blocks (on Arbitrum: Ethereum's).
/// A pool is locked while it lends: the steps of a cycle cannot use it again, nor Balancer's Vault while that lends.
/// Balances of intermediate tokens are not compared; they cannot fall, since steps chain exact amounts.
/// Built by `constructor(address owner, address operator, address pauser, address beneficiary, Venues venues)`.
interface IArbExecutor {
    enum Funding {
        /// @dev What the contract holds itself.
        Own,
        /// @dev The first step's pool (V2 or V3) delivers before it is paid: costs nothing beyond its swap fee.
        FlashSwap,
        /// @dev `flash` of a Uniswap V3 pool, named by `lenderToken` and `lenderFee`; costs the pool's fee.
        FlashV3,
        /// @dev Inside Uniswap V4's `unlock`: costs nothing. All V4 steps settle there together.
        UnlockV4,
        /// @dev `flashLoanSimple` of Aave v3; costs its premium.
        Aave,
        /// @dev `flashLoan` of Balancer's Vault; costs its fee, which may be zero.
        Balancer
    }

    enum StepKind {
        V2,
        V3,
        V4,
        Balancer,
        /// @dev `exchange(int128,int128,uint256,uint256)`.
        Curve,
        /// @dev The native coin (zero address) to its wrapped token or back, one to one.
        Wrap
    }

    struct Arbitrage {
        Funding funding;
        /// @dev The cycle begins and ends in it; profit is counted and paid in it.
        address token;
        /// @dev What goes into the first step.
        uint256 amount;
        /// @dev What the beneficiary gets at least, after the lender's fee and the tip.
        uint256 minProfit;
        /// @dev Unix seconds, inclusive.
        uint256 deadline;
        /// @dev Inclusive.
        uint256 maxBlock;
        /// @dev Share of the profit for the block's builder, rounded down. Not zero only where `token` is the wrapped coin.
        uint16 tipBps;
        /// @dev FlashV3: the other token of the pool that lends. Otherwise zero.
        address lenderToken;
        /// @dev FlashV3: that pool's fee in pips. Otherwise zero.
        uint24 lenderFee;
    }

    struct Step {
        StepKind kind;
        /// @dev V2, V3: the factory, zero for Uniswap's own. V4: the hooks. Curve: the pool. Balancer, Wrap: zero.
        address venue;
        /// @dev The zero address is the native coin: V4 and Wrap only.
        address tokenIn;
        address tokenOut;
        /// @dev V2, V3, V4: the pool's fee in pips (3000 is 0.3 %). Otherwise zero.
        uint24 fee;
        /// @dev V4 only.
        int24 tickSpacing;
        /// @dev Balancer: the pool's id. Curve: index of the token in, shifted left by 128, plus index of the token out.
        bytes32 id;
    }

    /// @notice Where this chain has what the steps use; fixed at construction. Zero where a chain lacks one.
    struct Venues {
        address weth;
        address v2Factory;
        bytes32 v2InitCodeHash;
        address v3Factory;
        bytes32 v3InitCodeHash;
        address poolManager;
        address aavePool;
        address balancerVault;
    }

    /// @notice `profit` went to the beneficiary, `tip` to the block's builder; both in `token`'s smallest unit.
    event Executed(address indexed token, Funding indexed funding, uint256 amount, uint256 profit, uint256 tip);
    event Swept(address indexed token, uint256 amount);
    event OperatorSet(address indexed operator, bool isAllowed);
    event PauserSet(address indexed pauser);
    event BeneficiarySet(address indexed beneficiary);
    event FactorySet(address indexed factory, bytes32 initCodeHash);
    event PauseSet(bool isPaused);

    error NotOperator(address caller);
    error NotPauser(address caller);
    /// @dev A callback came from where none was awaited.
    error UnexpectedCall(address caller);
    /// @dev A pool came back without having called.
    error CallbackMissing(address pool);
    error IsPaused();
    error Expired(uint256 deadline, uint256 time);
    error TooLate(uint256 maxBlock, uint256 blockNumber);
    error ProfitBelowMinimum(int256 profit, uint256 minProfit);
    error NoSteps();
    /// @dev The step does not begin with the token that the former gave, or the last does not end in the cycle's token.
    error BrokenCycle(uint256 index);
    /// @dev The step's pool took less than it was given, or asked for more.
    error PartialFill(uint256 taken, uint256 amount);
    error NothingOut(address tokenIn, address tokenOut);
    error UnknownFactory(address factory);
    error BadIndex(bytes32 id);
    error NotWrapping(address tokenIn, address tokenOut);
    error CannotFlashSwap(StepKind kind);
    error TipNeedsWrappedCoin(address token);
    error TipTooLarge(uint256 tipBps);
    error ZeroAddress();
    /// @dev Owners change by handover, which the new one begins; there always is one.
    error UseHandover();

    /// @notice Operators: carry out a cycle. Reverts unless the beneficiary gets at least `minProfit`.
    /// @return profit What the beneficiary got.
    function execute(Arbitrage calldata arbitrage, Step[] calldata steps) external returns (uint256 profit);

    /// @notice Owner: take `amount` of a token (the zero address: the coin) to the owner.
    function sweep(address token, uint256 amount) external;

    /// @notice Pauser or owner: stop everything, at once.
    function pause() external;

    /// @notice Owner: end the pause.
    function unpause() external;

    /// @notice Owner: allow or stop an operator.
    function setOperator(address operator, bool isAllowed) external;

    /// @notice Owner: name the pauser; zero for none.
    function setPauser(address pauser) external;

    /// @notice Owner: name who gets the profits.
    function setBeneficiary(address beneficiary) external;

    /// @notice Owner: know another factory of V2 or V3 pools by the hash of its pools' creation code; zero forgets it.
    /// @dev Pools are derived (CREATE2) from factory, tokens and fee, never taken from the caller.
    function setFactory(address factory, bytes32 initCodeHash) external;

    function isOperator(address account) external view returns (bool);
    function isPaused() external view returns (bool);
    function pauser() external view returns (address);
    function beneficiary() external view returns (address);
    /// @notice The hash by which a factory's pools are derived; zero for one that is not known.
    function initCodeHash(address factory) external view returns (bytes32);
    /// @notice What the contract was built for.
    function venues() external view returns (Venues memory);
}
