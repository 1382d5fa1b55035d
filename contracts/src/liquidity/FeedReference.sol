// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IPriceReference} from "./ILpManager.sol";

interface IFeed {
    function decimals() external view returns (uint8);
    function latestRoundData() external view returns (uint80, int256 answer, uint256, uint256 updatedAt, uint80);
}

/// @title A pair's price from a feed in Chainlink's shape: whole token 1 for one whole token 0.
/// @dev An answer that is not positive or too old is none.
contract FeedReference is IPriceReference {
    IFeed public immutable FEED;
    uint256 public immutable MAX_AGE_S;
    uint256 private immutable NUMERATOR;
    uint256 private immutable DENOMINATOR;

    error NoAnswer(int256 answer, uint256 updatedAt);

    constructor(IFeed feed_, uint256 maxAgeS_, uint8 decimals0_, uint8 decimals1_) {
        FEED = feed_;
        MAX_AGE_S = maxAgeS_;
        NUMERATOR = 10 ** decimals1_;
        DENOMINATOR = 10 ** (uint256(decimals0_) + feed_.decimals());
    }

    /// @inheritdoc IPriceReference
    function sqrtPriceX96() external view override returns (uint160) {
        (, int256 answer,, uint256 updatedAt,) = FEED.latestRoundData();
        if (answer <= 0 || block.timestamp > updatedAt + MAX_AGE_S) revert NoAnswer(answer, updatedAt);
        // Signs are checked above, and a square root of a 192-bit number fits.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint256 ratio = FullMath.mulDiv(uint256(answer) * NUMERATOR, 1 << 192, DENOMINATOR);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint160(FixedPointMathLib.sqrt(ratio));
    }
}
