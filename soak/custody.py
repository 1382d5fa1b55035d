"""`python -m soak.custody --kills 500 --seed 7 --json`: money moved while everything is killed, reorganised and lost.

The desk kills itself with SIGKILL at random edges of a transaction's life; its signer, or by turns the
cosigners of an MPC key, are killed while they are asked; blocks are reorganised away, up to 64 deep; the node's answers
are lost or delivered twice. Everything is drawn from the seed. At the end nothing may be missing: each intent was
executed once or not at all, as it was told, nonces have neither gaps nor two owners, and the ledger equals an index of
the chain read anew from its first block.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from chain import ChainClient, SeenTransaction
from chain.devnet import TEST_MNEMONIC, Devnet, DevnetConfig
from custody import Books
from custody.ledger import vault_account
from dex import plan_approval
from domain import Address, ChainId, InvariantError, VenueUnavailable, token_asset
from runtime import Secret, configure_logging
from runtime.database import Database
from runtime.processes import free_port
from soak.custody_processes import (
    HD_INDEX,
    WALLET,
    Orders,
    build_custody,
    doomed,
    forkserver,
    run_cosigner,
    run_desk,
    run_signer,
)
from tests.custody.faulty_node import FaultyNode
from tests.custody.mining import Miner, mined_by_hand
from tests.custody.reindex import check_against_chain, reindex
from wallets import HdWallet, KeySigner
from wallets.mpc import PartyLink, generate_wallet, init_committee, read_coordinator

_DEPTH: Final = 64
_WAIT_S: Final = 180
_KILLS_A_ROUND: Final = 50
"""Then a new chain: after some hundred reorganised blocks anvil 1.7.1 forgets contracts and receipts."""


@dataclass
class Tally:
    """What was done, and what came of it."""

    seed: int
    kills: dict[str, int] = field(default_factory=lambda: {"custody": 0, "signer": 0, "cosigner": 0})
    reorganisations: int = 0
    deepest: int = 0
    node_faults: int = 0
    intents: int = 0
    transactions: int = 0
    double_spends: int = 0
    nonce_gaps: int = 0
    lost: int = 0
    ledger_equals_reindex: bool = True
    problems: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


class Vault:
    """One account: its folder, whoever signs for it, and every intent it was given."""

    def __init__(self, folder: Path, sender: Address, signer: Path, parties: list[Callable[[], BaseProcess]]) -> None:
        self.folder, self.sender, self.signer = folder, sender, signer
        self._start = parties
        self.parties = [start() for start in parties]
        self.intents: dict[str, int] = {}
        self.has_swaps = False

    def kill_party(self, chance: random.Random) -> None:
        """Kill whoever signs, or one of them, and start it again."""
        number = chance.randrange(len(self.parties))
        _kill(self.parties[number])
        self.parties[number] = self._start[number]()

    def close(self) -> None:
        for process in self.parties:
            _kill(process)


async def run(kills: int, seed: int) -> Tally:
    """Kill so many processes, by turns over an HD key and an MPC key; after each turn hold books and chain together."""
    tally, chance = Tally(seed), random.Random(seed)
    parties = (("hd", "signer", _hd_vault), ("mpc", "cosigner", _mpc_vault))
    share = min(_KILLS_A_ROUND, max(1, kills // len(parties)))
    with tempfile.TemporaryDirectory(prefix="capstan-soak-") as root:
        number = 0
        while tally.killed < kills:
            kind, party, opened = parties[number % len(parties)]
            folder = Path(root) / f"{number}-{kind}"
            folder.mkdir()
            async with (
                await Devnet.start(DevnetConfig()) as devnet,
                devnet.client() as client,
                opened(devnet, folder) as vault,
            ):
                await _fund(devnet, client, vault)
                until = min(kills, tally.killed + share)
                await _shake(devnet, client, vault, tally, chance, party=party, until=until)
                await _judge(devnet, client, vault, tally)
            number += 1
    return tally


# --- shaking


async def _shake(
    devnet: Devnet, client: ChainClient, vault: Vault, tally: Tally, chance: random.Random, *, party: str, until: int
) -> None:
    """Give the desk work and strike, episode by episode, until enough was killed; then let it finish in peace."""
    began = int((await client.head()).number)
    async with (
        mined_by_hand(client) as miner,
        FaultyNode(devnet.world.rpc_url, seed=chance.randrange(2**32)) as node,
    ):
        orders = Orders(
            world=devnet.world.to_json(),
            rpc_url=node.url,
            folder=vault.folder,
            signer=vault.signer,
            sender=vault.sender,
            seed="0",
            is_doomed=False,
            swaps=(),
            transfers=(),
            wishes=(),
        )
        while tally.killed < until:
            orders = _more(orders, vault, chance)
            node.probability = chance.choice((0.0, 0.0, 0.05))
            strikes_party = chance.random() < 0.4
            fate = orders if strikes_party else doomed(orders, seed=f"{tally.seed}/{tally.killed}")
            process = _spawn(run_desk, fate)
            work: list[asyncio.Task[None]] = []
            if chance.random() < 0.35:
                work = [asyncio.create_task(_reorganise(client, miner, began, tally, chance))]
            if strikes_party:
                for _ in range(chance.randint(2, 4)):
                    await asyncio.sleep(chance.uniform(0.05, 0.7))
                    if process.is_alive():
                        vault.kill_party(chance)
                        tally.kills[party] += 1
            code = await _ended(process)
            await asyncio.gather(*work)
            if code == -signal.SIGKILL and not strikes_party:
                tally.kills["custody"] += 1
            elif code:
                raise InvariantError(f"the desk ended with {code}; see {vault.folder / 'desk.log'}", hint=_tail(vault))
            else:
                orders = _emptied(orders)
        node.probability = 0.0
        tally.node_faults += sum(node.faults.values())
        code = await _ended(_spawn(run_desk, orders))
        if code:
            raise InvariantError(f"the last desk ended with {code}", hint=_tail(vault))


def _more(orders: Orders, vault: Vault, chance: random.Random) -> Orders:
    """New intents and wishes, beside those that may not have been recorded when the desk died."""
    swaps, transfers, wishes = list(orders.swaps), list(orders.transfers), list(orders.wishes)
    for _ in range(chance.randint(1, 4) if len(swaps) + len(transfers) < 12 else 0):
        number = len(vault.intents)
        amount = 10**12 + number  # no two are equal
        name = f"soak-{number}"
        vault.intents[name] = amount
        (swaps if vault.has_swaps and chance.random() < 0.3 else transfers).append((name, amount))
        if chance.random() < 0.2:
            wishes.append((chance.choice(("cancel", "speed_up")), name))
    return Orders(
        **{
            **{name: getattr(orders, name) for name in Orders.__dataclass_fields__},
            "swaps": tuple(swaps),
            "transfers": tuple(transfers),
            "wishes": tuple(wishes),
            "seed": str(chance.randrange(2**32)),
        }
    )


def _emptied(orders: Orders) -> Orders:
    """The same desk when all it was told is done."""
    fields = {name: getattr(orders, name) for name in Orders.__dataclass_fields__}
    return Orders(**{**fields, "swaps": (), "transfers": (), "wishes": ()})


async def _reorganise(client: ChainClient, miner: Miner, began: int, tally: Tally, chance: random.Random) -> None:
    """Replace the newest blocks by empty ones, at some instant, as deep as the chain is not yet final."""
    await asyncio.sleep(chance.uniform(0, 0.8))
    await miner.mine(chance.randint(1, 6))
    room = min(_DEPTH, int((await client.head()).number) - began)
    depth = chance.randint(1, room)
    await miner.reorganise(depth)
    tally.reorganisations += 1
    tally.deepest = max(tally.deepest, depth)


# --- judging


async def _judge(devnet: Devnet, client: ChainClient, vault: Vault, tally: Tally) -> None:
    """Hold what was told against the chain, and the books against an index of it."""
    database = Database.at(vault.folder / "books.db")
    custody, ledger, mine = build_custody(devnet.world, client, vault.folder, _Nobody(vault.sender))
    told = {outcome.intent_id: outcome for outcome in await custody.settlements()}
    index = await reindex(client, vault.sender, after=0)
    ours = [await client.transaction(tx_hash) for hashes in index.nonces.values() for tx_hash in hashes]
    for name, amount in vault.intents.items():
        times, outcome = sum(seen is not None and _moves(seen, amount) for seen in ours), told.get(name)
        if times > 1:
            tally.double_spends += 1
            tally.problems.append(f"{name} was executed {times} times")
        if outcome is None or (outcome.status == "mined") != (times == 1):
            tally.lost += 1
            tally.problems.append(f"{name} was executed {times} times and told {outcome and outcome.status}")
    missing = set(range(await client.nonce(vault.sender))) - set(index.nonces)
    tally.nonce_gaps += len(missing) + len([1 for hashes in index.nonces.values() if len(hashes) != 1])
    tally.intents += len(vault.intents)
    tally.transactions += len(index.nonces)
    try:
        await check_against_chain(client, database, vault.sender)
    except AssertionError as exc:
        tally.ledger_equals_reindex = False
        tally.problems.append(str(exc))
    if differences := await custody.reconcile(await custody.balances()):
        tally.ledger_equals_reindex = False
        tally.problems.append(f"balances differ: {differences}")
    if not (found := await asyncio.to_thread(ledger.verify)).is_sound:
        tally.ledger_equals_reindex = False
        tally.problems.extend(found.problems)
    mine.dispose()
    database.dispose()


def _moves(seen: SeenTransaction, amount: int) -> bool:
    """Whether a transaction sends this amount: as coins, or in a swap's calldata."""
    return seen.value_wei == amount or amount.to_bytes(32, "big") in seen.data


