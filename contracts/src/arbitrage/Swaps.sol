// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {ExecutorRoles} from "./ExecutorRoles.sol";
import {ExpectedCaller} from "./ExpectedCaller.sol";
import {IArbExecutor} from "./IArbExecutor.sol";
import {
    IBalancerVaultCalls,
    ICurveCalls,
    IPairV2Calls,
    IPoolManagerCalls,
    IPoolV3Calls,
    ITokenReads,
    IWrappedCoin
} from "./IVenueCalls.sol";
import {PoolAddress} from "./PoolAddress.sol";

/// @title One step each: takes exactly what it is given, and tells what came of it.
abstract contract Swaps is ExecutorRoles, ExpectedCaller {
    uint160 private constant PRICE_MIN = 4_295_128_739 + 1;
    uint160 private constant PRICE_MAX = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342 - 1;
    uint256 private constant PIPS = 1e6;

    address internal immutable WETH;
    address private immutable V2_FACTORY;
    bytes32 private immutable V2_INIT_CODE_HASH;
    address private immutable V3_FACTORY;
    bytes32 private immutable V3_INIT_CODE_HASH;
    address internal immutable POOL_MANAGER;
    address internal immutable AAVE_POOL;
    address internal immutable BALANCER_VAULT;

    mapping(address factory => bytes32) private otherInitCodeHash;

    constructor(Venues memory known) {
        WETH = known.weth;
        V2_FACTORY = known.v2Factory;
        V2_INIT_CODE_HASH = known.v2InitCodeHash;
        V3_FACTORY = known.v3Factory;
        V3_INIT_CODE_HASH = known.v3InitCodeHash;
        POOL_MANAGER = known.poolManager;
        AAVE_POOL = known.aavePool;
        BALANCER_VAULT = known.balancerVault;
    }

    /// @notice Takes the coin from what gives it within a cycle, and from nobody else.
    receive() external payable {
        if (msg.sender != WETH && msg.sender != POOL_MANAGER) revert UnexpectedCall(msg.sender);
    }

    /// @inheritdoc IArbExecutor
    function setFactory(address factory, bytes32 hash) external override onlyOwner {
        otherInitCodeHash[factory] = hash;
        emit FactorySet(factory, hash);
    }

    /// @inheritdoc IArbExecutor
    function venues() external view override returns (Venues memory) {
        return Venues({
            weth: WETH,
            v2Factory: V2_FACTORY,
            v2InitCodeHash: V2_INIT_CODE_HASH,
            v3Factory: V3_FACTORY,
            v3InitCodeHash: V3_INIT_CODE_HASH,
            poolManager: POOL_MANAGER,
            aavePool: AAVE_POOL,
            balancerVault: BALANCER_VAULT
        });
    }

    /// @inheritdoc IArbExecutor
    function initCodeHash(address factory) public view override returns (bytes32) {
        if (factory == V2_FACTORY) return V2_INIT_CODE_HASH;
        if (factory == V3_FACTORY) return V3_INIT_CODE_HASH;
        return otherInitCodeHash[factory];
    }

    /// @dev Any step but V4's, which need the manager unlocked.
    function _swap(Step memory step, uint256 amount) internal returns (uint256 out) {
        if (step.kind == StepKind.V2) out = _swapV2(step, amount);
        else if (step.kind == StepKind.V3) out = _swapV3(step, amount, abi.encode(step.tokenIn));
        else if (step.kind == StepKind.Balancer) out = _swapBalancer(step, amount);
        else if (step.kind == StepKind.Curve) out = _swapCurve(step, amount);
        else out = _wrap(step, amount);
        if (out == 0) revert NothingOut(step.tokenIn, step.tokenOut);
    }

    function _swapV2(Step memory step, uint256 amount) private returns (uint256 out) {
        address pair = _pairV2(step);
        out = _quoteV2Down(pair, step, amount);
        SafeTransferLib.safeTransfer(step.tokenIn, pair, amount);
        _deliverV2(pair, step, out, "");
    }

    /// @dev Sends `out` here; with data, the pair calls back before it looks whether it was paid.
    function _deliverV2(address pair, Step memory step, uint256 out, bytes memory data) internal {
        (uint256 out0, uint256 out1) = step.tokenIn < step.tokenOut ? (uint256(0), out) : (out, uint256(0));
        IPairV2Calls(pair).swap(out0, out1, address(this), data);
    }

    function _quoteV2Down(address pair, Step memory step, uint256 amount) internal view returns (uint256) {
        (uint256 reserveIn, uint256 reserveOut,) = IPairV2Calls(pair).getReserves();
        if (step.tokenIn > step.tokenOut) (reserveIn, reserveOut) = (reserveOut, reserveIn);
        uint256 kept = amount * (PIPS - step.fee);
        return kept * reserveOut / (reserveIn * PIPS + kept);
    }

    /// @dev `data` is what the pool's callback gets back.
    function _swapV3(Step memory step, uint256 amount, bytes memory data) internal returns (uint256) {
        address pool = _poolV3(step.venue, step.tokenIn, step.tokenOut, step.fee);
        bool up = step.tokenIn < step.tokenOut;
        _expect(pool);
        (int256 in_, int256 out) =
            IPoolV3Calls(pool).swap(address(this), up, SafeCastLib.toInt256(amount), up ? PRICE_MIN : PRICE_MAX, data);
        _expectNoMore();
        if (!up) (in_, out) = (out, in_);
        return _filled(in_, out, amount);
    }

    /// @dev Inside the manager's unlock; leaves a debt of the token in and a credit of the token out.
    function _swapV4(Step memory step, uint256 amount) internal returns (uint256 out) {
        bool zeroForOne = step.tokenIn < step.tokenOut;
        (address currency0, address currency1) =
            zeroForOne ? (step.tokenIn, step.tokenOut) : (step.tokenOut, step.tokenIn);
        int256 delta = IPoolManagerCalls(POOL_MANAGER)
            .swap(
                IPoolManagerCalls.PoolKey({
                currency0: currency0,
                currency1: currency1,
                fee: step.fee,
                tickSpacing: step.tickSpacing,
                hooks: step.venue
            }),
                IPoolManagerCalls.SwapParams({
                zeroForOne: zeroForOne,
                amountSpecified: -SafeCastLib.toInt256(amount),
                sqrtPriceLimitX96: zeroForOne ? PRICE_MIN : PRICE_MAX
            }),
                ""
            );
        // The lower half is a signed number of its own.
        // forge-lint: disable-next-line(unsafe-typecast)
        (int256 of0, int256 of1) = (delta >> 128, int256(int128(delta)));
        // The manager counts from the trader's side, V3 from the pool's.
        out = zeroForOne ? _filled(-of0, -of1, amount) : _filled(-of1, -of0, amount);
        if (out == 0) revert NothingOut(step.tokenIn, step.tokenOut);
    }

    /// @dev Gives the manager what it is owed.
    function _settleV4(address token, uint256 amount) internal {
        IPoolManagerCalls manager = IPoolManagerCalls(POOL_MANAGER);
        manager.sync(token);
        if (token == address(0)) {
            manager.settle{value: amount}();
        } else {
            SafeTransferLib.safeTransfer(token, address(manager), amount);
            manager.settle();
        }
    }

    function _takeV4(address token, uint256 amount) internal {
        IPoolManagerCalls(POOL_MANAGER).take(token, address(this), amount);
    }

    function _swapBalancer(Step memory step, uint256 amount) private returns (uint256 out) {
        SafeTransferLib.safeApprove(step.tokenIn, BALANCER_VAULT, amount);
        out = IBalancerVaultCalls(BALANCER_VAULT)
            .swap(
                IBalancerVaultCalls.SingleSwap({
                poolId: step.id, kind: 0, assetIn: step.tokenIn, assetOut: step.tokenOut, amount: amount, userData: ""
            }),
                IBalancerVaultCalls.FundManagement({
                sender: address(this), fromInternalBalance: false, recipient: address(this), toInternalBalance: false
            }),
                0,
                block.timestamp
            );
        _checkAllTaken(step.tokenIn, BALANCER_VAULT, amount);
    }

    /// @dev The pool is whom the operator named: it can take what this step has, and its answer is what arrived.
    function _swapCurve(Step memory step, uint256 amount) private returns (uint256 out) {
        (uint256 i, uint256 j) = (uint256(step.id) >> 128, uint128(uint256(step.id)));
        if (i > 7 || j > 7) revert BadIndex(step.id);
        uint256 before = ITokenReads(step.tokenOut).balanceOf(address(this));
        SafeTransferLib.safeApprove(step.tokenIn, step.venue, amount);
        // forge-lint: disable-next-line(unsafe-typecast)
        ICurveCalls(step.venue).exchange(int128(int256(i)), int128(int256(j)), amount, 0);
        _checkAllTaken(step.tokenIn, step.venue, amount);
        out = ITokenReads(step.tokenOut).balanceOf(address(this)) - before;
    }

    function _wrap(Step memory step, uint256 amount) private returns (uint256) {
        if (step.tokenIn == address(0) && step.tokenOut == WETH) IWrappedCoin(WETH).deposit{value: amount}();
        else if (step.tokenIn == WETH && step.tokenOut == address(0)) IWrappedCoin(WETH).withdraw(amount);
        else revert NotWrapping(step.tokenIn, step.tokenOut);
        return amount;
    }

    function _pairV2(Step memory step) internal view returns (address) {
        (address factory, bytes32 hash) = _factory(step.venue, V2_FACTORY, V2_INIT_CODE_HASH);
        return PoolAddress.pairV2(factory, hash, step.tokenIn, step.tokenOut);
    }

    function _poolV3(address venue, address tokenA, address tokenB, uint24 fee) internal view returns (address) {
        (address factory, bytes32 hash) = _factory(venue, V3_FACTORY, V3_INIT_CODE_HASH);
        return PoolAddress.poolV3(factory, hash, tokenA, tokenB, fee);
    }

    function _factory(address venue, address own, bytes32 ownHash) private view returns (address, bytes32) {
        if (venue == address(0)) return (own, ownHash);
        bytes32 hash = initCodeHash(venue);
        if (hash == 0) revert UnknownFactory(venue);
        return (venue, hash);
    }

    // forge-lint: disable-start(unsafe-typecast)
    /// @dev Signed as V3 has it: positive went into the pool, negative came out. Signs are checked before
    /// each cast, and the amount was when it was sent.
    function _filled(int256 in_, int256 out, uint256 amount) private pure returns (uint256) {
        if (in_ != int256(amount)) revert PartialFill(in_ > 0 ? uint256(in_) : 0, amount);
        return out < 0 ? uint256(-out) : 0;
    }

    // forge-lint: disable-end(unsafe-typecast)

    /// @dev An approval is for one call: what it leaves over undoes the cycle, so that none stands afterwards.
    function _checkAllTaken(address token, address spender, uint256 amount) private view {
        uint256 left = ITokenReads(token).allowance(address(this), spender);
        if (left != 0) revert PartialFill(amount - left, amount);
    }
}
