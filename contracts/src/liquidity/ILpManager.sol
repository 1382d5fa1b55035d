// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Says what a pair is worth, whatever its pool says at the moment.
interface IPriceReference {
    /// @notice The square root of raw token 1 per raw token 0, in 96 fractional bits. Reverts when it does not know.
    function sqrtPriceX96() external view returns (uint160);
}

/// @title Keeps the liquidity of one owner in one pool, and moves it without ever losing more than a stated part.
/// @notice
/// - The **owner** (custody's vault, a Safe) puts tokens in by sending them, takes everything out to itself, and sets
///   roles, oracle and bounds.
/// - **Operators** move the liquidity: take out, swap, provide again, in one transaction. They cannot take anything: what
///   leaves goes to the owner. A stolen operator key loses at most `dayLossBps` in a day.
/// - The **pauser** stops the operators at once; only the owner ends a pause. The owner can take out while it is paused.
///
/// A move is measured at a reference price that the pool does not set: everything in hand when the old position is gone,
/// against the new position *at that price* and what stays in hand. So it counts the swap's fee and impact, and also what
/// the new position would lose if the pool's price were not the true one. Above `lossBps` it reverts, and it does not begin
/// when the pool's price is further than `deviationBps` from the oracle.
/// @dev Assumptions: tokens move what they are told (no fee on transfer, no rebasing); the oracle is honest to within
/// its own error, which no bound here covers; hooks of a V4 pool, if it has any, are trusted by the owner.
interface ILpManager {
    struct Bounds {
        /// @dev How far the pool's price may be from the oracle when a move begins, in basis points of the price.
        uint16 deviationBps;
        /// @dev What one move may lose, in basis points of all that is held.
        uint16 lossBps;
        /// @dev What all moves of 24 hours (and at most four hours more) may lose together.
        uint16 dayLossBps;
    }

    struct Move {
        /// @dev The new range; equal ticks provide nothing and keep everything in hand.
        int24 lower;
        int24 upper;
        /// @dev How much of which token to swap for the other first; 0 for none.
        bool zeroForOne;
        uint256 swapIn;
        /// @dev The swap stops there, in square-root price; what it did not take stays in hand.
        uint160 swapLimit;
        /// @dev The new position's least liquidity.
        uint128 minLiquidity;
        /// @dev Unix seconds, inclusive.
        uint256 deadline;
    }

    event Moved(int24 lower, int24 upper, uint128 liquidity, uint256 valueBefore, uint256 valueAfter);
    event Collected(uint256 amount0, uint256 amount1);
    event Withdrawn(address indexed token, uint256 amount);
    event OperatorSet(address indexed operator, bool isAllowed);
    event PauserSet(address indexed pauser);
    event OracleSet(address indexed oracle);
    event BoundsSet(Bounds bounds);
    event PauseSet(bool isPaused);

    error NotOperator(address caller);
    error NotPauser(address caller);
    error IsPaused();
    error ZeroAddress();
    /// @dev Owners change by handover, which the new one begins; there always is one.
    error UseHandover();
    error BadBounds(Bounds bounds);
    error Expired(uint256 deadline, uint256 time);
    error BadRange(int24 lower, int24 upper);
    /// @dev The pool's price is too far from the oracle; both are square-root prices.
    error PriceAway(uint160 pool, uint160 expected);
    error LossTooHigh(uint256 valueBefore, uint256 valueAfter, uint256 lossBps);
    error DayLossTooHigh(uint256 spentBps, uint256 lossBps, uint256 dayLossBps);
    error LiquidityBelowMinimum(uint128 liquidity, uint128 minLiquidity);
    error BelowMinimum(uint256 amount0, uint256 amount1);
    error UnexpectedCoin(address from);
    error NoSuchPool();

    /// @notice Operators: take the position out, swap, provide again. Reverts when it would lose more than the bounds say.
    function move(Move calldata wanted) external returns (uint128 liquidity);

    /// @notice Operators: pay what the position has earned to the owner.
    function collectToOwner() external returns (uint256 amount0, uint256 amount1);

    /// @notice Owner: take all liquidity out and everything in hand to the owner, paused or not.
    function exit(uint256 min0, uint256 min1) external returns (uint256 amount0, uint256 amount1);

    /// @notice Owner: take an amount of any token in hand (the zero address: the coin) to the owner.
    function takeOut(address token, uint256 amount) external;

    /// @notice Pauser or owner: stop the operators.
    function pause() external;

    /// @notice Owner: let them again.
    function unpause() external;

    function setOperator(address operator, bool isAllowed) external;
    function setPauser(address pauser) external;
    function setOracle(IPriceReference oracle) external;
    function setBounds(Bounds calldata bounds) external;

    function isOperator(address account) external view returns (bool);
    function pauser() external view returns (address);
    function isPaused() external view returns (bool);
    function oracle() external view returns (IPriceReference);
    function bounds() external view returns (uint16 deviationBps, uint16 lossBps, uint16 dayLossBps);
    function token0() external view returns (address);
    function token1() external view returns (address);
    function tickSpacing() external view returns (int24);

    /// @notice The position: nothing where `liquidity` is 0.
    function position() external view returns (int24 lower, int24 upper, uint128 liquidity);

    /// @notice Everything held without what is still uncollected, in raw token 1 at the reference price, rounded down.
    function valueDown() external view returns (uint256);

    /// @notice What moves have lost lately, rounded up, in basis points.
    function spentBpsUp() external view returns (uint256);
}
