// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {ArbExecutor} from "../../src/arbitrage/ArbExecutor.sol";
import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {IPoolManagerCalls, ITokenReads, IWrappedCoin} from "../../src/arbitrage/IVenueCalls.sol";
import {IFactoryV2, IFactoryV3, IPairActions, IPoolActions, ITokenMintable} from "../Genuine.sol";
import {GenuineLenders} from "../GenuineLenders.sol";
import {CurveDouble} from "./CurveDouble.sol";

interface IManagerSetUp {
    struct ModifyLiquidityParams {
        int24 tickLower;
        int24 tickUpper;
        int256 liquidityDelta;
        bytes32 salt;
    }

    function initialize(IPoolManagerCalls.PoolKey calldata key, uint160 price) external returns (int24);
    function modifyLiquidity(
        IPoolManagerCalls.PoolKey calldata key,
        ModifyLiquidityParams calldata params,
        bytes calldata hookData
    ) external returns (int256 delta, int256 fees);
}

/// @notice An executor among genuine venues, all at 2,000 USDC and 2,000 DAI for a WETH. `_skew` moves one of them.
abstract contract ArbWorld is GenuineLenders {
    uint256 internal constant WETH_DEPTH = 1000 ether;
    uint256 internal constant USDC_DEPTH = 2_000_000e6;
    uint256 internal constant DAI_DEPTH = 2_000_000e18;
    uint256 internal constant OWN_WETH = 50 ether;
    uint256 internal constant OWN_USDC = 100_000e6;
    uint256 internal constant OWN_DAI = 70_000e18;
    uint256 internal constant OWN_COIN = 3 ether;

    address internal immutable owner = makeAddr("owner");
    address internal immutable operator = makeAddr("operator");
    address internal immutable pauser = makeAddr("pauser");
    address internal immutable beneficiary = makeAddr("beneficiary");

    ArbExecutor internal executor;
    IArbExecutor.Venues internal known;
    address internal weth;
    address internal usdc;
    address internal dai;
    address internal pair;
    address internal pairOfDai;
    bytes32 internal stableId;
    CurveDouble internal curve;

    function _build() internal {
        vm.warp(1_800_000_000);
        vm.roll(20_000_000);
        vm.coinbase(makeAddr("builder"));
        weth = deployCode("node_modules/@aave/core-v3/artifacts/contracts/dependencies/weth/WETH9.sol/WETH9.json");
        (usdc, dai) = (_token("USDC", 6), _token("DAI", 18));
        known.weth = weth;
        _buildV2();
        _buildV3();
        _buildV4();
        known.balancerVault = _vault(weth);
        stableId = _stablePool(known.balancerVault, usdc, USDC_DEPTH, dai, DAI_DEPTH);
        known.aavePool = _aave(usdc, 6, USDC_DEPTH);
        curve = new CurveDouble(usdc, dai);
        _give(usdc, address(curve), USDC_DEPTH);
        _give(dai, address(curve), DAI_DEPTH);
        executor = new ArbExecutor(owner, operator, pauser, beneficiary, known);
        _give(weth, address(executor), OWN_WETH);
        _give(usdc, address(executor), OWN_USDC);
        _give(dai, address(executor), OWN_DAI);
        vm.deal(address(executor), OWN_COIN);
        // Balancer's Vault lends what lies in it.
        _give(weth, known.balancerVault, WETH_DEPTH);
    }

    /// @dev Makes WETH dearer on Uniswap V2 by a gift of USDC to the pair.
    function _skew(uint256 usdcGiven) internal {
        _give(usdc, pair, usdcGiven);
        IPairActions(pair).sync();
    }

    /// @dev Makes the coin dearer in Uniswap V4's 30 bps pool: USDC is traded in.
    function _skewV4(uint256 usdcIn) internal {
        IPoolManagerCalls(known.poolManager)
            .unlock(abi.encode(IPoolManagerCalls.PoolKey(address(0), usdc, 3000, 60, address(0)), int24(0), usdcIn));
    }

    function _createPair(address factory) internal returns (address) {
        return IFactoryV2(factory).createPair(weth, usdc);
    }

    function _mintPair(address made) internal {
        IPairActions(made).mint(address(this));
    }

    function _give(address token, address to, uint256 amount) internal {
        if (token == weth) {
            vm.deal(address(this), address(this).balance + amount);
            IWrappedCoin(weth).deposit{value: amount}();
            ITokenMintable(weth).transfer(to, amount);
        } else {
            ITokenMintable(token).mint(to, amount);
        }
    }

    function _held(address token, address who) internal view returns (uint256) {
        return token == address(0) ? who.balance : ITokenReads(token).balanceOf(who);
    }

    function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata data) external {
        (address token0, address token1) = abi.decode(data, (address, address));
        _give(token0, msg.sender, amount0);
        _give(token1, msg.sender, amount1);
    }

    function unlockCallback(bytes calldata data) external returns (bytes memory) {
        (IPoolManagerCalls.PoolKey memory key, int24 edge, uint256 liquidity) =
            abi.decode(data, (IPoolManagerCalls.PoolKey, int24, uint256));
        if (edge == 0) {
            _tradeIn(key, liquidity);
            return "";
        }
        (int256 delta,) = IManagerSetUp(msg.sender)
            .modifyLiquidity(key, IManagerSetUp.ModifyLiquidityParams(-edge, edge, int256(liquidity), bytes32(0)), "");
        _settle(key.currency0, uint256(-(delta >> 128)));
        _settle(key.currency1, uint256(-int256(int128(delta))));
        return "";
    }

    receive() external payable {}

    function _settle(address currency, uint256 amount) private {
        IPoolManagerCalls manager = IPoolManagerCalls(msg.sender);
        manager.sync(currency);
        if (currency == address(0)) {
            vm.deal(address(this), address(this).balance + amount);
            manager.settle{value: amount}();
        } else {
            _give(currency, address(manager), amount);
            manager.settle();
        }
    }

    /// @dev Sells `amount` of token 1.
    function _tradeIn(IPoolManagerCalls.PoolKey memory key, uint256 amount) private {
        IPoolManagerCalls manager = IPoolManagerCalls(msg.sender);
        uint160 top = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_341;
        int256 delta = manager.swap(key, IPoolManagerCalls.SwapParams(false, -int256(amount), top), "");
        _settle(key.currency1, amount);
        manager.take(key.currency0, address(this), uint256(delta >> 128));
    }

    function _buildV2() private {
        IFactoryV2 factory = _factoryV2();
        known.v2Factory = address(factory);
        known.v2InitCodeHash = 0x96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f;
        pair = _pair(factory, weth, WETH_DEPTH, usdc, USDC_DEPTH);
        pairOfDai = _pair(factory, weth, WETH_DEPTH, dai, DAI_DEPTH);
    }

    function _pair(IFactoryV2 factory, address a, uint256 amountA, address b, uint256 amountB)
        private
        returns (address made)
    {
        made = factory.createPair(a, b);
        _give(a, made, amountA);
        _give(b, made, amountB);
        IPairActions(made).mint(address(this));
    }

    function _buildV3() private {
        IFactoryV3 factory = _factoryV3();
        known.v3Factory = address(factory);
        known.v3InitCodeHash = 0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54;
        _poolV3(factory, 500, 887_270);
        _poolV3(factory, 3000, 887_220);
    }

    function _poolV3(IFactoryV3 factory, uint24 fee, int24 edge) private {
        (address token0, address token1) = weth < usdc ? (weth, usdc) : (usdc, weth);
        address made = factory.createPool(token0, token1, fee);
        IPoolActions(made).initialize(_price(token0 == weth));
        uint128 liquidity = uint128(FixedPointMathLib.sqrt(WETH_DEPTH * USDC_DEPTH));
        IPoolActions(made).mint(address(this), -edge, edge, liquidity, abi.encode(token0, token1));
    }

    function _buildV4() private {
        known.poolManager =
            deployCode("node_modules/@uniswap/v4-core/out/PoolManager.sol/PoolManager.json", abi.encode(address(this)));
        _poolV4(500, 10, 887_270, address(0));
        _poolV4(3000, 60, 887_220, address(0));
    }

    /// @dev The coin itself against USDC.
    function _poolV4(uint24 fee, int24 spacing, int24 edge, address hooks) internal {
        IPoolManagerCalls.PoolKey memory key = IPoolManagerCalls.PoolKey(address(0), usdc, fee, spacing, hooks);
        IManagerSetUp(known.poolManager).initialize(key, _price(true));
        uint256 liquidity = FixedPointMathLib.sqrt(WETH_DEPTH * USDC_DEPTH);
        IPoolManagerCalls(known.poolManager).unlock(abi.encode(key, edge, liquidity));
    }

    function _price(bool isWethFirst) private pure returns (uint160) {
        (uint256 depth0, uint256 depth1) = isWethFirst ? (WETH_DEPTH, USDC_DEPTH) : (USDC_DEPTH, WETH_DEPTH);
        return uint160(FixedPointMathLib.sqrt((depth1 << 96) / depth0) << 48);
    }
}
