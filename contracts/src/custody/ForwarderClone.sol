// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title The code of one forwarder: a minimal proxy that takes plain transfers by itself.
/// @notice EIP-1167 hands a plain transfer on by `delegatecall`, whose 2,600 gas for a cold account (EIP-2929) exceed the
/// 2,300 that `transfer` and `send` leave: exchanges that pay that way could not pay in. Here a call without data logs
/// `Received(caller, value)` and stops; every other call goes to the implementation.
library ForwarderClone {
    /// @dev Creation code: `codecopy` what follows the first 9 bytes and return it (0x5c bytes).
    ///
    ///     605c 80 6009 5f 39 5f f3          deploy
    ///     36 602e 57                        calldatasize: jump to the proxy if there is any
    ///     34 5f 52                          mstore(0, callvalue)
    ///     33 7f<topic> 6020 5f a2 00        log2(0, 32, topic, caller); stop
    ///     5b 36 5f 5f 37                    proxy: calldatacopy(0, 0, calldatasize)
    ///     5f 5f 36 5f 73<implementation> 5a f4
    ///     3d 5f 5f 3e                       returndatacopy(0, 0, returndatasize)
    ///     6058 57 3d 5f fd                  delegatecall failed: revert
    ///     5b 3d 5f f3                       return
    function creationCode(address implementation) internal pure returns (bytes memory) {
        return abi.encodePacked(
            hex"605c8060095f395ff3",
            hex"36602e57345f52337f",
            keccak256("Received(address,uint256)"),
            hex"60205fa2005b365f5f375f5f365f73",
            implementation,
            hex"5af43d5f5f3e6058573d5ffd5b3d5ff3"
        );
    }

    /// @notice Where CREATE2 puts the clone of `salt`.
    function predict(address deployer, address implementation, bytes32 salt) internal pure returns (address) {
        bytes32 code = keccak256(creationCode(implementation));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), deployer, salt, code)))));
    }
}
