"""ERC-7730 descriptors: operators add readable call types as JSON, with the ABI inside.

A descriptor binds (chain, contract, method) to labels and formats. It grants readability, never permission: what the
call does to funds it does not say, so `DecodedCall.is_described` is set and policy must be told otherwise. Everything
is shown: a field the descriptor excludes is printed raw. Formats read are raw, amount, tokenAmount, addressName,
tokenTicker, date (timestamp), duration, unit and enum; anything else refuses the descriptor when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from chain import checksum, parse_address
from custody.calls.canonical import Description, Descriptions, Place, canonical
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown
from custody.calls.signatures import Argument, parse_signature
from domain import Address, InputError, Refused

_FORMATS: Final = frozenset(
    {"raw", "amount", "tokenAmount", "addressName", "tokenTicker", "date", "duration", "unit", "enum"}
)
DESCRIBED: Final = "described:"
"""Before a described method's name, so that allowing `transfer` never allows what a descriptor calls so."""
_ADDRESS_FORMATS: Final = frozenset({"addressName", "tokenTicker"})
_VALUE_PATHS: Final = ("@.value", "$.value")


def load_descriptors(documents: Iterable[Mapping[str, Any]]) -> Descriptions:
    """Read descriptors; later ones do not replace earlier ones.

    Raises:
        InputError: One is malformed, uses a format that is not read, or describes a method twice.
    """
    found: dict[tuple[int, Address, bytes], Description] = {}
    for document in documents:
        try:
            parts = list(_load(document))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise InputError(f"a descriptor cannot be read: {type(exc).__name__}: {exc}") from exc
        for key, description in parts:
            if key in found:
                raise InputError(f"method 0x{key[2].hex()} of {key[1]} on chain {key[0]} is described twice")
            found[key] = description
    return MappingProxyType(found)


@dataclass(frozen=True, slots=True)
class _Field:
    label: str
    path: tuple[str, ...]
    """Names and indexes from the arguments down; `[]` is every element; empty: coins sent along."""
    format: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Described:
    """One method with its words."""

    name: str
    types: tuple[str, ...]
    arguments: tuple[Argument, ...]
    intent: str
    fields: tuple[_Field, ...]
    takes_coins: bool

    def read(self, data: bytes, place: Place) -> DecodedCall:
        """Decode a call; raises as `decode_call`."""
        values = canonical(self.name, self.types, data[4:])
        named = {arg.name: _named(arg, value) for arg, value in zip(self.arguments, values, strict=True)}
        shown: list[Shown] = []
        for field in self.fields:
            for value in _select(named, field.path) if field.path else [place.value_wei]:
                shown.append(_show(field, value, named, place))
        return DecodedCall(
            f"{DESCRIBED}{self.name}",
            NOTHING,
            NOTHING,
            NOTHING,
            coins_wei=place.value_wei if self.takes_coins else 0,
            action=self.intent,
            shown=tuple(shown),
            warnings=("read by a descriptor: its words are the operator's, and what moves is not known",),
            others=frozenset(item.value for item in shown if item.kind in (Kind.ADDRESS, Kind.TOKEN)),
            is_described=True,
        )


def _load(document: Mapping[str, Any]) -> Iterable[tuple[tuple[int, Address, bytes], _Described]]:
    contract = document["context"]["contract"]
    deployments = [(int(d["chainId"]), parse_address(d["address"])) for d in contract["deployments"]]
    if not deployments:
        raise InputError("a descriptor without deployments would fit every contract")
    methods = {signature.selector: signature for signature in _abi(contract.get("abi", ()))}
    for text, fmt in document["display"]["formats"].items():
        signature = parse_signature(text)
        if methods and signature.selector not in methods:
            raise InputError(f"{text} is not in the descriptor's ABI")
        named = (
            methods.get(signature.selector, signature) if not all(a.name for a in signature.arguments) else signature
        )
        if not all(argument.name for argument in named.arguments):
            raise InputError(f"{text}: arguments need names, here or in the ABI")
        fields = tuple(_fields(fmt, document))
        described = _Described(
            signature.name,
            signature.types,
            named.arguments,
            str(fmt["intent"]),
            _complete(named.arguments, fields),
            any(not field.path for field in fields),
        )
        for chain_id, address in deployments:
            yield (chain_id, address, signature.selector), described


def _abi(abi: Any) -> Iterable[Any]:
    if isinstance(abi, str):
        raise InputError("the ABI must be inside the descriptor, not behind a link")
    for item in abi:
        if item.get("type") == "function":
            arguments = tuple(Argument.from_abi(each) for each in item["inputs"])
            yield parse_signature(f"{item['name']}({','.join(map(str, arguments))})")


def _fields(fmt: Mapping[str, Any], document: Mapping[str, Any]) -> Iterable[_Field]:
    for field in fmt["fields"]:
        if "fields" in field or "$ref" in field:
            raise InputError("nested and referenced fields are not read: write them out")
        params = {name: _resolve(value, document) for name, value in field.get("params", {}).items()}
        kind = field.get("format", "raw")
        if kind not in _FORMATS:
            raise InputError(f"format {kind!r} is not read; known are {', '.join(sorted(_FORMATS))}")
        if kind == "tokenAmount" and not {"token", "tokenPath"} & params.keys():
            raise InputError("a tokenAmount needs token or tokenPath")
        if kind == "enum" and not isinstance(params.get("$ref"), Mapping):
            raise InputError("an enum needs a $ref into metadata.enums")
        if kind == "date" and params.get("encoding", "timestamp") != "timestamp":
            raise InputError("a date is read as a timestamp; the time of a block is not known when signing")
        if kind == "unit":
            params["decimals"] = int(params.get("decimals", 0))
            str(params["base"])
        path = field["path"]
        yield _Field(str(field["label"]), () if path in _VALUE_PATHS else _path(path), kind, MappingProxyType(params))


