// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {stdJson} from "forge-std/StdJson.sol";

interface ITokenMintable {
    function mint(address to, uint256 amount) external returns (bool);
    function transfer(address to, uint256 amount) external returns (bool);
    function balanceOf(address owner) external view returns (uint256);
}

interface IFactoryV2 {
    function createPair(address a, address b) external returns (address);
}

interface IPairActions {
    function mint(address to) external returns (uint256);
    function sync() external;
}

interface IFactoryV3 {
    function createPool(address a, address b, uint24 fee) external returns (address);
}

interface IPoolActions {
    function initialize(uint160 sqrtPriceX96) external;
    function mint(address to, int24 lower, int24 upper, uint128 amount, bytes calldata data)
        external
        returns (uint256, uint256);
    function burn(int24 lower, int24 upper, uint128 amount) external returns (uint256, uint256);
}

/// @notice Deploys the bytecode Uniswap and Aave published on npm; nothing here is a re-implementation.
abstract contract Genuine is Test {
    using stdJson for string;

    string private constant MODULES = "node_modules/";

    function _token(string memory symbol, uint8 decimals) internal returns (address) {
        return deployCode(
            string.concat(
                MODULES, "@aave/core-v3/artifacts/contracts/mocks/tokens/MintableERC20.sol/MintableERC20.json"
            ),
            abi.encode(symbol, symbol, decimals)
        );
    }

    /// @dev Waffle's JSON holds `bytecode` twice, which `deployCode` refuses; so the code is read by its path.
    function _factoryV2() internal returns (IFactoryV2) {
        string memory json = vm.readFile(string.concat(MODULES, "@uniswap/v2-core/build/UniswapV2Factory.json"));
        bytes memory code = json.readBytes(".evm.bytecode.object");
        return IFactoryV2(_create(abi.encodePacked(code, abi.encode(address(this)))));
    }

    function _factoryV3() internal returns (IFactoryV3) {
        return IFactoryV3(
            deployCode(
                string.concat(
                    MODULES, "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"
                )
            )
        );
    }

    function _create(bytes memory creation) internal returns (address created) {
        assembly ("memory-safe") {
            created := create(0, add(creation, 0x20), mload(creation))
        }
        require(created != address(0), "creation failed");
    }

    /// @dev A lens returns its answer in place of code, so the code of what it "deployed" is the answer.
    function _lens(bytes memory creation, bytes memory arguments) internal returns (bytes memory) {
        return _create(abi.encodePacked(creation, arguments)).code;
    }
}
