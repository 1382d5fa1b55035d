"""The genuine compiled contracts, read from the npm packages their authors publish."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from domain.errors import InputError

_HEX = re.compile(r"(0x)?[0-9a-fA-F]+")

# WETH9 is Aave's copy: the one in @uniswap/v2-periphery rejects bare ETH.
PATHS: Final[dict[str, str]] = {
    "WETH9": "@aave/core-v3/artifacts/contracts/dependencies/weth/WETH9.sol/WETH9.json",
    "MintableERC20": "@aave/core-v3/artifacts/contracts/mocks/tokens/MintableERC20.sol/MintableERC20.json",
    "UniswapV2Factory": "@uniswap/v2-core/build/UniswapV2Factory.json",
    "UniswapV2Router02": "@uniswap/v2-periphery/build/UniswapV2Router02.json",
    "UniswapV3Factory": "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
    "NonfungiblePositionManager": (
        "@uniswap/v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json"
    ),
    "SwapRouter": "@uniswap/v3-periphery/artifacts/contracts/SwapRouter.sol/SwapRouter.json",
    "SwapRouter02": "@uniswap/swap-router-contracts/artifacts/contracts/SwapRouter02.sol/SwapRouter02.json",
    "Quoter": "@uniswap/v3-periphery/artifacts/contracts/lens/Quoter.sol/Quoter.json",
    "QuoterV2": "@uniswap/swap-router-contracts/artifacts/contracts/lens/QuoterV2.sol/QuoterV2.json",
    "TickLens": "@uniswap/v3-periphery/artifacts/contracts/lens/TickLens.sol/TickLens.json",
}


class _Artifact(msgspec.Struct):
    """Hardhat puts the code at the top, waffle below `evm`; what else is there does not matter."""

    bytecode: str = ""
    evm: dict[str, object] = {}


def creation_code(name: str, folder: Path) -> bytes:
    """Give the code that deploys a contract, before its constructor's arguments.

    Raises:
        InputError: The package is missing or not what we expect.
    """
    path = folder / PATHS[name]
    try:
        artifact = msgspec.json.decode(path.read_bytes(), type=_Artifact)
    except FileNotFoundError as exc:
        raise InputError(f"the artifact of {name} is missing: {PATHS[name]}", hint="Run `make install`.") from exc
    except msgspec.MsgspecError as exc:
        raise InputError(f"the artifact of {name} is unreadable: {exc}") from exc
    code = artifact.bytecode
    if not code:
        below = artifact.evm.get("bytecode")
        code = str(below.get("object", "")) if isinstance(below, dict) else ""
    if not _HEX.fullmatch(code):
        raise InputError(f"the artifact of {name} holds no linked bytecode")
    return bytes.fromhex(code.removeprefix("0x"))
