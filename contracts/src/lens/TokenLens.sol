// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IToken} from "../interfaces/IPools.sol";

/// @title Reads many tokens' symbol, decimals and one owner's balance in one `eth_call`, without being deployed.
/// @notice The constructor returns `abi.encode(TokenState[])` in place of code. A token that answers nothing sensible
/// is reported with `readable` false and does not disturb the others. Symbols of type bytes32 (MKR) are understood.
contract TokenLens {
    /// @notice One token, as far as it answers.
    struct TokenState {
        bool readable;
        uint8 decimals;
        uint256 balance;
        string symbol;
    }

    constructor(address[] memory tokens, address owner) {
        TokenState[] memory states = new TokenState[](tokens.length);
        for (uint256 i = 0; i < tokens.length; ++i) {
            (bool hasDecimals, uint256 decimals) = _number(tokens[i], abi.encodeCall(IToken.decimals, ()));
            (bool hasBalance, uint256 balance) = _number(tokens[i], abi.encodeCall(IToken.balanceOf, (owner)));
            states[i] = TokenState({
                readable: hasDecimals && hasBalance && decimals <= type(uint8).max,
                // Where it does not fit, the token is not readable.
                // forge-lint: disable-next-line(unsafe-typecast)
                decimals: uint8(decimals),
                balance: balance,
                symbol: _symbol(tokens[i])
            });
        }
        bytes memory answer = abi.encode(states);
        assembly ("memory-safe") {
            return(add(answer, 0x20), mload(answer))
        }
    }

    function _number(address token, bytes memory call) private view returns (bool, uint256) {
        (bool success, bytes memory output) = token.staticcall(call);
        if (!success || output.length != 32) return (false, 0);
        return (true, abi.decode(output, (uint256)));
    }

    /// @dev A malformed string must not revert the whole call, so its offset and length are checked before decoding.
    function _symbol(address token) private view returns (string memory) {
        (bool success, bytes memory output) = token.staticcall(abi.encodeCall(IToken.symbol, ()));
        if (!success) return "";
        if (output.length == 32) return _text(abi.decode(output, (bytes32)));
        if (output.length < 64) return "";
        (uint256 offset, uint256 length) = abi.decode(output, (uint256, uint256));
        if (offset != 32 || length > 64 || length > output.length - 64) return "";
        return abi.decode(output, (string));
    }

    function _text(bytes32 padded) private pure returns (string memory) {
        uint256 length = 0;
        while (length < 32 && padded[length] != 0) ++length;
        bytes memory text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            text[i] = padded[i];
        }
        return string(text);
    }
}
