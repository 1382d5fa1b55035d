"""The ceremony itself: mixes, makes, splits, seals, proves and closes; then everybody signs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain import Address, InputError, InvariantError
from runtime import Secret
from runtime.secrets import resolve_secret
from wallets.backup import ShareGroup, check_share, combine_shares, split_secret
from wallets.ceremony.entropy import Repeatable, mix, read_dice
from wallets.ceremony.people import Card, Person
from wallets.ceremony.plan import CeremonyPlan, DiceSource, HsmSource, OsSource
from wallets.ceremony.transcript import Step, Transcript
from wallets.hd import HdWallet, entropy_to_mnemonic, ethereum_path
from wallets.keystore import create_keystore, write_private_file

_VERSION: Final = 1
TRANSCRIPT: Final = "transcript.jsonl"


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What came of a ceremony. The phrase is gone; the shares are in the folder."""

    ceremony: str
    address: Address
    account_key: str
    transcript: Path
    shares: tuple[Path, ...]
    is_rehearsal: bool


def run_ceremony(
    plan: CeremonyPlan,
    folder: Path,
    *,
    now_ns: Callable[[], int],
    rehearsal: Secret | None = None,
    keystore: tuple[Path, Secret] | None = None,
) -> Ceremony:
    """Make a key and give it away in shares; writes the shares and the unsigned transcript into a new folder.

    Args:
        rehearsal: Entropy (hex) that all randomness comes from, so that the same key, shares and files come out again.
            The key is then a test key. Without it nothing can be repeated.
        keystore: File and password: also keep the first key, for a signer that starts at once.

    Raises:
        InputError: The plan, a card or a source of entropy is not acceptable; nothing was made.
        VenueUnavailable: The HSM of the plan is not there.
    """
    custodians, witness = plan.cards()
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty", hint="a ceremony writes into a folder of its own")
    random_bytes: Callable[[int], bytes] = os.urandom if rehearsal is None else Repeatable(_given(rehearsal))
    is_rehearsal = rehearsal is not None
    transcript, ceremony = Transcript(now_ns), random_bytes(16).hex()
    transcript.add(
        Step.OPENED,
        version=_VERSION,
        ceremony=ceremony,
        name=plan.name,
        rehearsal=is_rehearsal,
        threshold=plan.threshold,
        custodians=[card.to_json() for card in custodians],
        witness=witness.to_json(),
    )
    entropy = _entropy(plan, transcript, ceremony, random_bytes)
    wallet = HdWallet(entropy_to_mnemonic(entropy), is_test_key=is_rehearsal)
    signer, account_key = wallet.signer(0), wallet.account_key()
    transcript.add(
        Step.KEY_MADE,
        words=plan.words,
        path=ethereum_path(0),
        address=signer.address,
        account_key=account_key,
        test_key=signer.is_test_key,
    )
    group = ShareGroup(plan.threshold, len(custodians))
    (shares,) = split_secret(entropy, [group], group_threshold=1, random_bytes=random_bytes)
    transcript.add(Step.SPLIT, scheme="slip-39", threshold=group.threshold, members=group.members)
    files = [
        _deliver(folder, transcript, ceremony, card, share, seat.print, random_bytes)
        for card, share, seat in zip(custodians, shares, plan.custodian, strict=True)
    ]
    _prove(transcript, shares, signer.address)
    if keystore is not None:
        text = create_keystore(signer.reveal_private_key(), keystore[1], is_test_key=is_rehearsal)
        write_private_file(keystore[0], text)
    transcript.add(Step.CLOSED, keystore=keystore is not None)
    transcript.write(folder / TRANSCRIPT)
    return Ceremony(ceremony, signer.address, account_key, folder / TRANSCRIPT, tuple(files), is_rehearsal)


def sign_transcript(path: Path, person: Person, *, now_ns: Callable[[], int]) -> str:
    """Sign a ceremony's transcript as whoever the person is in it; gives the role.

    A custodian opens the sealed share first: a share that does not open, or is none, is not signed for.

    Raises:
        InputError: Not of this ceremony, signed already, altered, or a share that cannot be used.
    """
    transcript = Transcript.load(path, now_ns=now_ns)
    (opened,) = transcript.details(Step.OPENED)
    cards = [Card.from_json(card) for card in opened["custodians"]]
    if person.card == Card.from_json(opened["witness"]):
        role, has_opened = "witness", False
    elif person.card in cards:
        role, has_opened = "custodian", _opens(path, transcript, person)
    else:
        raise InputError(f"{person.card.name} with these keys has no part in this ceremony")
    if any(line["by"] == person.card.name for line in transcript.details(Step.SIGNED)):
        raise InputError(f"{person.card.name} has signed already")
    transcript.sign(person, role=role, opened=has_opened)
    # Beside it and renamed over it: a power cut leaves the one or the other.
    beside = path.with_suffix(".signing")
    beside.unlink(missing_ok=True)
    transcript.write(beside)
    beside.replace(path)
    return role


