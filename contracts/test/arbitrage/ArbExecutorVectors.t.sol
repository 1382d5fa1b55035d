// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {stdJson} from "forge-std/StdJson.sol";

import {ArbExecutor} from "../../src/arbitrage/ArbExecutor.sol";
import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {PoolAddress} from "../../src/arbitrage/PoolAddress.sol";
import {Genuine, IFactoryV2, IFactoryV3, IPairActions, IPoolActions, ITokenMintable} from "../Genuine.sol";

/// @notice Python and Solidity agree: on where pools are, on how calls are packed, on profits to the unit.
/// @dev tests/contracts/vectors.py writes what is read here, from Python's replicas and codecs.
contract ArbExecutorVectorsTest is Genuine {
    using stdJson for string;

    bytes32 private constant V2_HASH = 0x96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f;
    bytes32 private constant V3_HASH = 0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54;

    struct Cycle {
        uint256 amount;
        int24 edge;
        uint24 fee;
        bool isFrom0;
        bool isV3First;
        uint128 liquidity;
        uint160 price;
        int256 profit;
        uint256 reserve0;
        uint256 reserve1;
    }

    string private constant FILE = "contracts/test/vectors/arb_executor.json";

    function test_poolsAreWherePythonDerivesThem() public view {
        string memory json = vm.readFile(FILE);
        for (uint256 i = 0; i < 12; ++i) {
            string memory at = string.concat(".pools[", vm.toString(i), "]");
            address factory = json.readAddress(string.concat(at, ".factory"));
            (address a, address b) =
                (json.readAddress(string.concat(at, ".a")), json.readAddress(string.concat(at, ".b")));
            uint24 fee = uint24(json.readUint(string.concat(at, ".fee")));
            assertEq(PoolAddress.pairV2(factory, V2_HASH, a, b), json.readAddress(string.concat(at, ".pair")));
            assertEq(PoolAddress.poolV3(factory, V3_HASH, b, a, fee), json.readAddress(string.concat(at, ".pool")));
        }
    }

    function test_callsArePackedAsPythonPacksThem() public view {
        string memory json = vm.readFile(FILE);
        for (uint256 i = 0; i < 5; ++i) {
            string memory at = string.concat(".calls[", vm.toString(i), "]");
            bytes memory data = json.readBytes(string.concat(at, ".data"));
            (IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps) = this.unpacked(data);
            assertEq(abi.encodeCall(IArbExecutor.execute, (arbitrage, steps)), data);
            assertEq(arbitrage.token, json.readAddress(string.concat(at, ".token")));
            assertEq(arbitrage.amount, json.readUint(string.concat(at, ".amount")));
            assertEq(arbitrage.deadline, json.readUint(string.concat(at, ".deadline")));
            assertEq(steps.length, json.readUint(string.concat(at, ".steps")));
        }
    }

    function test_profitsAreWhatPythonPredicts() public {
        (IFactoryV2 factoryV2, IFactoryV3 factoryV3) = (_factoryV2(), _factoryV3());
        IArbExecutor.Venues memory known;
        (known.v2Factory, known.v2InitCodeHash) = (address(factoryV2), V2_HASH);
        (known.v3Factory, known.v3InitCodeHash) = (address(factoryV3), V3_HASH);
        ArbExecutor executor = new ArbExecutor(address(this), address(this), address(this), makeAddr("kept"), known);
        uint256 gains = 0;
        for (uint256 i = 0; i < 60; ++i) {
            Cycle memory cycle = this.cycleAt(i);
            (address from, address other) = _pools(factoryV2, factoryV3, cycle);
            (bool succeeded, bytes memory answer) = address(executor).call(_call(cycle, from, other));
            // A flash swap, so only the profit itself could be paid out of nothing.
            if (cycle.profit > 0) {
                assertTrue(succeeded);
                assertEq(abi.decode(answer, (uint256)), uint256(cycle.profit));
                assertEq(ITokenMintable(from).balanceOf(makeAddr("kept")), uint256(cycle.profit));
                ++gains;
            } else {
                assertFalse(succeeded);
            }
        }
        assertGt(gains, 10);
    }

    /// @dev A call of its own: the memory that reading takes is given back.
    function cycleAt(uint256 index) external view returns (Cycle memory cycle) {
        string memory json = vm.readFile(FILE);
        string memory at = string.concat(".cycles[", vm.toString(index), "]");
        cycle.amount = json.readUint(string.concat(at, ".amount"));
        cycle.edge = int24(json.readInt(string.concat(at, ".edge")));
        cycle.fee = uint24(json.readUint(string.concat(at, ".fee")));
        cycle.isFrom0 = json.readBool(string.concat(at, ".isFrom0"));
        cycle.isV3First = json.readBool(string.concat(at, ".isV3First"));
        cycle.liquidity = uint128(json.readUint(string.concat(at, ".liquidity")));
        cycle.price = uint160(json.readUint(string.concat(at, ".price")));
        cycle.profit = json.readInt(string.concat(at, ".profit"));
        cycle.reserve0 = json.readUint(string.concat(at, ".reserve0"));
        cycle.reserve1 = json.readUint(string.concat(at, ".reserve1"));
    }

    function unpacked(bytes calldata data)
        external
        pure
        returns (IArbExecutor.Arbitrage memory, IArbExecutor.Step[] memory)
    {
        return abi.decode(data[4:], (IArbExecutor.Arbitrage, IArbExecutor.Step[]));
    }

    function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata data) external {
        (address token0, address token1) = abi.decode(data, (address, address));
        ITokenMintable(token0).mint(msg.sender, amount0);
        ITokenMintable(token1).mint(msg.sender, amount1);
    }

    function _call(Cycle memory cycle, address from, address other) private view returns (bytes memory) {
        IArbExecutor.Arbitrage memory arbitrage;
        arbitrage.funding = IArbExecutor.Funding.FlashSwap;
        (arbitrage.token, arbitrage.amount, arbitrage.minProfit) = (from, cycle.amount, 1);
        (arbitrage.deadline, arbitrage.maxBlock) = (block.timestamp, block.number);
        IArbExecutor.Step[] memory steps = new IArbExecutor.Step[](2);
        (uint256 v2, uint256 v3) = cycle.isV3First ? (1, 0) : (0, 1);
        (steps[v2].kind, steps[v2].fee) = (IArbExecutor.StepKind.V2, 3000);
        (steps[v3].kind, steps[v3].fee) = (IArbExecutor.StepKind.V3, cycle.fee);
        (steps[0].tokenIn, steps[0].tokenOut) = (from, other);
        (steps[1].tokenIn, steps[1].tokenOut) = (other, from);
        return abi.encodeCall(IArbExecutor.execute, (arbitrage, steps));
    }

    function _pools(IFactoryV2 factoryV2, IFactoryV3 factoryV3, Cycle memory cycle)
        private
        returns (address from, address other)
    {
        (address a, address b) = (_token("A", 18), _token("B", 18));
        (address token0, address token1) = a < b ? (a, b) : (b, a);
        address pair = factoryV2.createPair(token0, token1);
        ITokenMintable(token0).mint(pair, cycle.reserve0);
        ITokenMintable(token1).mint(pair, cycle.reserve1);
        IPairActions(pair).mint(address(this));
        address pool = factoryV3.createPool(token0, token1, cycle.fee);
        IPoolActions(pool).initialize(cycle.price);
        IPoolActions(pool).mint(address(this), -cycle.edge, cycle.edge, cycle.liquidity, abi.encode(token0, token1));
        (from, other) = cycle.isFrom0 ? (token0, token1) : (token1, token0);
    }
}
