// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

interface ICoin {
    function decimals() external view returns (uint8);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @notice A stable pool with the functions, events and rounding of Curve's StableSwap-NG, written anew from the
/// published mathematics, because Curve's own code may not be redistributed.
/// @dev For tests: plain coins with 18 decimals or fewer and no fee on transfer. Deposits pay no imbalance fee, and its
/// owner sets fees and amplification at once or over time.
// forge-lint: disable-start(mixed-case-function,mixed-case-variable)
contract StableSwapDouble {
    event TokenExchange(
        address indexed buyer, int128 sold_id, uint256 tokens_sold, int128 bought_id, uint256 tokens_bought
    );
    event AddLiquidity(
        address indexed provider, uint256[] token_amounts, uint256[] fees, uint256 invariant, uint256 token_supply
    );
    event RemoveLiquidity(address indexed provider, uint256[] token_amounts, uint256[] fees, uint256 token_supply);
    event RampA(uint256 old_A, uint256 new_A, uint256 initial_time, uint256 future_time);
    event ApplyNewFee(uint256 fee, uint256 offpeg_fee_multiplier);

    error Insufficient(uint256 found, uint256 wanted);
    error Unsettled();
    error OnlyOwner();
    error SameCoin(int128 coin);
    error Refused(address coin);

    uint256 private constant FEE_ONE = 10 ** 10;
    uint256 private constant PRECISION = 10 ** 18;
    uint256 private constant A_PRECISION = 100;

    uint256 public immutable N_COINS;
    address public immutable owner;
    uint256 public constant admin_fee = 5 * 10 ** 9;

    address[] public coins;
    uint256[] public admin_balances;
    uint256[] private stored;
    uint256[] private rates;
    uint256 public fee;
    uint256 public offpeg_fee_multiplier;
    uint256 public initial_A;
    uint256 public future_A;
    uint256 public initial_A_time;
    uint256 public future_A_time;
    uint256 public totalSupply;
    mapping(address provider => uint256 shares) public balanceOf;

    constructor(address[] memory coins_, uint256 amplification, uint256 fee_, uint256 offpeg) {
        N_COINS = coins_.length;
        owner = msg.sender;
        coins = coins_;
        fee = fee_;
        offpeg_fee_multiplier = offpeg;
        initial_A = future_A = amplification * A_PRECISION;
        for (uint256 i = 0; i < coins_.length; ++i) {
            rates.push(10 ** (36 - ICoin(coins_[i]).decimals()));
            stored.push(0);
            admin_balances.push(0);
        }
    }

    modifier byOwner() {
        require(msg.sender == owner, OnlyOwner());
        _;
    }

    function stored_rates() external view returns (uint256[] memory) {
        return rates;
    }

    /// @notice What is in the pool, the protocol's share of the fees aside.
    function balances(uint256 index) public view returns (uint256) {
        return stored[index] - admin_balances[index];
    }

    function A_precise() public view returns (uint256) {
        if (block.timestamp >= future_A_time) return future_A;
        uint256 passed = block.timestamp - initial_A_time;
        uint256 whole = future_A_time - initial_A_time;
        if (future_A > initial_A) return initial_A + (future_A - initial_A) * passed / whole;
        return initial_A - (initial_A - future_A) * passed / whole;
    }

    function A() external view returns (uint256) {
        return A_precise() / A_PRECISION;
    }

    function get_dy(int128 i, int128 j, uint256 dx) external view returns (uint256) {
        (uint256 gross, uint256 taken) = _swapped(uint128(i), uint128(j), dx);
        return (gross - taken) * PRECISION / rates[uint128(j)];
    }

    function exchange(int128 i, int128 j, uint256 dx, uint256 minDy) external returns (uint256 dy) {
        require(i != j, SameCoin(i));
        (uint256 source, uint256 target) = (uint128(i), uint128(j));
        (uint256 gross, uint256 taken) = _swapped(source, target, dx);
        dy = (gross - taken) * PRECISION / rates[target];
        require(dy >= minDy, Insufficient(dy, minDy));
        admin_balances[target] += (taken * admin_fee / FEE_ONE) * PRECISION / rates[target];
        stored[source] += dx;
        stored[target] -= dy;
        _take(source, dx);
        _give(target, dy);
        emit TokenExchange(msg.sender, i, dx, j, dy);
    }

    function add_liquidity(uint256[] calldata amounts, uint256 minShares) external returns (uint256 shares) {
        uint256 before = totalSupply == 0 ? 0 : _invariant(_scaled(), A_precise());
        for (uint256 i = 0; i < N_COINS; ++i) {
            stored[i] += amounts[i];
            if (amounts[i] > 0) _take(i, amounts[i]);
        }
        uint256 invariant = _invariant(_scaled(), A_precise());
        shares = totalSupply == 0 ? invariant : totalSupply * (invariant - before) / before;
        require(shares >= minShares, Insufficient(shares, minShares));
        totalSupply += shares;
        balanceOf[msg.sender] += shares;
        emit AddLiquidity(msg.sender, amounts, new uint256[](N_COINS), invariant, totalSupply);
    }

    function remove_liquidity(uint256 shares, uint256[] calldata minAmounts)
        external
        returns (uint256[] memory amounts)
    {
        amounts = new uint256[](N_COINS);
        for (uint256 i = 0; i < N_COINS; ++i) {
            amounts[i] = balances(i) * shares / totalSupply;
            require(amounts[i] >= minAmounts[i], Insufficient(amounts[i], minAmounts[i]));
            stored[i] -= amounts[i];
            _give(i, amounts[i]);
        }
        totalSupply -= shares;
        balanceOf[msg.sender] -= shares;
        emit RemoveLiquidity(msg.sender, amounts, new uint256[](N_COINS), totalSupply);
    }

    function ramp_A(uint256 amplification, uint256 futureTime) external byOwner {
        initial_A = A_precise();
        initial_A_time = block.timestamp;
        future_A = amplification * A_PRECISION;
        future_A_time = futureTime;
        emit RampA(initial_A, future_A, block.timestamp, futureTime);
    }

    function set_new_fee(uint256 fee_, uint256 offpeg) external byOwner {
        fee = fee_;
        offpeg_fee_multiplier = offpeg;
        emit ApplyNewFee(fee_, offpeg);
    }

    function _take(uint256 index, uint256 amount) private {
        require(ICoin(coins[index]).transferFrom(msg.sender, address(this), amount), Refused(coins[index]));
    }

    function _give(uint256 index, uint256 amount) private {
        require(ICoin(coins[index]).transfer(msg.sender, amount), Refused(coins[index]));
    }

    /// @dev Output before fee, and the fee, with 18 decimals.
    function _swapped(uint256 source, uint256 target, uint256 dx) private view returns (uint256 gross, uint256 taken) {
        uint256[] memory scaled = _scaled();
        uint256 amplification = A_precise();
        uint256 invariant = _invariant(scaled, amplification);
        (uint256 beforeIn, uint256 beforeOut) = (scaled[source], scaled[target]);
        scaled[source] += dx * rates[source] / PRECISION;
        uint256 left = _balance(scaled, amplification, invariant, target);
        gross = beforeOut - left - 1;
        taken = _fee((beforeIn + scaled[source]) / 2, (beforeOut + left) / 2) * gross / FEE_ONE;
    }

    function _scaled() private view returns (uint256[] memory scaled) {
        scaled = new uint256[](N_COINS);
        for (uint256 i = 0; i < N_COINS; ++i) {
            scaled[i] = rates[i] * balances(i) / PRECISION;
        }
    }

    /// @dev The fee grows from its base to `offpeg_fee_multiplier` times that as two balances drift apart.
    function _fee(uint256 first, uint256 second) private view returns (uint256) {
        if (offpeg_fee_multiplier <= FEE_ONE) return fee;
        uint256 nearness = (offpeg_fee_multiplier - FEE_ONE) * 4 * first * second / (first + second) ** 2;
        return offpeg_fee_multiplier * fee / (nearness + FEE_ONE);
    }

    function _invariant(uint256[] memory scaled, uint256 amplification) private view returns (uint256 d) {
        uint256 sum = 0;
        for (uint256 i = 0; i < N_COINS; ++i) {
            sum += scaled[i];
        }
        if (sum == 0) return 0;
        d = sum;
        uint256 ann = amplification * N_COINS;
        for (uint256 step = 0; step < 255; ++step) {
            uint256 power = d;
            for (uint256 i = 0; i < N_COINS; ++i) {
                power = power * d / scaled[i];
            }
            power /= N_COINS ** N_COINS;
            uint256 before = d;
            d = (ann * sum / A_PRECISION + power * N_COINS) * d
                / ((ann - A_PRECISION) * d / A_PRECISION + (N_COINS + 1) * power);
            if (_near(d, before)) return d;
        }
        revert Unsettled();
    }

    function _balance(uint256[] memory scaled, uint256 amplification, uint256 d, uint256 index)
        private
        view
        returns (uint256 y)
    {
        uint256 ann = amplification * N_COINS;
        uint256 sum = 0;
        uint256 c = d;
        for (uint256 i = 0; i < N_COINS; ++i) {
            if (i == index) continue;
            sum += scaled[i];
            c = c * d / (scaled[i] * N_COINS);
        }
        c = c * d * A_PRECISION / (ann * N_COINS);
        uint256 b = sum + d * A_PRECISION / ann;
        y = d;
        for (uint256 step = 0; step < 255; ++step) {
            uint256 before = y;
            y = (y * y + c) / (2 * y + b - d);
            if (_near(y, before)) return y;
        }
        revert Unsettled();
    }

    function _near(uint256 a, uint256 b) private pure returns (bool) {
        return (a > b ? a - b : b - a) <= 1;
    }
}
// forge-lint: disable-end(mixed-case-function,mixed-case-variable)
