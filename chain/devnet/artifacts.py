"""The genuine compiled contracts, read from the npm packages their authors publish."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from chain.keccak import keccak256
from domain.errors import InputError

_HEX = re.compile(r"(0x)?[0-9a-fA-F]+")
_LITERAL = re.compile(rb'hex"([0-9a-f]+)"')
_LITERAL_TS = re.compile(rb"multicall3Bytecode =\s*'0x([0-9a-f]+)'")
_V4 = "@uniswap/v4-periphery/foundry-out"
_AAVE = "@aave/core-v3/artifacts/contracts"
_SAFE = "@safe-global/safe-contracts/build/artifacts/contracts"
_BALANCER = "@balancer-labs/v2-deployments/dist/tasks"

AAVE_LIBRARIES: Final = (
    *("SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic"),
    *("BridgeLogic", "ConfiguratorLogic", "FlashLoanLogic", "PoolLogic"),
)
"""The parts Aave's pool is linked with, each after those it needs itself."""

# WETH9 is Aave's copy: the one in @uniswap/v2-periphery rejects bare ETH.
PATHS: Final[dict[str, str]] = {
    "WETH9": "@aave/core-v3/artifacts/contracts/dependencies/weth/WETH9.sol/WETH9.json",
    "MintableERC20": "@aave/core-v3/artifacts/contracts/mocks/tokens/MintableERC20.sol/MintableERC20.json",
    "UniswapV2Factory": "@uniswap/v2-core/build/UniswapV2Factory.json",
    "UniswapV2Pair": "@uniswap/v2-core/build/UniswapV2Pair.json",
    "UniswapV2Router02": "@uniswap/v2-periphery/build/UniswapV2Router02.json",
    "UniswapV3Factory": "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
    "UniswapV3Pool": "@uniswap/v3-core/artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool.json",
    "NonfungiblePositionManager": (
        "@uniswap/v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json"
    ),
    "SwapRouter": "@uniswap/v3-periphery/artifacts/contracts/SwapRouter.sol/SwapRouter.json",
    "SwapRouter02": "@uniswap/swap-router-contracts/artifacts/contracts/SwapRouter02.sol/SwapRouter02.json",
    "Quoter": "@uniswap/v3-periphery/artifacts/contracts/lens/Quoter.sol/Quoter.json",
    "QuoterV2": "@uniswap/swap-router-contracts/artifacts/contracts/lens/QuoterV2.sol/QuoterV2.json",
    "TickLens": "@uniswap/v3-periphery/artifacts/contracts/lens/TickLens.sol/TickLens.json",
    "PoolManager": "@uniswap/v4-core/out/PoolManager.sol/PoolManager.json",
    "DynamicFeeHook": "@uniswap/v4-core/out/DynamicFeesTestHook.sol/DynamicFeesTestHook.json",
    "PositionManager": f"{_V4}/PositionManager.sol/PositionManager.json",
    "V4Quoter": f"{_V4}/V4Quoter.sol/V4Quoter.json",
    "StateView": f"{_V4}/StateView.sol/StateView.json",
    "UniversalRouter": "@uniswap/universal-router/artifacts/contracts/UniversalRouter.sol/UniversalRouter.json",
    "BalancerAuthorizer": f"{_BALANCER}/20210418-authorizer/artifact/Authorizer.json",
    "BalancerVault": f"{_BALANCER}/20210418-vault/artifact/Vault.json",
    "BalancerStablePoolFactory": f"{_BALANCER}/deprecated/20210624-stable-pool/artifact/StablePoolFactory.json",
    "BalancerWeightedPoolFactory": f"{_BALANCER}/deprecated/20210418-weighted-pool/artifact/WeightedPoolFactory.json",
    **{f"Aave{name}": f"{_AAVE}/protocol/libraries/logic/{name}.sol/{name}.json" for name in AAVE_LIBRARIES},
    "AavePoolAddressesProvider": (
        f"{_AAVE}/protocol/configuration/PoolAddressesProvider.sol/PoolAddressesProvider.json"
    ),
    "AaveACLManager": f"{_AAVE}/protocol/configuration/ACLManager.sol/ACLManager.json",
    "AavePoolCode": f"{_AAVE}/protocol/pool/Pool.sol/Pool.json",
    "AavePoolConfigurator": f"{_AAVE}/protocol/pool/PoolConfigurator.sol/PoolConfigurator.json",
    "AaveRates": (
        f"{_AAVE}/protocol/pool/DefaultReserveInterestRateStrategy.sol/DefaultReserveInterestRateStrategy.json"
    ),
    "AaveAToken": f"{_AAVE}/protocol/tokenization/AToken.sol/AToken.json",
    "AaveStableDebt": f"{_AAVE}/protocol/tokenization/StableDebtToken.sol/StableDebtToken.json",
    "AaveVariableDebt": f"{_AAVE}/protocol/tokenization/VariableDebtToken.sol/VariableDebtToken.json",
    "SafeL2": f"{_SAFE}/SafeL2.sol/SafeL2.json",
    "SafeProxyFactory": f"{_SAFE}/proxies/SafeProxyFactory.sol/SafeProxyFactory.json",
    "SafeFallbackHandler": f"{_SAFE}/handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler.json",
    "SafeMultiSendCallOnly": f"{_SAFE}/libraries/MultiSendCallOnly.sol/MultiSendCallOnly.json",
    "EntryPoint": "@account-abstraction/contracts/artifacts/EntryPoint.json",
    "SimpleAccountFactory": "@account-abstraction/contracts/artifacts/SimpleAccountFactory.json",
}

