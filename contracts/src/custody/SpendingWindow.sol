// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title What an asset has paid out lately, in seven periods of four hours.
/// @notice The present period and the six before cover every instant of the last 24 hours, so the sum is never below
/// what really left in them: whatever rounding there is favours the vault.
library SpendingWindow {
    uint256 internal constant PERIOD = 4 hours;
    uint256 internal constant PERIODS = 7;

    struct Slot {
        uint40 period;
        uint216 spent;
    }

    struct Window {
        Slot[PERIODS] slots;
    }

    /// @notice What left in the last 24 hours, and at most four hours more.
    function spentUp(Window storage window, uint256 time) internal view returns (uint256 total) {
        uint256 period = time / PERIOD;
        for (uint256 i = 0; i < PERIODS; ++i) {
            Slot storage slot = window.slots[i];
            if (slot.period + PERIODS > period) total += slot.spent;
        }
    }

    /// @notice Counts an amount into the present period. The caller has bounded it by a `uint216`.
    function add(Window storage window, uint256 time, uint216 amount) internal {
        // 2^40 periods are half a billion years.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint40 period = uint40(time / PERIOD);
        Slot storage slot = window.slots[period % PERIODS];
        if (slot.period == period) {
            slot.spent += amount;
        } else {
            slot.period = period;
            slot.spent = amount;
        }
    }
}