class _Nobody:
    """Stands for the account where nothing is signed."""

    def __init__(self, address: Address) -> None:
        self.address = address


# --- vaults


@asynccontextmanager
async def _hd_vault(devnet: Devnet, folder: Path) -> AsyncIterator[Vault]:
    key = HdWallet(Secret(TEST_MNEMONIC)).signer(HD_INDEX)
    world, socket = devnet.world.to_json(), folder / "signer.sock"
    vault = Vault(folder, key.address, socket, [lambda: _spawn(run_signer, world, folder)])
    try:
        await _until(socket.exists)
        await _prepare(devnet, vault, key)
        vault.has_swaps = True
        yield vault
    finally:
        vault.close()


@asynccontextmanager
async def _mpc_vault(devnet: Devnet, folder: Path) -> AsyncIterator[Vault]:
    root, world = folder / "committee", devnet.world.to_json()
    init_committee(root, threshold=2, endpoints=[("127.0.0.1", free_port()) for _ in range(3)], is_test=True)
    starts = [lambda n=n: _spawn(run_cosigner, world, root / f"party-{n}") for n in (1, 2, 3)]
    vault = Vault(folder, Address(""), root / "coordinator", starts)
    try:
        committee, tls = read_coordinator(root / "coordinator")
        async with AsyncExitStack() as stack:
            links = [PartyLink(card, tls) for card in committee.cards]
            for link in links:
                stack.push_async_callback(link.close)
            for link in links:
                await _until(lambda link=link: _answers(link))
            vault.sender = await generate_wallet(links, WALLET, threshold=committee.threshold)
        yield vault
    finally:
        vault.close()


