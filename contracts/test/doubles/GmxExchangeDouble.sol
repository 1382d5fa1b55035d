// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {GmxEventData} from "./GmxEventData.sol";

interface IWrappedCoin {
    function deposit() external payable;
    function withdraw(uint256 amount) external;
}

interface IToken {
    function balanceOf(address owner) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @title Stands in for GMX v2 in tests.
/// @notice GMX's contracts are BUSL-1.1 and cannot be had here. This is written from their public ABI: one contract
/// answers as ExchangeRouter, Router, DataStore, OrderVault and EventEmitter of a market whose index token and long
/// token are `index` and whose short token is `usd`. Orders live in two phases: a user creates them and pays a keeper
/// in advance; the keeper executes, cancels or freezes them at an oracle's price.
/// @dev Prices are GMX's: 10^30 US dollars per whole token, per smallest unit of it. No swaps, no borrowing, no funding.
contract GmxExchangeDouble is GmxEventData {
    enum OrderType {
        MarketSwap,
        LimitSwap,
        MarketIncrease,
        LimitIncrease,
        MarketDecrease,
        LimitDecrease,
        StopLossDecrease,
        Liquidation,
        StopIncrease
    }

    struct CreateOrderParamsAddresses {
        address receiver;
        address cancellationReceiver;
        address callbackContract;
        address uiFeeReceiver;
        address market;
        address initialCollateralToken;
        address[] swapPath;
    }

    struct CreateOrderParamsNumbers {
        uint256 sizeDeltaUsd;
        uint256 initialCollateralDeltaAmount;
        uint256 triggerPrice;
        uint256 acceptablePrice;
        uint256 executionFee;
        uint256 callbackGasLimit;
        uint256 minOutputAmount;
        uint256 validFromTime;
    }

    struct CreateOrderParams {
        CreateOrderParamsAddresses addresses;
        CreateOrderParamsNumbers numbers;
        OrderType orderType;
        uint8 decreasePositionSwapType;
        bool isLong;
        bool shouldUnwrapNativeToken;
        bool autoCancel;
        bytes32 referralCode;
        bytes32[] dataList;
    }

    struct Order {
        address account;
        CreateOrderParams params;
        bool isFrozen;
        uint256 updatedAtTime;
    }

    event EventLog1(
        address msgSender,
        string eventName,
        string indexed eventNameHash,
        bytes32 indexed topic1,
        EventLogData eventData
    );
    event EventLog2(
        address msgSender,
        string eventName,
        string indexed eventNameHash,
        bytes32 indexed topic1,
        bytes32 indexed topic2,
        EventLogData eventData
    );

    error InsufficientWntAmountForExecutionFee(uint256 wntAmount, uint256 executionFee);
    error InsufficientExecutionFee(uint256 minExecutionFee, uint256 executionFee);
    error InvalidMarket(address market);
    error OrderNotFound(bytes32 key);
    error OrderNotUpdatable(uint256 orderType);
    error RequestNotYetCancellable(uint256 requestAge, uint256 requestExpirationAge, string requestType);
    error OrderNotFulfillableAtAcceptablePrice(uint256 price, uint256 acceptablePrice);
    error InvalidOrderPrices(uint256 primaryPriceMin, uint256 primaryPriceMax, uint256 triggerPrice, uint256 orderType);
    error InvalidCollateralTokenForMarket(address market, address token);
    error EmptyPosition();
    error EmptyOrder();
    error InsufficientCollateralUsd(int256 remainingCollateralUsd);
    error OrderAlreadyFrozen();
    error Unauthorized(address msgSender, string role);
    error SelfTransferNotSupported(address receiver);

    uint256 public constant REQUEST_EXPIRATION_S = 300;
    uint256 private constant FACTOR = 10 ** 30;

    IWrappedCoin public immutable wnt;
    address public immutable index;
    address public immutable usd;
    address public immutable market;
    address public immutable keeper;

    mapping(bytes32 => uint256) public getUint;
    mapping(bytes32 => bytes32) private _words;
    mapping(bytes32 => Order) private _orders;
    mapping(bytes32 => bool) private _isOpen;
    mapping(address => uint256) private _recorded;
    uint256 private _nonce;

    constructor(address wnt_, address usd_, address market_, address keeper_) {
        (wnt, index, usd, market, keeper) = (IWrappedCoin(wnt_), wnt_, usd_, market_, keeper_);
        _set("ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1", 600_000);
        _set("ESTIMATED_GAS_FEE_PER_ORACLE_PRICE", 250_000);
        _set("ESTIMATED_GAS_FEE_MULTIPLIER_FACTOR", 15 * FACTOR / 10);
        _set("INCREASE_ORDER_GAS_LIMIT", 3_000_000);
        _set("DECREASE_ORDER_GAS_LIMIT", 3_000_000);
        _set("SWAP_ORDER_GAS_LIMIT", 2_500_000);
        _set("SINGLE_SWAP_GAS_LIMIT", 1_000_000);
        _set("REQUEST_EXPIRATION_TIME", REQUEST_EXPIRATION_S);
    }

    receive() external payable {}

    modifier onlyKeeper() {
        if (msg.sender != keeper) revert Unauthorized(msg.sender, "ORDER_KEEPER");
        _;
    }

    // --- ExchangeRouter

    function multicall(bytes[] calldata data) external payable returns (bytes[] memory results) {
        results = new bytes[](data.length);
        for (uint256 i; i < data.length; ++i) {
            (bool ok, bytes memory result) = address(this).delegatecall(data[i]);
            if (!ok) _bubble(result);
            results[i] = result;
        }
    }

    function sendWnt(address receiver, uint256 amount) external payable {
        wnt.deposit{value: amount}();
        if (receiver != address(this)) IToken(address(wnt)).transfer(receiver, amount);
    }

    /// @dev The allowance is the Router's, who is this contract too.
    function sendTokens(address token, address receiver, uint256 amount) external payable {
        IToken(token).transferFrom(msg.sender, receiver, amount);
    }

    function createOrder(CreateOrderParams calldata params) external payable returns (bytes32 key) {
        if (params.addresses.market != market) revert InvalidMarket(params.addresses.market);
        if (params.numbers.sizeDeltaUsd == 0 && params.numbers.initialCollateralDeltaAmount == 0) revert EmptyOrder();
        Order memory order =
            Order({account: msg.sender, params: params, isFrozen: false, updatedAtTime: block.timestamp});
        uint256 wntIn = _recordTransferIn(address(wnt));
        address collateral = params.addresses.initialCollateralToken;
        if (_isIncrease(params.orderType)) {
            if (collateral != index && collateral != usd) revert InvalidCollateralTokenForMarket(market, collateral);
            if (collateral == address(wnt)) {
                if (wntIn < params.numbers.executionFee) {
                    revert InsufficientWntAmountForExecutionFee(wntIn, params.numbers.executionFee);
                }
                order.params.numbers.initialCollateralDeltaAmount = wntIn - params.numbers.executionFee;
                wntIn = params.numbers.executionFee;
            } else {
                order.params.numbers.initialCollateralDeltaAmount = _recordTransferIn(collateral);
            }
        }
        if (wntIn < params.numbers.executionFee) {
            revert InsufficientWntAmountForExecutionFee(wntIn, params.numbers.executionFee);
        }
        order.params.numbers.executionFee = wntIn;
        uint256 wanted = minExecutionGas(_isIncrease(params.orderType), params) * tx.gasprice;
        if (wntIn < wanted) revert InsufficientExecutionFee(wanted, wntIn);
        key = keccak256(abi.encode(address(this), ++_nonce));
        (_orders[key], _isOpen[key]) = (order, true);
        _track(key);
        EventLogData memory data = _about(key, msg.sender);
        data.uintItems.items = new UintKeyValue[](2);
        data.uintItems.items[0] = UintKeyValue("orderType", uint256(params.orderType));
        data.uintItems.items[1] = UintKeyValue("executionFee", wntIn);
        emit EventLog2(msg.sender, "OrderCreated", "OrderCreated", key, _word(msg.sender), data);
    }

    function updateOrder(
        bytes32 key,
        uint256 sizeDeltaUsd,
        uint256 acceptablePrice,
        uint256 triggerPrice,
        uint256 minOutputAmount,
        uint256 validFromTime,
        bool autoCancel
    ) external payable {
        Order storage order = _ownOrder(key);
        if (_isMarket(order.params.orderType)) revert OrderNotUpdatable(uint256(order.params.orderType));
        order.params.numbers.sizeDeltaUsd = sizeDeltaUsd;
        order.params.numbers.acceptablePrice = acceptablePrice;
        order.params.numbers.triggerPrice = triggerPrice;
        order.params.numbers.minOutputAmount = minOutputAmount;
        order.params.numbers.validFromTime = validFromTime;
        order.params.autoCancel = autoCancel;
        order.params.numbers.executionFee += _recordTransferIn(address(wnt));
        (order.isFrozen, order.updatedAtTime) = (false, block.timestamp);
        _track(key);
        emit EventLog2(msg.sender, "OrderUpdated", "OrderUpdated", key, _word(msg.sender), _about(key, msg.sender));
    }

    function cancelOrder(bytes32 key) external payable {
        Order storage order = _ownOrder(key);
        uint256 age = block.timestamp - order.updatedAtTime;
        if (_isMarket(order.params.orderType) && age < REQUEST_EXPIRATION_S) {
            revert RequestNotYetCancellable(age, REQUEST_EXPIRATION_S, "Order");
        }
        _cancel(key, "USER_INITIATED_CANCEL", "");
    }

    // --- what a keeper does

    /// @notice Carries an order out at an oracle's price; what cannot be done is cancelled or frozen, not reverted.
    function executeOrder(bytes32 key, uint256 price) external onlyKeeper {
        if (!_isOpen[key]) revert OrderNotFound(key);
        Order storage order = _orders[key];
        try this.carryOut(key, price) {
            address account = order.account;
            _close(key, order.params.numbers.executionFee);
            emit EventLog2(keeper, "OrderExecuted", "OrderExecuted", key, _word(account), _about(key, account));
        } catch (bytes memory reason) {
            bytes4 kind = bytes4(reason);
            // A trigger that is not reached is the keeper's mistake: nothing happens to the order.
            if (kind == InvalidOrderPrices.selector || kind == OrderAlreadyFrozen.selector) _bubble(reason);
            if (_isMarket(order.params.orderType) || kind == EmptyPosition.selector) {
                _cancel(key, "", reason);
            } else {
                order.isFrozen = true;
                _track(key);
                EventLogData memory data = _because(key, order.account, "", reason);
                emit EventLog2(keeper, "OrderFrozen", "OrderFrozen", key, _word(order.account), data);
            }
        }
    }

    function carryOut(bytes32 key, uint256 price) external {
        if (msg.sender != address(this)) revert Unauthorized(msg.sender, "SELF");
        Order storage order = _orders[key];
        CreateOrderParams storage params = order.params;
        if (order.isFrozen) revert OrderAlreadyFrozen();
        if (!_isMarket(params.orderType) && !_isTriggered(params, price)) {
            revert InvalidOrderPrices(price, price, params.numbers.triggerPrice, uint256(params.orderType));
        }
        bool isIncrease = _isIncrease(params.orderType);
        uint256 acceptable = params.numbers.acceptablePrice;
        if (isIncrease == params.isLong ? price > acceptable : price < acceptable) {
            revert OrderNotFulfillableAtAcceptablePrice(price, acceptable);
        }
        address collateral = params.addresses.initialCollateralToken;
        bytes32 position = keccak256(abi.encode(order.account, market, collateral, params.isLong));
        uint256 size = params.numbers.sizeDeltaUsd;
        if (isIncrease) {
            _change(position, "SIZE_IN_USD", int256(size));
            _change(position, "SIZE_IN_TOKENS", int256(size / price));
            _change(position, "COLLATERAL_AMOUNT", int256(params.numbers.initialCollateralDeltaAmount));
            return;
        }
        _decrease(order, position, collateral, size, price);
    }

    function _decrease(Order storage order, bytes32 position, address collateral, uint256 size, uint256 price) private {
        uint256 sizeUsd = getUint[_under(position, "SIZE_IN_USD")];
        if (sizeUsd == 0) revert EmptyPosition();
        if (size > sizeUsd) size = sizeUsd;
        uint256 tokens = getUint[_under(position, "SIZE_IN_TOKENS")] * size / sizeUsd;
        int256 gain = _gain(order.params.isLong, tokens, size, price) / int256(_unitPrice(collateral, price));
        _change(position, "SIZE_IN_USD", -int256(size));
        _change(position, "SIZE_IN_TOKENS", -int256(tokens));
        uint256 paid = _release(position, gain, size == sizeUsd, order.params.numbers.initialCollateralDeltaAmount);
        if (paid != 0) _payOut(collateral, order.params.addresses.receiver, paid);
    }

    /// @dev Gains are paid out; losses come off what stays, or off what is paid when nothing stays.
    function _release(bytes32 position, int256 gain, bool isAll, uint256 wanted) private returns (uint256 paid) {
        int256 held = int256(getUint[_under(position, "COLLATERAL_AMOUNT")]);
        int256 released = isAll ? held : int256(wanted);
        int256 left = held - released + (gain < 0 && !isAll ? gain : int256(0));
        int256 out = released + (gain > 0 || isAll ? gain : int256(0));
        if (left < 0 || out < 0) revert InsufficientCollateralUsd(left < 0 ? left : out);
        getUint[_under(position, "COLLATERAL_AMOUNT")] = uint256(left);
        return uint256(out);
    }

    function _gain(bool isLong, uint256 tokens, uint256 size, uint256 price) private pure returns (int256) {
        int256 gain = int256(tokens * price) - int256(size);
        return isLong ? gain : -gain;
    }

    function _unitPrice(address token, uint256 price) private view returns (uint256) {
        return token == usd ? FACTOR / 10 ** 6 : price;
    }

    /// @notice What the market is given to pay gains from is no order's collateral.
    function recordHoldings() external {
        _recordTransferIn(usd);
        _recordTransferIn(index);
    }

    // --- DataStore

    function getAddress(bytes32 key) external view returns (address) {
        return address(uint160(uint256(_words[key])));
    }

    function getBool(bytes32 key) external view returns (bool) {
        return _words[key] != 0;
    }

    function minExecutionGas(bool isIncrease, CreateOrderParams calldata params) public view returns (uint256) {
        uint256 swaps = params.addresses.swapPath.length;
        uint256 estimate = getUint[_name(isIncrease ? "INCREASE_ORDER_GAS_LIMIT" : "DECREASE_ORDER_GAS_LIMIT")]
            + params.numbers.callbackGasLimit + swaps * getUint[_name("SINGLE_SWAP_GAS_LIMIT")];
        uint256 base = getUint[_name("ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1")]
            + getUint[_name("ESTIMATED_GAS_FEE_PER_ORACLE_PRICE")] * (3 + swaps);
        return base + estimate * getUint[_name("ESTIMATED_GAS_FEE_MULTIPLIER_FACTOR")] / FACTOR;
    }

    // --- within

    function _ownOrder(bytes32 key) private view returns (Order storage order) {
        order = _orders[key];
        if (!_isOpen[key]) revert OrderNotFound(key);
        if (order.account != msg.sender) revert Unauthorized(msg.sender, "account for cancelOrder");
    }

    function _cancel(bytes32 key, string memory reason, bytes memory reasonBytes) private {
        Order storage order = _orders[key];
        CreateOrderParams storage params = order.params;
        (address account, uint256 amount) = (order.account, params.numbers.initialCollateralDeltaAmount);
        address to =
            params.addresses.cancellationReceiver == address(0) ? account : params.addresses.cancellationReceiver;
        if (_isIncrease(params.orderType) && amount != 0) _payOut(params.addresses.initialCollateralToken, to, amount);
        _close(key, params.numbers.executionFee);
        EventLogData memory data = _because(key, account, reason, reasonBytes);
        emit EventLog2(msg.sender, "OrderCancelled", "OrderCancelled", key, _word(account), data);
    }

    /// @dev The keeper is paid half of the fee, the rest goes back as coins.
    function _close(bytes32 key, uint256 fee) private {
        address account = _orders[key].account;
        _isOpen[key] = false;
        _track(key);
        delete _orders[key];
        wnt.withdraw(fee);
        _recorded[address(wnt)] = IToken(address(wnt)).balanceOf(address(this));
        (bool ok,) = keeper.call{value: fee / 2}("");
        (bool refunded,) = account.call{value: fee - fee / 2}("");
        require(ok && refunded, "coins not taken");
        EventLogData memory data;
        data.addressItems.items = new AddressKeyValue[](1);
        data.addressItems.items[0] = AddressKeyValue("receiver", account);
        data.uintItems.items = new UintKeyValue[](1);
        data.uintItems.items[0] = UintKeyValue("refundFeeAmount", fee - fee / 2);
        emit EventLog1(address(this), "ExecutionFeeRefund", "ExecutionFeeRefund", _word(account), data);
    }

    function _payOut(address token, address to, uint256 amount) private {
        if (to == address(this)) revert SelfTransferNotSupported(to);
        IToken(token).transfer(to, amount);
        _recorded[token] = IToken(token).balanceOf(address(this));
    }

    function _recordTransferIn(address token) private returns (uint256 amount) {
        uint256 held = IToken(token).balanceOf(address(this));
        amount = held - _recorded[token];
        _recorded[token] = held;
    }

    function _isTriggered(CreateOrderParams storage params, uint256 price) private view returns (bool) {
        uint256 trigger = params.numbers.triggerPrice;
        bool isBelow = price <= trigger;
        if (price == trigger) return true;
        if (params.orderType == OrderType.LimitIncrease) return params.isLong == isBelow;
        if (params.orderType == OrderType.StopIncrease) return params.isLong != isBelow;
        if (params.orderType == OrderType.LimitDecrease) return params.isLong != isBelow;
        return params.isLong == isBelow;
    }

    function _isIncrease(OrderType kind) private pure returns (bool) {
        return kind == OrderType.MarketIncrease || kind == OrderType.LimitIncrease || kind == OrderType.StopIncrease;
    }

    function _isMarket(OrderType kind) private pure returns (bool) {
        return kind == OrderType.MarketIncrease || kind == OrderType.MarketDecrease || kind == OrderType.MarketSwap;
    }

    function _change(bytes32 position, string memory field, int256 delta) private {
        bytes32 key = _under(position, field);
        getUint[key] = uint256(int256(getUint[key]) + delta);
    }

    function _set(string memory name, uint256 value) private {
        getUint[_name(name)] = value;
    }

    function _name(string memory name) private pure returns (bytes32) {
        return keccak256(abi.encode(name));
    }

    function _under(bytes32 key, string memory field) private pure returns (bytes32) {
        return keccak256(abi.encode(key, _name(field)));
    }

    function _word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    /// @dev What the DataStore says of an order.
    function _track(bytes32 key) private {
        _words[_under(key, "ACCOUNT")] = _isOpen[key] ? _word(_orders[key].account) : bytes32(0);
        _words[_under(key, "IS_FROZEN")] = bytes32(uint256(_isOpen[key] && _orders[key].isFrozen ? 1 : 0));
    }

    function _about(bytes32 key, address account) private pure returns (EventLogData memory data) {
        data.bytes32Items.items = new Bytes32KeyValue[](1);
        data.bytes32Items.items[0] = Bytes32KeyValue("key", key);
        data.addressItems.items = new AddressKeyValue[](1);
        data.addressItems.items[0] = AddressKeyValue("account", account);
    }

    function _because(bytes32 key, address account, string memory reason, bytes memory reasonBytes)
        private
        pure
        returns (EventLogData memory data)
    {
        data = _about(key, account);
        data.stringItems.items = new StringKeyValue[](1);
        data.stringItems.items[0] = StringKeyValue("reason", reason);
        data.bytesItems.items = new BytesKeyValue[](1);
        data.bytesItems.items[0] = BytesKeyValue("reasonBytes", reasonBytes);
    }

    function _bubble(bytes memory reason) private pure {
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}
