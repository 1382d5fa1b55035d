// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title One call at a time. The lock lies in transient storage (EIP-1153): it costs no storage write.
abstract contract Lock {
    bool private transient locked;

    error Reentered();

    modifier alone() {
        if (locked) revert Reentered();
        locked = true;
        _;
        locked = false;
    }
}
