// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IPoolManagerCalls, IPoolV3Calls} from "../../src/arbitrage/IVenueCalls.sol";
import {IPoolV3} from "../../src/interfaces/IPools.sol";
import {ILpManager, IPriceReference} from "../../src/liquidity/ILpManager.sol";
import {IManagerV4Liquidity, IPositionsV3} from "../../src/liquidity/IPositions.sol";
import {LpManager} from "../../src/liquidity/LpManager.sol";
import {V3LpManager} from "../../src/liquidity/V3LpManager.sol";
import {V4LpManager} from "../../src/liquidity/V4LpManager.sol";
import {Genuine, IFactoryV3, IPoolActions, ITokenMintable} from "../Genuine.sol";

interface IInitialize {
    function initialize(IPoolManagerCalls.PoolKey calldata key, uint160 price) external returns (int24);
}

/// @notice An oracle that a test sets.
contract SetReference is IPriceReference {
    uint160 public override sqrtPriceX96;

    function set(uint160 price) external {
        sqrtPriceX96 = price;
    }
}

    /// @notice A manager of each kind over the genuine V3 and V4, with deep pools of two tokens that this contract trades in.
    abstract contract LpWorld is Genuine {
        uint128 internal constant DEPTH = 1e26;
        uint160 internal constant START = 1 << 96;
        int24 internal constant SPACING = 60;
        uint256 internal constant OWN = 1_000_000e18;

        address internal immutable owner = makeAddr("owner");
        address internal immutable operator = makeAddr("operator");
        address internal immutable pauser = makeAddr("pauser");

        address internal token0;
        address internal token1;
        IPositionsV3 internal positions;
        address internal pool;
        IManagerV4Liquidity internal poolManager;
        IPoolManagerCalls.PoolKey internal key;
        SetReference internal oracle;
        V3LpManager internal v3;
        V4LpManager internal v4;

        function _build() internal {
            vm.warp(1_800_000_000);
            (token0, token1) = (_token("A", 18), _token("B", 18));
            if (token0 > token1) (token0, token1) = (token1, token0);
            IFactoryV3 factory = _factoryV3();
            positions = IPositionsV3(
                deployCode(
                    "node_modules/@uniswap/v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json",
                    abi.encode(factory, address(this), address(0))
                )
            );
            pool = factory.createPool(token0, token1, 3000);
            IPoolActions(pool).initialize(START);
            IPoolActions(pool).mint(address(this), -887_220, 887_220, DEPTH, "");
            poolManager = IManagerV4Liquidity(
                deployCode(
                    "node_modules/@uniswap/v4-core/out/PoolManager.sol/PoolManager.json", abi.encode(address(this))
                )
            );
            key = IPoolManagerCalls.PoolKey(token0, token1, 3000, SPACING, address(0));
            IInitialize(address(poolManager)).initialize(key, START);
            poolManager.unlock(
                abi.encode(
                    false,
                    abi.encode(
                        IManagerV4Liquidity.ModifyLiquidityParams(-887_220, 887_220, int256(uint256(DEPTH)), bytes32(0))
                    )
                )
            );
            oracle = new SetReference();
            oracle.set(START);
            ILpManager.Bounds memory bounds = ILpManager.Bounds({deviationBps: 100, lossBps: 50, dayLossBps: 200});
            v3 = new V3LpManager(owner, operator, pauser, oracle, bounds, positions, pool);
            v4 = new V4LpManager(owner, operator, pauser, oracle, bounds, poolManager, key);
            for (uint256 i = 0; i < 2; ++i) {
                ITokenMintable(token0).mint(i == 0 ? address(v3) : address(v4), OWN);
                ITokenMintable(token1).mint(i == 0 ? address(v3) : address(v4), OWN);
            }
        }

        function _manager(bool isV4) internal view returns (LpManager) {
            return isV4 ? LpManager(address(v4)) : LpManager(address(v3));
        }

        function _move(int24 lower, int24 upper, bool zeroForOne, uint256 swapIn)
            internal
            view
            returns (ILpManager.Move memory)
        {
            uint160 limit = zeroForOne ? TickMath.MIN_SQRT_PRICE + 1 : TickMath.MAX_SQRT_PRICE - 1;
            return ILpManager.Move(lower, upper, zeroForOne, swapIn, limit, 0, block.timestamp);
        }

        /// @dev Somebody else trades until the pool stands at a price.
        function _tradeTo(bool isV4, uint160 price) internal {
            uint160 now_ = _price(isV4);
            if (price == now_) return;
            bool down = price < now_;
            if (isV4) {
                poolManager.unlock(
                    abi.encode(true, abi.encode(IPoolManagerCalls.SwapParams(down, -int256(1e40), price)))
                );
            } else {
                IPoolV3Calls(pool).swap(address(this), down, 1e40, price, "");
            }
        }

        function _price(bool isV4) internal view returns (uint160 price) {
            if (isV4) {
                price =
                    uint160(
                    uint256(poolManager.extsload(keccak256(abi.encode(keccak256(abi.encode(key)), uint256(6)))))
                );
            } else {
                (price,,,,,,) = IPoolV3(pool).slot0();
            }
        }

        /// @dev The square-root price some basis points of the price away.
        function _away(uint160 from, int256 bps) internal pure returns (uint160) {
            return uint160(FixedPointMathLib.sqrt(uint256(from) * from / 10_000 * uint256(10_000 + bps)));
        }

        function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata) external {
            ITokenMintable(token0).mint(msg.sender, amount0);
            ITokenMintable(token1).mint(msg.sender, amount1);
        }

        function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata) external {
            if (delta0 > 0) ITokenMintable(token0).mint(msg.sender, uint256(delta0));
            if (delta1 > 0) ITokenMintable(token1).mint(msg.sender, uint256(delta1));
        }

        function unlockCallback(bytes calldata data) external returns (bytes memory) {
            (bool isSwap, bytes memory params) = abi.decode(data, (bool, bytes));
            int256 delta;
            if (isSwap) {
                delta = poolManager.swap(key, abi.decode(params, (IPoolManagerCalls.SwapParams)), "");
            } else {
                (delta,) =
                    poolManager.modifyLiquidity(
                    key, abi.decode(params, (IManagerV4Liquidity.ModifyLiquidityParams)), ""
                );
            }
            _settleHere(token0, delta >> 128);
            _settleHere(token1, int256(int128(delta)));
            return "";
        }

        function _settleHere(address token, int256 delta) private {
            if (delta > 0) {
                poolManager.take(token, address(this), uint256(delta));
            } else if (delta < 0) {
                poolManager.sync(token);
                ITokenMintable(token).mint(address(poolManager), uint256(-delta));
                poolManager.settle();
            }
        }
    }
