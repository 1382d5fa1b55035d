"""Takes secrets out of what is written: log lines, tracebacks, errors for people.

Four nets, each for what the others do not see:

- **names**: a field, a header or `name=value` in text whose name says that it is secret;
- **forms**: text in a form that secrets have: tokens with a prefix, JWTs, keys in PEM, extended and WIF keys, URLs with
  a user, a key in their path or in their query;
- **words**: twelve or more of a mnemonic's words in a row (BIP-39, SLIP-39);
- **known values**: what this process resolved from a reference (`runtime.secrets`), known by a keyed hash of it, since
  the value itself is not to be kept.

What none of them sees: 32 bytes in hex under a name that says nothing. That is how hashes of transactions look. The
code that holds such keys never writes them; of bytes, only how many they are is written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

HIDDEN: Final = "***"
KNOWN_CHARS_MIN: Final = 8
"""Shorter secrets are not looked for in text: they would take words out of it that are none."""
CHARS_MAX: Final = 32 * 1024
_DEPTH_MAX: Final = 12

# --- names

_WORDS: Final = frozenset(
    (
        "secret", "secrets", "password", "passwords", "passwd", "pwd", "passphrase", "mnemonic", "seed", "pin", "totp",
        "otp", "wif", "xprv", "jwt", "bearer", "cookie", "cookies", "authorization", "credential", "credentials",
        "ticket", "apikey", "privatekey",
    )
)  # fmt: skip
_PAIRS: Final = frozenset(
    (
        "private_key", "secret_key", "signing_key", "routing_key", "integration_key", "encryption_key", "access_key",
        "service_key", "api_key", "access_token", "refresh_token", "id_token", "auth_token", "session_token",
        "bearer_token", "bot_token", "api_token", "device_token", "push_token", "token_value", "recovery_code",
        "recovery_codes", "step_up", "key_material",
    )
)  # fmt: skip
_PARTS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether what is called so is not to be seen: `client_secret`, `apiKey`, `X-MBX-APIKEY`, `Set-Cookie`."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not _WORDS.isdisjoint(parts):
        return True
    return any(f"{first}_{second}" in _PAIRS for first, second in pairwise(parts))


# --- forms

_B58: Final = "1-9A-HJ-NP-Za-km-z"
_NAMED: Final = (
    r"(?:secret(?:[_\- ]?key)?|password|passwd|pwd|passphrase|mnemonic|seed[_\- ]phrase|recovery[_\- ]codes?"
    r"|totp[_\- ]seed|(?<![a-z0-9])(?:seed|pin|t?otp|wif|jwt|ticket)"
    r"|(?:private|signing|routing|integration|encryption|access|service|api)[_\- ]?key"
    r"|(?:access|refresh|id|auth|session|bearer|bot|api|device|push)[_\- ]?token)"
)
_QUOTED: Final = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_FORMS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL if flags else re.DOTALL), written)
    for pattern, written, flags in (
        (r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20})-----.*?(?:-----END \1-----|\Z)",
         rf"-----{HIDDEN}-----", True),
        (r"\botpauth(-migration)?://[^\s'\"<>]+", f"otpauth://{HIDDEN}", True),
        # The user of a URL goes too: for some services it is the key.
        (r"\b([a-z][a-z0-9+.\-]{0,30}://)[^\s/?#'\"<>]*@", rf"\1{HIDDEN}@", True),
        # Headers, in whichever form a library shows them: a line, a mapping, a list of pairs of bytes.
        (
            r"\b((?:proxy-)?authorization|(?:set-)?cookie|step-up|(?:api|x-api|x-mbx)-?key|x-auth-token|api-signature)"
            r"(['\"]?\s*[:=]\s*|['\"]\s*,\s*)(b?)(?:" + _QUOTED + r"|[^\r\n'\"]+)",
            rf"\1\2\3'{HIDDEN}'", True,
        ),
        (r"\b(bearer|basic|digest|token)\s+(?!0x)[a-z0-9._~+/=\-]{16,}", rf"\1 {HIDDEN}", True),
        (rf"({_NAMED})(['\"]?\s*[:=]\s*b?)(?:{_QUOTED})", rf"\1\2'{HIDDEN}'", True),
        # A token may be a coin, told by its symbol or its address.
        (r"([?&]token=)(?!0x)[^\s&;,'\"<>]+", rf"\1{HIDDEN}", True),
        (r"(?<![a-z0-9])(token['\"]?\s*[:=]\s*b?['\"]?)(?!0x)[\w.~+/=\-]{16,}", rf"\1{HIDDEN}", True),
        # Words until the line ends: a phrase has blanks in it.
        (r"((?:passphrase|mnemonic|(?:seed|recovery)[_\- ]phrase)\s*[:=]\s*)[^\r\n]+",
         rf"\1{HIDDEN}", True),
        (rf"({_NAMED}=)[^\s&;,'\"<>)\]}}]+", rf"\1{HIDDEN}", True),
        # After a colon people write prose too: "password: too short". What could be a secret has no second word.
        (rf"({_NAMED}\s*:\s+)(?![a-z]+\s+[a-z]|\w+(?:Error|Exception)\b)[^\s&;,'\"<>)\]}}*]+",
         rf"\1{HIDDEN}", True),
        (r"\b((?:private|secret|signing|priv)[ _-]?key\W{1,4}|seed\W{1,4})(?:0x)?[0-9a-f]{64}\b", rf"\1{HIDDEN}", True),
        (r"\b((?:totp|otp|one-time|recovery)(?: code)?\W{1,3})[a-z0-9-]{6,20}\b(?<=[0-9a-z]{4})", rf"\1{HIDDEN}", True),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", HIDDEN, False),
        # Ours (`rt_`, `su_`, `tk_`, …: a word and 256 bits), webhooks', and the forms of others that scanners know.
        (r"\b(?:whsec_[\w+/=-]{16,}|[a-z]{2,12}_[\w-]{40,}|(?:sk|rk|pk)_(?:live|test)_\w{16,}|gh[oprsu]_\w{20,}"
         r"|xox[a-z]-[\w-]{10,}|github_pat_\w{20,}|AGE-SECRET-KEY-1[A-Z0-9]{20,})", HIDDEN, False),
        (rf"\b[xyztuvYZUV]prv[{_B58}]{{50,}}", HIDDEN, False),
        (rf"(?<![\w])[5KL9c][{_B58}]{{50,51}}(?![\w])", HIDDEN, False),
    )
)  # fmt: skip
_URL: Final = re.compile(r"\b(?:https?|wss?)://[^\s'\"<>]+", re.IGNORECASE)
_KEY_IN_PATH: Final = re.compile(r"(?<=/)(?!0x)(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[\w-]{20,}(?=[/?#.,;:)\]]|$)")
_PHRASE: Final = re.compile(r"\b[a-z]{3,8}(?:[ ,\t\r\n]+[a-z]{3,8}\b){11,}")
_WORD: Final = re.compile(r"[a-z]+")

# Most fields are an id, a number, a route, and most lines have nothing of the kind: a look or two decide that.
_PLAIN: Final = re.compile(r"[\w.:/{}-]{0,36}")
_SHORT_FORMS: Final = re.compile(r"//|whsec_|[srp]k_(?:live|test)_|gh[oprsu]_|xox[a-z]-|AGE-SECRET")
"""What is a secret though it is as short and plain as an id."""
_WORTH_A_LOOK: Final = re.compile(
    r"://|-----|secret|pass|pwd|mnemonic|seed|\bpin|otp|wif|jwt|key|token|ticket|recovery|authorization|cookie|step-up"
    r"|bearer|basic|digest|signature|eyJ|_[\w+/=-]{16}|prv[1-9]|xox|one-time|AGE-|[\w]{51}"
    r"|(?:[a-z]{3,8}[ ,\t\r\n]+){11}",
    re.IGNORECASE,
)  # fmt: skip

# --- known values

_HASH_KEY: Final = os.urandom(32)
_known: dict[int, set[bytes]] = {}  # By length: what is as long as no secret is not hashed.
_SPLIT: Final = re.compile(r"[\s\"'`=,;&<>(){}\[\]|]+")
_SPLIT_FINER: Final = re.compile(r"[:/@?#]+")


def remember(secret: str) -> None:
    """Have a value taken out of everything that this process writes from now on. Only a keyed hash of it is kept."""
    if len(secret) >= KNOWN_CHARS_MIN:
        _known.setdefault(len(secret), set()).add(_digest(secret))


def _is_known(text: str) -> bool:
    found = _known.get(len(text))
    return found is not None and _digest(text) in found


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=_HASH_KEY, digest_size=16).digest()


def _hide_known(text: str) -> str:
    if _is_known(text):
        return HIDDEN
    words = [word for word in _SPLIT.split(text) if len(word) >= KNOWN_CHARS_MIN]
    for part in {*words, *(part for word in words for part in _SPLIT_FINER.split(word))}:
        if _is_known(part):
            text = text.replace(part, HIDDEN)
    return text


# --- what is written


def redact_text(text: str) -> str:
    """Give a text without the secrets in it; of one beyond any use, its beginning."""
    if len(text) > CHARS_MAX:
        text = f"{text[:CHARS_MAX]}… ({len(text)} characters)"
    if _known and len(text) >= KNOWN_CHARS_MIN:
        text = _hide_known(text)
    if _PLAIN.fullmatch(text) is not None and _SHORT_FORMS.search(text) is None:
        return text
    if _WORTH_A_LOOK.search(text) is None:
        return text
    for pattern, written in _FORMS:
        text = pattern.sub(written, text)
    text = _URL.sub(lambda found: _KEY_IN_PATH.sub(HIDDEN, found[0]), text)
    return _PHRASE.sub(_without_phrase, text)


def redact(value: Any, *, depth: int = 0) -> Any:
    """Give a value of a log's field as what JSON has, without the secrets in it. The value given stays as it is."""
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return "…" if depth >= _DEPTH_MAX else _redact_whole(value, depth + 1)


