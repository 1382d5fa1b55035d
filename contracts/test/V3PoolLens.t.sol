// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {V3PoolLens} from "../src/lens/V3PoolLens.sol";
import {IPoolV3} from "../src/interfaces/IPools.sol";
import {Genuine, IFactoryV3, IPoolActions, ITokenMintable} from "./Genuine.sol";

contract V3PoolLensTest is Genuine {
    struct Range {
        int24 lower;
        int24 upper;
        uint128 amount;
    }

    IFactoryV3 private factory;
    address private tokenA;
    address private tokenB;

    mapping(int24 tick => int256 net) private nets;
    mapping(int24 tick => uint256 gross) private grosses;

    function setUp() public {
        factory = _factoryV3();
        tokenA = _token("A", 18);
        tokenB = _token("B", 18);
    }

    function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata) external {
        ITokenMintable(IPoolV3(msg.sender).token0()).mint(msg.sender, amount0);
        ITokenMintable(IPoolV3(msg.sender).token1()).mint(msg.sender, amount1);
    }

    function testFuzz_ticksEqualTheSumOfPositions(uint256 seed, uint8 feeChoice) public {
        address pool = _pool(feeChoice);
        Range[] memory ranges = _mint(pool, seed, 12);
        if (seed % 2 == 0) {
            _change(pool, ranges[0], -int256(uint256(ranges[0].amount)));
        }
        V3PoolLens.Snapshot memory seen = _read(pool, type(int24).min, 10_000);
        assertGt(seen.nextWord, seen.lastWord);
        _checkHead(pool, seen);
        _checkTicks(seen.ticks, ranges);
    }

    function testFuzz_pagesJoinToTheWhole(uint256 seed, uint256 ticksMax) public {
        address pool = _pool(1);
        _mint(pool, seed, 10);
        bytes memory whole = _read(pool, type(int24).min, 10_000).ticks;
        bytes memory joined;
        ticksMax = bound(ticksMax, 1, 8);
        int24 word = type(int24).min;
        uint256 pages = 0;
        while (true) {
            V3PoolLens.Snapshot memory page = _read(pool, word, ticksMax);
            joined = bytes.concat(joined, page.ticks);
            ++pages;
            if (page.nextWord > page.lastWord) break;
            assertGt(page.nextWord, word, "no progress");
            word = page.nextWord;
        }
        assertEq(joined, whole);
        if (ticksMax == 1) assertGt(pages, 1);
    }

    function test_ticksAtBothEndsOfTheRangeAreFound() public {
        uint24[3] memory fees = [uint24(500), 3000, 10_000];
        for (uint256 i = 0; i < 3; ++i) {
            address pool = factory.createPool(tokenA, tokenB, fees[i]);
            IPoolActions(pool).initialize(2 ** 96);
            int24 spacing = IPoolV3(pool).tickSpacing();
            int24 top = 887_272 / spacing * spacing;
            IPoolActions(pool).mint(address(this), -top, top, 1e18, "");
            V3PoolLens.Snapshot memory seen = _read(pool, type(int24).min, 10_000);
            assertEq(seen.ticks.length, 70);
            assertEq(_tickAt(seen.ticks, 0), -top);
            assertEq(_tickAt(seen.ticks, 1), top);
        }
    }

    function test_littleGasGivesAShorterPageAndNoRevert() public {
        address pool = factory.createPool(tokenA, tokenB, 500);
        IPoolActions(pool).initialize(2 ** 96);
        IPoolActions(pool).mint(address(this), -887_270, 887_270, 1e18, "");
        bytes memory answer = this.readWithGas{gas: 9_200_000}(pool);
        V3PoolLens.Snapshot memory seen = abi.decode(answer, (V3PoolLens.Snapshot));
        assertLe(seen.nextWord, seen.lastWord);
        assertEq(seen.ticks.length, 35);
    }

    function readWithGas(address pool) external returns (bytes memory) {
        return _lens(type(V3PoolLens).creationCode, abi.encode(pool, type(int24).min, uint256(10_000)));
    }

    function _pool(uint8 choice) private returns (address pool) {
        uint24[3] memory fees = [uint24(500), 3000, 10_000];
        pool = factory.createPool(tokenA, tokenB, fees[choice % 3]);
        IPoolActions(pool).initialize(2 ** 96);
    }

    function _mint(address pool, uint256 seed, uint256 count) private returns (Range[] memory ranges) {
        ranges = new Range[](count);
        int24 spacing = IPoolV3(pool).tickSpacing();
        for (uint256 i = 0; i < count; ++i) {
            int24 lower = int24(int256(_random(seed, i, 0) % 20_000) - 10_000);
            int24 width = int24(int256(_random(seed, i, 1) % 2000)) + 1;
            uint128 amount = uint128(1e6 + _random(seed, i, 2) % 1e20);
            ranges[i] = Range(lower * spacing / 4 / spacing * spacing, 0, amount);
            int24 top = 887_272 / spacing * spacing;
            ranges[i].upper = ranges[i].lower + width * spacing > top ? top : ranges[i].lower + width * spacing;
            _change(pool, ranges[i], int256(uint256(amount)));
        }
    }

    function _change(address pool, Range memory range, int256 delta) private {
        if (delta > 0) {
            IPoolActions(pool).mint(address(this), range.lower, range.upper, uint128(uint256(delta)), "");
        } else {
            IPoolActions(pool).burn(range.lower, range.upper, uint128(uint256(-delta)));
        }
        nets[range.lower] += delta;
        nets[range.upper] -= delta;
        grosses[range.lower] = uint256(int256(grosses[range.lower]) + delta);
        grosses[range.upper] = uint256(int256(grosses[range.upper]) + delta);
    }

    function _random(uint256 seed, uint256 i, uint256 use) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i, use)));
    }

    function _read(address pool, int24 word, uint256 ticksMax) private returns (V3PoolLens.Snapshot memory) {
        bytes memory answer = _lens(type(V3PoolLens).creationCode, abi.encode(pool, word, ticksMax));
        return abi.decode(answer, (V3PoolLens.Snapshot));
    }

    function _checkHead(address pool, V3PoolLens.Snapshot memory seen) private view {
        (uint160 price, int24 tick,,,,,) = IPoolV3(pool).slot0();
        assertEq(seen.blockNumber, block.number);
        assertEq(seen.token0, IPoolV3(pool).token0());
        assertEq(seen.token1, IPoolV3(pool).token1());
        assertEq(seen.fee, IPoolV3(pool).fee());
        assertEq(seen.tickSpacing, IPoolV3(pool).tickSpacing());
        assertEq(seen.liquidity, IPoolV3(pool).liquidity());
        assertEq(seen.sqrtPriceX96, price);
        assertEq(seen.tick, tick);
    }

    /// @dev Every packed tick equals the model, they ascend, and none of the model's is missing.
    function _checkTicks(bytes memory packed, Range[] memory ranges) private {
        int24 previous = type(int24).min;
        for (uint256 i = 0; i < packed.length / 35; ++i) {
            int24 tick = _tickAt(packed, i);
            (int128 net, uint128 gross) = _liquidityAt(packed, i);
            assertGt(tick, previous);
            assertEq(net, nets[tick]);
            assertEq(gross, grosses[tick]);
            assertGt(gross, 0);
            grosses[tick] = 0;
            previous = tick;
        }
        for (uint256 i = 0; i < ranges.length; ++i) {
            assertEq(grosses[ranges[i].lower], 0);
            assertEq(grosses[ranges[i].upper], 0);
        }
    }

    function _tickAt(bytes memory packed, uint256 index) private pure returns (int24 tick) {
        assembly ("memory-safe") {
            tick := sar(232, mload(add(add(packed, 0x20), mul(index, 35))))
        }
    }

    function _liquidityAt(bytes memory packed, uint256 index) private pure returns (int128 net, uint128 gross) {
        assembly ("memory-safe") {
            let at := add(add(packed, 0x20), mul(index, 35))
            net := sar(128, mload(add(at, 3)))
            gross := shr(128, mload(add(at, 19)))
        }
    }
}
