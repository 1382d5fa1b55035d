// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {V2PoolLens} from "../src/lens/V2PoolLens.sol";
import {Genuine, IFactoryV2, IPairActions, ITokenMintable} from "./Genuine.sol";

contract V2PoolLensTest is Genuine {
    IFactoryV2 private factory;
    address[3] private tokens;

    function setUp() public {
        factory = _factoryV2();
        for (uint256 i = 0; i < 3; ++i) {
            tokens[i] = _token("TKN", 18);
        }
    }

    function _pair(address a, address b, uint112 amountA, uint112 amountB) private returns (address pair) {
        pair = factory.createPair(a, b);
        ITokenMintable(a).mint(pair, amountA);
        ITokenMintable(b).mint(pair, amountB);
        IPairActions(pair).sync();
    }

    function testFuzz_readsEveryPairInTheOrderAsked(uint112[4] memory amounts) public {
        address[] memory pairs = new address[](2);
        pairs[0] = _pair(tokens[0], tokens[1], amounts[0], amounts[1]);
        pairs[1] = _pair(tokens[1], tokens[2], amounts[2], amounts[3]);
        V2PoolLens.Snapshot memory seen =
            abi.decode(_lens(type(V2PoolLens).creationCode, abi.encode(pairs)), (V2PoolLens.Snapshot));
        assertEq(seen.blockNumber, block.number);
        assertEq(seen.pairs.length, 2);
        for (uint256 i = 0; i < 2; ++i) {
            V2PoolLens.Pair memory pair = seen.pairs[i];
            assertLt(uint160(pair.token0), uint160(pair.token1));
            assertEq(pair.reserve0, ITokenMintable(pair.token0).balanceOf(pairs[i]));
            assertEq(pair.reserve1, ITokenMintable(pair.token1).balanceOf(pairs[i]));
            assertTrue(pair.token0 == tokens[i] || pair.token1 == tokens[i]);
        }
    }

    function test_noPairsGiveAnEmptyAnswer() public {
        bytes memory answer = _lens(type(V2PoolLens).creationCode, abi.encode(new address[](0)));
        assertEq(abi.decode(answer, (V2PoolLens.Snapshot)).pairs.length, 0);
    }

    function test_revertsForAnAddressWithoutCode() public {
        address[] memory pairs = new address[](1);
        pairs[0] = address(0xdead);
        V2PoolLensCaller caller = new V2PoolLensCaller();
        vm.expectRevert();
        caller.read(pairs);
    }
}

/// @dev `vm.expectRevert` watches calls, and creation by assembly is none.
contract V2PoolLensCaller is Genuine {
    function read(address[] calldata pairs) external returns (bytes memory) {
        return _lens(type(V2PoolLens).creationCode, abi.encode(pairs));
    }
}
