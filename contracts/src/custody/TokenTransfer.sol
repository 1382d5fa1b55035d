// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Pays out coins and tokens, whatever dialect of ERC-20 they speak.
library TokenTransfer {
    /// @notice Stands for the chain's coin where a token is named.
    address internal constant COIN = address(0);

    error TransferFailed(address token, address to, uint256 amount);
    error NoSuchToken(address token);

    /// @notice Sends `amount`; reverts unless the transfer succeeded and nothing says it did not.
    function pay(address token, address to, uint256 amount) internal {
        bool succeeded;
        if (token == COIN) {
            (succeeded,) = to.call{value: amount}("");
        } else {
            // A call to an address without code succeeds, and would pass for a token that returns nothing.
            if (token.code.length == 0) revert NoSuchToken(token);
            bytes memory answer;
            (succeeded, answer) = token.call(abi.encodeWithSelector(0xa9059cbb, to, amount));
            succeeded = succeeded && (answer.length == 0 || (answer.length >= 32 && abi.decode(answer, (uint256)) == 1));
        }
        if (!succeeded) revert TransferFailed(token, to, amount);
    }

    /// @notice What an account holds of a token or of the coin.
    function balance(address token, address owner) internal view returns (uint256) {
        if (token == COIN) return owner.balance;
        if (token.code.length == 0) revert NoSuchToken(token);
        return IBalance(token).balanceOf(owner);
    }
}

interface IBalance {
    function balanceOf(address owner) external view returns (uint256);
}