async def _answers(link: PartyLink) -> bool:
    with contextlib.suppress(VenueUnavailable):
        await link.ask("status")
        return True
    return False


async def _fund(devnet: Devnet, client: ChainClient, vault: Vault) -> None:
    """Coins, tokens and opened books, deeper than any reorganisation here reaches."""
    if not vault.has_swaps:
        await devnet.fund(vault.sender, eth_wei=10**21)
    custody, ledger, database = build_custody(devnet.world, client, vault.folder, _Nobody(vault.sender))
    account = vault_account(ChainId(devnet.world.chain_id), vault.sender)
    if not vault.has_swaps:
        await Books(ledger, account).open_balances("chain", await custody.balances())
    database.dispose()
    await client.rpc.request("anvil_mine", hex(_DEPTH + 2))


async def _prepare(devnet: Devnet, vault: Vault, key: KeySigner) -> None:
    """Give the router its allowance, through custody like everything else."""
    world, token = devnet.world, devnet.world.tokens["WETH"]
    await devnet.fund(key.address, tokens={"WETH": 100 * 10**18})
    chain_id = ChainId(world.chain_id)
    async with devnet.client() as client:
        custody, ledger, database = build_custody(world, client, vault.folder, key)
        await Books(ledger, vault_account(chain_id, key.address)).open_balances("chain", await custody.balances())
        await custody.start(lambda _settled: None)
        plan = plan_approval(
            intent_id="soak-allowance",
            strategy="soak",
            chain_id=chain_id,
            token=token_asset(chain_id, token.address, "WETH", token.decimals),
            token_address=token.address,
            sender=key.address,
            spender=world.contracts["SwapRouter02"],
            amount=10**26,
        )
        await custody.submit(plan)
        if not await custody.drain(30):
            raise InvariantError("the allowance was not mined")
        await custody.stop()
        database.dispose()


# --- processes


def _spawn(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = forkserver.Process(target=target, args=arguments)
    process.start()
    return process


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


async def _ended(process: BaseProcess) -> int:
    await asyncio.to_thread(process.join, _WAIT_S)
    if process.exitcode is None:
        _kill(process)
        raise InvariantError("the desk hangs")
    return process.exitcode


async def _until(condition: Callable[[], Any], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


def _tail(vault: Vault) -> str:
    log = vault.folder / "desk.log"
    return log.read_text()[-2000:] if log.exists() else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak.custody", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many processes to kill (default 500)")
    parser.add_argument("--seed", type=int, default=None, help="of everything that is drawn")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    given = parser.parse_args()
    configure_logging(level="CRITICAL")
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    began = time.monotonic()
    tally = asyncio.run(run(given.kills, seed))
    result = {
        "ok": not tally.problems and not tally.nonce_gaps,
        **{name: getattr(tally, name) for name in Tally.__dataclass_fields__},
        "killed": tally.killed,
        "seconds": round(time.monotonic() - began, 1),
    }
    if given.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
