// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Where a factory puts its pools. A derived address has the factory's code, whoever named its tokens.
library PoolAddress {
    function pairV2(address factory, bytes32 initCodeHash, address tokenA, address tokenB)
        internal
        pure
        returns (address)
    {
        (address token0, address token1) = _sorted(tokenA, tokenB);
        return _derive(factory, keccak256(abi.encodePacked(token0, token1)), initCodeHash);
    }

    function poolV3(address factory, bytes32 initCodeHash, address tokenA, address tokenB, uint24 fee)
        internal
        pure
        returns (address)
    {
        (address token0, address token1) = _sorted(tokenA, tokenB);
        return _derive(factory, keccak256(abi.encode(token0, token1, fee)), initCodeHash);
    }

    function _sorted(address a, address b) private pure returns (address, address) {
        return a < b ? (a, b) : (b, a);
    }

    /// @dev EIP-1014.
    function _derive(address factory, bytes32 salt, bytes32 initCodeHash) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), factory, salt, initCodeHash)))));
    }
}
