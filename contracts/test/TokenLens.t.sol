// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {TokenLens} from "../src/lens/TokenLens.sol";
import {Genuine, ITokenMintable} from "./Genuine.sol";

/// @dev MKR and SAI return bytes32 symbols.
contract OldToken {
    function symbol() external pure returns (bytes32) {
        return "MKR";
    }

    function decimals() external pure returns (uint256) {
        return 18;
    }

    function balanceOf(address) external pure returns (uint256) {
        return 5;
    }
}

/// @dev Answers every call with the same bytes.
contract Oracle {
    bytes private answer;

    constructor(bytes memory answer_) {
        answer = answer_;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return answer;
    }
}

contract TokenLensTest is Genuine {
    function testFuzz_readsGenuineTokens(uint8 decimals, uint128 amount, address owner) public {
        vm.assume(owner != address(0));
        address[] memory tokens = new address[](1);
        tokens[0] = _token("USDC", decimals);
        ITokenMintable(tokens[0]).mint(owner, amount);
        TokenLens.TokenState memory state = _read(tokens, owner)[0];
        assertTrue(state.readable);
        assertEq(state.decimals, decimals);
        assertEq(state.balance, amount);
        assertEq(state.symbol, "USDC");
    }

    function test_understandsOldSymbolsAndReportsWhatIsNoToken() public {
        address[] memory tokens = new address[](3);
        tokens[0] = address(new OldToken());
        tokens[1] = address(0xdead);
        tokens[2] = address(this);
        TokenLens.TokenState[] memory states = _read(tokens, address(1));
        assertTrue(states[0].readable);
        assertEq(states[0].symbol, "MKR");
        assertEq(states[0].balance, 5);
        assertFalse(states[1].readable);
        assertFalse(states[2].readable);
    }

    function testFuzz_noAnswerOfATokenBreaksTheRest(bytes memory answer) public {
        address[] memory tokens = new address[](2);
        tokens[0] = address(new Oracle(answer));
        tokens[1] = _token("OK", 6);
        TokenLens.TokenState[] memory states = _read(tokens, address(1));
        assertTrue(states[1].readable);
        assertEq(states[1].symbol, "OK");
        assertEq(states[0].readable, answer.length == 32 && uint256(bytes32(answer)) <= type(uint8).max);
    }

    function _read(address[] memory tokens, address owner) private returns (TokenLens.TokenState[] memory) {
        return abi.decode(_lens(type(TokenLens).creationCode, abi.encode(tokens, owner)), (TokenLens.TokenState[]));
    }
}
