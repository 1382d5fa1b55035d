// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {stdJson} from "forge-std/StdJson.sol";
import {LibString} from "solady/utils/LibString.sol";

import {Genuine, ITokenMintable} from "./Genuine.sol";

interface IApprovable {
    function approve(address spender, uint256 amount) external returns (bool);
}

interface IBalancerSetUp {
    struct Join {
        address[] assets;
        uint256[] maxAmountsIn;
        bytes userData;
        bool fromInternalBalance;
    }

    function create(
        string calldata name,
        string calldata symbol,
        address[] calldata tokens,
        uint256 amplification,
        uint256 fee,
        address owner
    ) external returns (address);
    function getPoolId() external view returns (bytes32);
    function joinPool(bytes32 id, address sender, address recipient, Join calldata request) external payable;
}

interface IAaveSetUp {
    struct Reserve {
        address aToken;
        address stableDebt;
        address variableDebt;
        uint8 decimals;
        address rates;
        address asset;
        address treasury;
        address incentives;
        string aName;
        string aSymbol;
        string variableName;
        string variableSymbol;
        string stableName;
        string stableSymbol;
        bytes params;
    }

    function setACLAdmin(address admin) external;
    function setACLManager(address manager) external;
    function addPoolAdmin(address admin) external;
    function addAssetListingAdmin(address admin) external;
    function addEmergencyAdmin(address admin) external;
    function setPoolImpl(address implementation) external;
    function getPool() external view returns (address);
    function setPoolConfiguratorImpl(address implementation) external;
    function getPoolConfigurator() external view returns (address);
    function setPriceOracle(address oracle) external;
    function initReserves(Reserve[] calldata reserves) external;
    function setReserveFlashLoaning(address asset, bool enabled) external;
    function updateFlashloanPremiumTotal(uint128 bps) external;
    function supply(address asset, uint256 amount, address to, uint16 referral) external;
    function initialize(address provider) external;
}