_MULTICALL3: Final = "viem/constants/contracts.ts"
_PERMIT2: Final = "@uniswap/v4-periphery/lib/permit2/test/utils/DeployPermit2.sol"


class _Artifact(msgspec.Struct):
    """Hardhat puts the code at the top, forge below `bytecode`, waffle below `evm`; what else is there is no matter."""

    bytecode: str | dict[str, object] = ""
    evm: dict[str, object] = {}


def creation_code(name: str, folder: Path, libraries: Mapping[str, str] | None = None) -> bytes:
    """Give the code that deploys a contract, before its constructor's arguments.

    `libraries` are addresses by full name (`contracts/Pool.sol:Logic`), put where the compiler left room for them.

    Raises:
        InputError: The package is missing or not what we expect.
    """
    return artifact_code(PATHS[name], folder, libraries)


def artifact_code(path: str, folder: Path, libraries: Mapping[str, str] | None = None) -> bytes:
    """Give the creation code of any artifact, by its path below `node_modules`.

    Raises:
        InputError: The package is missing or not what we expect.
    """
    name = Path(path).stem
    try:
        artifact = msgspec.json.decode(_read(folder / path, name), type=_Artifact)
    except msgspec.MsgspecError as exc:
        raise InputError(f"the artifact of {name} is unreadable: {exc}") from exc
    code = artifact.bytecode or artifact.evm.get("bytecode") or ""
    text = str(code.get("object", "")) if isinstance(code, dict) else str(code)
    for library, address in (libraries or {}).items():
        # solc marks the place of a library with the first 17 bytes of its name's hash.
        text = text.replace(f"__${keccak256(library.encode()).hex()[:34]}$__", address[2:].lower())
    if not _HEX.fullmatch(text):
        raise InputError(f"the artifact of {name} holds no linked bytecode")
    return bytes.fromhex(text.removeprefix("0x"))


def permit2_runtime(folder: Path) -> bytes:
    """Give Permit2's deployed code, which its authors publish as a literal in a Solidity file.

    Raises:
        InputError: The package is missing or not what we expect.
    """
    found = _LITERAL.search(_read(folder / _PERMIT2, "Permit2"))
    if found is None:
        raise InputError(f"no bytecode of Permit2 in {_PERMIT2}")
    return bytes.fromhex(found[1].decode())


def multicall3_creation(folder: Path) -> bytes:
    """Give the code that deploys Multicall3, which viem publishes as a constant.

    Raises:
        InputError: The package is missing or not what we expect.
    """
    found = _LITERAL_TS.search(_read(folder / _MULTICALL3, "Multicall3"))
    if found is None:
        raise InputError(f"no bytecode of Multicall3 in {_MULTICALL3}")
    return bytes.fromhex(found[1].decode())


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"the artifact of {name} is missing: {path.name}", hint="Run `make install`.") from exc
