// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {ExpectedCaller} from "../arbitrage/ExpectedCaller.sol";
import {IPoolV3Calls} from "../arbitrage/IVenueCalls.sol";
import {IPoolV3} from "../interfaces/IPools.sol";
import {IPriceReference} from "./ILpManager.sol";
import {IFactoryV3Reads, IPositionsV3} from "./IPositions.sol";
import {LpManager} from "./LpManager.sol";

/// @title Keeps one position of Uniswap V3, as a token of the NonfungiblePositionManager.
/// @dev The manager takes exactly what is approved for one call, and nothing stays approved.
contract V3LpManager is LpManager, ExpectedCaller {
    IPositionsV3 public immutable POSITIONS;
    address public immutable POOL;
    uint24 public immutable FEE;

    /// @notice The position's token; 0 for none.
    uint256 public tokenId;

    error NotAdoptable(uint256 id);

    constructor(
        address owner_,
        address operator_,
        address pauser_,
        IPriceReference oracle_,
        Bounds memory bounds_,
        IPositionsV3 positions_,
        address pool_
    ) LpManager(owner_, operator_, pauser_, oracle_, bounds_, IPoolV3(pool_).token0(), IPoolV3(pool_).token1()) {
        POSITIONS = positions_;
        POOL = pool_;
        FEE = IPoolV3(pool_).fee();
        // Only the factory's own pool answers honestly and calls back as agreed.
        if (IFactoryV3Reads(positions_.factory()).getPool(token0, token1, FEE) != pool_) revert NoSuchPool();
    }

    /// @notice Owner: bring a position that exists, by `safeTransferFrom`. There must be none here yet.
    function onERC721Received(address, address from, uint256 id, bytes calldata) external returns (bytes4) {
        if (msg.sender != address(POSITIONS) || from != owner() || tokenId != 0) revert NotAdoptable(id);
        (,, address a, address b, uint24 fee,,,,,,,) = POSITIONS.positions(id);
        if (a != token0 || b != token1 || fee != FEE) revert NotAdoptable(id);
        tokenId = id;
        return this.onERC721Received.selector;
    }

    /// @notice The pool has swapped and wants to be paid.
    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata) external onlyExpected {
        // One of them is positive: what goes in.
        // forge-lint: disable-start(unsafe-typecast)
        if (delta0 > 0) SafeTransferLib.safeTransfer(token0, msg.sender, uint256(delta0));
        else SafeTransferLib.safeTransfer(token1, msg.sender, uint256(delta1));
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @inheritdoc LpManager
    function position() public view override returns (int24 lower, int24 upper, uint128 liquidity) {
        if (tokenId != 0) (,,,,, lower, upper, liquidity,,,,) = POSITIONS.positions(tokenId);
    }

    function tickSpacing() external view override returns (int24) {
        return IPoolV3(POOL).tickSpacing();
    }

    function _poolPrice() internal view override returns (uint160 price) {
        (price,,,,,,) = IPoolV3(POOL).slot0();
    }

    function _takeOutAll() internal override {
        uint256 id = tokenId;
        if (id == 0) return;
        (,, uint128 liquidity) = position();
        if (liquidity != 0) {
            POSITIONS.decreaseLiquidity(
                IPositionsV3.DecreaseLiquidityParams({
                    tokenId: id, liquidity: liquidity, amount0Min: 0, amount1Min: 0, deadline: block.timestamp
                })
            );
        }
        _collect();
        tokenId = 0;
        POSITIONS.burn(id);
    }

    function _collect() internal override {
        if (tokenId == 0) return;
        POSITIONS.collect(
            IPositionsV3.CollectParams({
                tokenId: tokenId, recipient: address(this), amount0Max: type(uint128).max, amount1Max: type(uint128).max
            })
        );
    }

    function _swap(bool zeroForOne, uint256 amount, uint160 limit) internal override {
        _expect(POOL);
        IPoolV3Calls(POOL).swap(address(this), zeroForOne, SafeCastLib.toInt256(amount), limit, "");
        _expectNoMore();
    }

    function _provide(int24 lower, int24 upper, uint128, uint256 held0, uint256 held1)
        internal
        override
        returns (uint128 liquidity)
    {
        _approve(held0, held1);
        (tokenId, liquidity,,) = POSITIONS.mint(
            IPositionsV3.MintParams({
                token0: token0,
                token1: token1,
                fee: FEE,
                tickLower: lower,
                tickUpper: upper,
                amount0Desired: held0,
                amount1Desired: held1,
                amount0Min: 0,
                amount1Min: 0,
                recipient: address(this),
                deadline: block.timestamp
            })
        );
        _approve(0, 0);
    }

    function _approve(uint256 amount0, uint256 amount1) private {
        SafeTransferLib.safeApproveWithRetry(token0, address(POSITIONS), amount0);
        SafeTransferLib.safeApproveWithRetry(token1, address(POSITIONS), amount1);
    }
}
