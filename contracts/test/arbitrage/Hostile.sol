// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ITokenMintable} from "../Genuine.sol";
import {IPull} from "./CurveDouble.sol";

interface IExecutorCallbacks {
    function uniswapV2Call(address sender, uint256 out0, uint256 out1, bytes calldata data) external;
    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external;
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external;
    function unlockCallback(bytes calldata data) external returns (bytes memory);
    function executeOperation(address asset, uint256 amount, uint256 premium, address initiator, bytes calldata data)
        external
        returns (bool);
    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata fees,
        bytes calldata data
    ) external;
}

/// @notice A lender that does not do as the genuine one: it never calls back, calls twice, or names another as the one
/// who asked. Stands for Aave's pool, Balancer's Vault, V4's manager, and a pair of a factory the owner was led to trust.
contract HostileLender {
    enum Manner {
        Silent,
        Twice,
        ForAnother,
        Honest
    }

    Manner public manner;
    address public token;

    function behave(Manner manner_, address token_) external {
        (manner, token) = (manner_, token_);
    }

    function getReserves() external pure returns (uint112, uint112, uint32) {
        return (1e24, 1e24, 0);
    }

    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external {
        ITokenMintable(token).mint(to, out0 + out1);
        for (uint256 i = 0; i < _calls(); ++i) {
            IExecutorCallbacks(to).uniswapV2Call(_asked(to), out0, out1, data);
        }
    }

    function flashLoanSimple(address to, address asset, uint256 amount, bytes calldata data, uint16) external {
        ITokenMintable(asset).mint(to, amount);
        for (uint256 i = 0; i < _calls(); ++i) {
            IExecutorCallbacks(to).executeOperation(asset, amount, 0, _asked(to), data);
        }
        if (manner == Manner.Honest) IPull(asset).transferFrom(to, address(this), amount);
    }

    function flashLoan(address to, address[] calldata tokens, uint256[] calldata amounts, bytes calldata data)
        external
    {
        ITokenMintable(tokens[0]).mint(to, amounts[0]);
        for (uint256 i = 0; i < _calls(); ++i) {
            IExecutorCallbacks(to).receiveFlashLoan(tokens, amounts, new uint256[](1), data);
        }
    }

    function unlock(bytes calldata data) external returns (bytes memory answer) {
        for (uint256 i = 0; i < _calls(); ++i) {
            answer = IExecutorCallbacks(msg.sender).unlockCallback(data);
        }
    }

    function _calls() private view returns (uint256) {
        return manner == Manner.Silent ? 0 : manner == Manner.Twice ? 2 : 1;
    }

    function _asked(address to) private view returns (address) {
        return manner == Manner.ForAnother ? address(this) : to;
    }
}

/// @notice Puts the hostile pair where a V2 factory would put a genuine one.
contract HostileFactory {
    function createPair(address a, address b) external returns (HostileLender) {
        (address token0, address token1) = a < b ? (a, b) : (b, a);
        return new HostileLender{salt: keccak256(abi.encodePacked(token0, token1))}();
    }
}