/// @notice Aave's market and Balancer's Vault, from the bytecode their makers published.
abstract contract GenuineLenders is Genuine {
    using stdJson for string;

    string private constant AAVE = "node_modules/@aave/core-v3/artifacts/contracts/";
    string private constant LOGIC = "contracts/protocol/libraries/logic/";
    string private constant BALANCER = "node_modules/@balancer-labs/v2-deployments/dist/tasks/";
    uint256 private constant RAY = 1e27;

    string[8] private libraryNames = [
        "SupplyLogic",
        "BorrowLogic",
        "LiquidationLogic",
        "EModeLogic",
        "BridgeLogic",
        "ConfiguratorLogic",
        "FlashLoanLogic",
        "PoolLogic"
    ];
    mapping(string name => address) private libraries;

    function _vault(address weth) internal returns (address) {
        address authorizer = deployCode(
            string.concat(BALANCER, "20210418-authorizer/artifact/Authorizer.json"), abi.encode(address(this))
        );
        return deployCode(
            string.concat(BALANCER, "20210418-vault/artifact/Vault.json"),
            abi.encode(authorizer, weth, uint256(90 days), uint256(30 days))
        );
    }

    /// @dev Two mintable tokens in a StableSwap pool, amplification 200, fee 0.04 %.
    function _stablePool(address vault, address tokenA, uint256 amountA, address tokenB, uint256 amountB)
        internal
        returns (bytes32 id)
    {
        IBalancerSetUp factory = IBalancerSetUp(
            deployCode(
                string.concat(BALANCER, "deprecated/20210624-stable-pool/artifact/StablePoolFactory.json"),
                abi.encode(vault)
            )
        );
        (address[] memory tokens, uint256[] memory amounts) = (new address[](2), new uint256[](2));
        (tokens[0], tokens[1]) = tokenA < tokenB ? (tokenA, tokenB) : (tokenB, tokenA);
        (amounts[0], amounts[1]) = tokenA < tokenB ? (amountA, amountB) : (amountB, amountA);
        id = IBalancerSetUp(factory.create("s", "s", tokens, 200, 4e14, address(this))).getPoolId();
        for (uint256 i = 0; i < 2; ++i) {
            ITokenMintable(tokens[i]).mint(address(this), amounts[i]);
            IApprovable(tokens[i]).approve(vault, amounts[i]);
        }
        IBalancerSetUp.Join memory join = IBalancerSetUp.Join(tokens, amounts, abi.encode(uint256(0), amounts), false);
        IBalancerSetUp(vault).joinPool(id, address(this), address(this), join);
    }

    /// @dev A whole market with one mintable token that can be lent in a flash, at 5 bps.
    function _aave(address token, uint8 decimals, uint256 supplied) internal returns (address pool) {
        for (uint256 i = 0; i < 8; ++i) {
            string memory name = libraryNames[i];
            libraries[name] = _linked(string.concat("protocol/libraries/logic/", name, ".sol/", name), "");
        }
        bytes memory admin = abi.encode(address(this));
        IAaveSetUp provider = IAaveSetUp(
            _linked(_at("protocol/configuration/", "PoolAddressesProvider"), abi.encode("m", address(this)))
        );
        provider.setACLAdmin(address(this));
        bytes memory known = abi.encode(provider);
        IAaveSetUp roles = IAaveSetUp(_linked(_at("protocol/configuration/", "ACLManager"), known));
        provider.setACLManager(address(roles));
        roles.addPoolAdmin(abi.decode(admin, (address)));
        roles.addAssetListingAdmin(address(this));
        roles.addEmergencyAdmin(address(this));
        address implementation = _linked(_at("protocol/pool/", "Pool"), known);
        IAaveSetUp(implementation).initialize(address(provider));
        provider.setPoolImpl(implementation);
        pool = provider.getPool();
        _list(provider, pool, token, decimals);
        ITokenMintable(token).mint(address(this), supplied);
        IApprovable(token).approve(pool, supplied);
        IAaveSetUp(pool).supply(token, supplied, address(this), 0);
    }

    function _list(IAaveSetUp provider, address pool, address token, uint8 decimals) private {
        address implementation = _linked(_at("protocol/pool/", "PoolConfigurator"), "");
        IAaveSetUp(implementation).initialize(address(provider));
        provider.setPoolConfiguratorImpl(implementation);
        IAaveSetUp configurator = IAaveSetUp(provider.getPoolConfigurator());
        (address[] memory assets, address[] memory feeds) = (new address[](1), new address[](1));
        assets[0] = token;
        feeds[0] = _linked(_at("mocks/oracle/CLAggregators/", "MockAggregator"), abi.encode(int256(1e8)));
        provider.setPriceOracle(
            _linked(
                _at("misc/", "AaveOracle"), abi.encode(provider, assets, feeds, address(0), address(0), uint256(1e8))
            )
        );
        IAaveSetUp.Reserve[] memory reserves = new IAaveSetUp.Reserve[](1);
        reserves[0].aToken = _linked(_at("protocol/tokenization/", "AToken"), abi.encode(pool));
        reserves[0].stableDebt = _linked(_at("protocol/tokenization/", "StableDebtToken"), abi.encode(pool));
        reserves[0].variableDebt = _linked(_at("protocol/tokenization/", "VariableDebtToken"), abi.encode(pool));
        reserves[0].decimals = decimals;
        reserves[0].rates = _rates(address(provider));
        reserves[0].asset = token;
        reserves[0].treasury = address(this);
        reserves[0].params = hex"10";
        configurator.initReserves(reserves);
        configurator.setReserveFlashLoaning(token, true);
        configurator.updateFlashloanPremiumTotal(5);
    }

    function _rates(address provider) private returns (address) {
        uint256 percent = RAY / 100;
        return _linked(
            _at("protocol/pool/", "DefaultReserveInterestRateStrategy"),
            abi.encode(
                provider,
                80 * percent,
                uint256(0),
                4 * percent,
                60 * percent,
                percent / 2,
                60 * percent,
                percent,
                8 * percent,
                20 * percent
            )
        );
    }

    function _at(string memory folder, string memory name) private pure returns (string memory) {
        return string.concat(folder, name, ".sol/", name);
    }

    /// @dev Puts the libraries' addresses where Hardhat left `__$…$__`: a hash of the library's full name.
    function _linked(string memory path, bytes memory arguments) private returns (address) {
        string memory code = vm.readFile(string.concat(AAVE, path, ".json")).readString(".bytecode");
        for (uint256 i = 0; i < 8; ++i) {
            string memory name = libraryNames[i];
            if (libraries[name] == address(0)) continue;
            bytes32 hash = keccak256(bytes(string.concat(LOGIC, name, ".sol:", name)));
            string memory digits = LibString.slice(LibString.toHexStringNoPrefix(uint256(hash), 32), 0, 34);
            code = LibString.replace(
                code,
                string.concat("__$", digits, "$__"),
                LibString.toHexStringNoPrefix(uint256(uint160(libraries[name])), 20)
            );
        }
        return _create(abi.encodePacked(vm.parseBytes(code), arguments));
    }
}