def _resolve(value: Any, document: Mapping[str, Any]) -> Any:
    """Follow `$.metadata.…` into the descriptor."""
    if isinstance(value, str) and value.startswith("$.metadata."):
        found: Any = document
        for name in value.removeprefix("$.").split("."):
            found = found[name]
        return found
    return value


def _path(text: str) -> tuple[str, ...]:
    steps = tuple(text.removeprefix("#.").replace(".[", "[").replace("[", ".[").split("."))
    if not all(steps) or any(step.startswith("[") and step[1:-1] and not _is_index(step) for step in steps):
        raise InputError(f"path {text!r} is not read: names, [index] and [] are")
    return steps


def _is_index(step: str) -> bool:
    return step.endswith("]") and step[1:-1].removeprefix("-").isdigit()


def _complete(arguments: tuple[Argument, ...], fields: tuple[_Field, ...]) -> tuple[_Field, ...]:
    """Add, raw, every leaf that no field covers; and refuse fields that lead nowhere."""
    leaves = [leaf for argument in arguments for leaf in argument.leaves()]
    covered = set()
    for field in fields:
        hits = [leaf for leaf in leaves if _covers(field.path, leaf)]
        if field.path and not hits:
            raise InputError(f"path {'.'.join(field.path)} leads to no value")
        if not any(step.startswith("[") and step != "[]" for step in field.path):
            covered.update(hits)  # one element of a list does not stand for all of them
    rest = tuple(
        _Field("Also " + ".".join(leaf), leaf, "raw", MappingProxyType({})) for leaf in leaves if leaf not in covered
    )
    return (*fields, *rest)


def _covers(path: tuple[str, ...], leaf: tuple[str, ...]) -> bool:
    return len(path) == len(leaf) and all(
        step == other or (step.startswith("[") and other == "[]") for step, other in zip(path, leaf, strict=True)
    )


def _named(argument: Argument, value: Any) -> Any:
    """Give tuples the names of their components."""
    if argument.is_list:
        return [_named(argument.element(), each) for each in value]
    if argument.components:
        return {part.name: _named(part, each) for part, each in zip(argument.components, value, strict=True)}
    return value


def _select(value: Any, path: tuple[str, ...]) -> list[Any]:
    if not path:
        return [value]
    step, rest = path[0], path[1:]
    if step == "[]":
        return [found for each in value for found in _select(each, rest)]
    if step.startswith("["):
        try:
            return _select(value[int(step[1:-1])], rest)
        except IndexError as exc:
            raise Refused("a described list has no such element", rule="unreadable") from exc
    return _select(value[step], rest)


def _show(field: _Field, value: Any, named: Mapping[str, Any], place: Place) -> Shown:
    params, label, kind = field.params, field.label, field.format
    if kind in _ADDRESS_FORMATS:
        return Shown(label, Kind.TOKEN if kind == "tokenTicker" else Kind.ADDRESS, _address(value))
    if kind == "enum":
        names = params["$ref"]
        if str(value) not in names:
            raise Refused(f"{label}: {value!r} is not among the descriptor's names", rule="unreadable")
        return Shown(label, Kind.WORDS, f"{names[str(value)]} ({value})")
    if kind == "raw" or type(value) is not int:
        return _raw(label, value)
    return _number_shown(field, value, named, place)


def _number_shown(field: _Field, value: int, named: Mapping[str, Any], place: Place) -> Shown:
    params, label = field.params, field.label
    if field.format == "unit":
        return Shown(label, Kind.UNIT, (value, params["decimals"], str(params["base"])))
    if field.format == "tokenAmount":
        if "threshold" in params and value >= _number(params["threshold"]):
            return Shown(label, Kind.WORDS, f"{params.get('message', 'Unlimited')} (raw {value})")
        return Shown(label, Kind.TOKEN_AMOUNT, value, _token(params, named, place))
    return Shown(label, {"amount": Kind.COINS, "date": Kind.DATE, "duration": Kind.DURATION}[field.format], value)


def _token(params: Mapping[str, Any], named: Mapping[str, Any], place: Place) -> Address:
    if "token" in params:
        return checksum(params["token"])
    path = params["tokenPath"]
    if path in ("@.to", "$.to"):
        return place.to
    (token,) = _select(named, _path(path))
    return _address(token)


def _raw(label: str, value: Any) -> Shown:
    if isinstance(value, bool):
        return Shown(label, Kind.WORDS, "true" if value else "false")
    if isinstance(value, int):
        return Shown(label, Kind.NUMBER, value)
    if isinstance(value, bytes):
        return Shown(label, Kind.BYTES, value)
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return Shown(label, Kind.ADDRESS, checksum(value))
    if isinstance(value, str):
        return Shown(label, Kind.TEXT, value)
    raise Refused(f"{label}: a value without words", rule="unreadable")


def _address(value: Any) -> Address:
    if not isinstance(value, str):
        raise Refused("an address was described where there is none", rule="unreadable")
    return checksum(value)


def _number(value: Any) -> int:
    return int(value, 0) if isinstance(value, str) else int(value)