def open_share(path: Path, person: Person) -> Secret:
    """Open a custodian's sealed share, for `combine_shares`.

    Raises:
        InputError: Not this person's, altered, or no share.
    """
    transcript = Transcript.load(path)
    (opened,) = transcript.details(Step.OPENED)
    delivered = [one for one in transcript.details(Step.DELIVERED) if one["custodian"] == person.card.name]
    if len(delivered) != 1 or delivered[0]["form"] != "sealed":
        raise InputError(f"no share was sealed for {person.card.name}")
    file = path.parent / Path(str(delivered[0]["file"])).name
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise InputError(f"cannot read the sealed share {file}: {exc.strerror}") from exc
    if hashlib.sha256(content).hexdigest() != delivered[0]["sha256"]:
        raise InputError(f"{file} is not the share that was delivered")
    share = Secret(person.open(content.decode(errors="replace"), ceremony=opened["ceremony"]).decode())
    (split,) = transcript.details(Step.SPLIT)
    check_share(share, threshold=split["threshold"])
    return share


def _opens(path: Path, transcript: Transcript, person: Person) -> bool:
    delivered = [one for one in transcript.details(Step.DELIVERED) if one["custodian"] == person.card.name]
    if len(delivered) == 1 and delivered[0]["form"] == "printed":
        return False  # in the custodian's own hands, and read by nobody else
    open_share(path, person)
    return True


def _entropy(plan: CeremonyPlan, transcript: Transcript, ceremony: str, random_bytes: Callable[[int], bytes]) -> bytes:
    is_rehearsal = random_bytes is not os.urandom
    sources = [random_bytes(32)]
    transcript.add(Step.ENTROPY, source="given" if is_rehearsal else "os", by="", bytes=32)
    for source in plan.entropy:
        if isinstance(source, OsSource):
            continue
        found, by = _read(source, plan)
        if isinstance(source, HsmSource) and is_rehearsal:
            found = random_bytes(32)  # asked all the same: a rehearsal tries the device
        sources.append(found)
        transcript.add(Step.ENTROPY, source=source.source, by=by, bytes=len(found))
    return mix(sources, ceremony=ceremony, length=plan.words * 4 // 3)


def _read(source: HsmSource | DiceSource, plan: CeremonyPlan) -> tuple[bytes, str]:
    if isinstance(source, DiceSource):
        return read_dice(resolve_secret(source.text, base_dir=plan.folder)), source.by
    from wallets.hsm import HsmToken

    with HsmToken(source.module, source.token, resolve_secret(source.pin, base_dir=plan.folder)) as token:
        return token.random_bytes(32), source.token


def _deliver(
    folder: Path,
    transcript: Transcript,
    ceremony: str,
    card: Card,
    share: Secret,
    is_printed: bool,
    random_bytes: Callable[[int], bytes],
) -> Path:
    if is_printed:
        # No digest of it: a digest of something that a person may copy wrongly helps nobody but a guesser.
        path, text, digest = folder / f"share-{card.name}.txt", share.reveal() + "\n", ""
    else:
        path, text = folder / f"share-{card.name}.json", ""
        text = card.seal(share.reveal().encode(), ceremony=ceremony, random_bytes=random_bytes)
        digest = hashlib.sha256(text.encode()).hexdigest()
    write_private_file(path, text)
    form = "printed" if is_printed else "sealed"
    transcript.add(Step.DELIVERED, custodian=card.name, form=form, file=path.name, sha256=digest)
    return path


def _prove(transcript: Transcript, shares: list[Secret], address: Address) -> None:
    """Bring the key back from the shares, each of which takes part, and compare its address."""
    found = HdWallet(entropy_to_mnemonic(combine_shares(shares))).signer(0).address
    if found != address:
        raise InvariantError(f"the shares bring back {found}, not {address}")
    transcript.add(Step.PROVED, shares=len(shares), address=found)


def _given(entropy: Secret) -> bytes:
    try:
        return bytes.fromhex(entropy.reveal().strip().removeprefix("0x"))
    except ValueError:
        pass
    raise InputError("a rehearsal's entropy is written in hex")