def _redact_whole(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {redact_text(str(name)): _named(str(name), item, depth=depth) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth=depth) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return redact(
            {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}, depth=depth
        )
    return redact_text(str(value) if isinstance(value, BaseException) else repr(value))


def redact_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give a log line's fields without the secrets in them."""
    return {redact_text(name): _named(name, value, depth=0) for name, value in fields.items()}


def _named(name: str, value: Any, *, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if is_secret_name(name):
        return HIDDEN
    # A token may be a coin: its name or address is shown, and anything longer is not.
    if name.lower() in ("token", "tokens", "x-auth-token") and not _is_coin(value):
        return HIDDEN
    return redact(value, depth=depth)


def _is_coin(value: Any) -> bool:
    text = str(value)
    return len(text) <= 12 or re.fullmatch(r"(?:[\w/.:-]{1,20}[:/])?0x[0-9a-fA-F]{40}", text) is not None


def _without_phrase(found: re.Match[str]) -> str:
    """Prose stays; of a phrase nothing does."""
    words, run, longest = _mnemonic_words(), 0, 0
    for word in _WORD.findall(found[0]):
        run = run + 1 if word in words else 0
        longest = max(longest, run)
    return HIDDEN if longest >= 12 else found[0]


@lru_cache(1)
def _mnemonic_words() -> frozenset[str]:
    """The words of BIP-39 and SLIP-39, from the files of the libraries that make them, which are not loaded for it."""
    files = (("eth_account", "hdaccount/wordlist/english.txt"), ("shamir_mnemonic", "wordlist.txt"))
    found: set[str] = set()
    for package, name in files:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            found.update((Path(folder) / name).read_text(encoding="utf-8").split())
    return frozenset(found)
