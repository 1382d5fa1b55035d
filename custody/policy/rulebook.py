"""Reading a policy document: a YAML of few words, its data, and the digest that names it.

The digest is over the data, as canonical JSON: comments, quotes and the order of keys do not change it, and defaults of
a later release cannot. What is signed is therefore what was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml
from pydantic import ValidationError

from custody.policy.schema import PolicyDocument
from domain import InputError

_TAG: Final = b"capstan/policy/v1\n"
_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rulebook:
    """A document that was read and found sound."""

    document: PolicyDocument
    data: Mapping[str, Any]
    """As it was written."""
    digest: str

    @property
    def version(self) -> int:
        return self.document.version


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML without surprises: only `true`, `false`, `null` and decimal integers are not text. No aliases, no tags."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.constructor.ConstructorError(None, None, "anchors and aliases are not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int) or key in seen:
                problem = f"{key!r} is there twice" if isinstance(key, str | int) else "a key is a word or a number"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen[key] = self.construct_object(value_node, deep=True)
        return seen


# YAML 1.1 reads 0x… as a number, 09:30 as 570 and `on` as true; here they are the text that they look like.
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^(?:0|-?[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_mapping)


def parse_yaml(text: str, what: str = "policy") -> dict[str, Any]:
    """Read YAML; a key that is there twice is an error, and so is anything but plain data.

    Raises:
        InputError: Saying where.
    """
    if len(text.encode()) > _BYTES_MAX:
        raise InputError(f"{what} is larger than {_BYTES_MAX} bytes")
    try:
        data = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise InputError(f"{what} is not usable YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(data, dict):
        raise InputError(f"{what} must be a mapping")
    return data


def read_rulebook(text: str, what: str = "policy") -> Rulebook:
    """Read a policy document.

    Raises:
        InputError: Naming every key that is wrong.
    """
    return rulebook_of(parse_yaml(text, what), what)


def load_rulebook(path: Path) -> Rulebook:
    """Read a policy document from a file. Raises as `read_rulebook`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc
    return read_rulebook(text, str(path))


def rulebook_of(data: Mapping[str, Any], what: str = "policy") -> Rulebook:
    """Check a document's data. Raises as `read_rulebook`."""
    try:
        written = _plain(data)
        document = PolicyDocument.model_validate(written)
    except ValidationError as exc:
        raise InputError(f"{what}: {_problems(exc, data)}", hint="docs/policy.md says what may stand where") from exc
    except ValueError as exc:
        raise InputError(f"{what}: {exc}") from exc
    return Rulebook(document, written, digest_of(written))


def digest_of(data: Mapping[str, Any]) -> str:
    """Hash a document's data: SHA-256 over a tag and canonical JSON (ASCII, sorted keys, no blanks)."""
    return hashlib.sha256(_TAG + canonical_json(data)).hexdigest()


def canonical_json(data: Any) -> bytes:
    """Write plain data in one way only."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _plain(data: Any) -> Any:
    """Plain JSON: keys are text, as they come back from a file; so the digest is the same there."""
    if isinstance(data, Mapping):
        plain = {str(key): _plain(value) for key, value in data.items()}
        if len(plain) != len(data):
            raise ValueError("a key is there twice, as a number and as text")
        return plain
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if data is None or isinstance(data, str | int):
        return data
    raise ValueError(f"{data!r} is neither text, number, list nor mapping")


def _problems(exc: ValidationError, data: Mapping[str, Any]) -> str:
    found = []
    for error in exc.errors():
        place = list(error["loc"])
        if len(place) > 1 and place[0] == "rules" and isinstance(place[1], int):
            rules = data.get("rules")
            named = rules[place[1]].get("id") if isinstance(rules, list) and isinstance(rules[place[1]], dict) else None
            place[:2] = [f"rule {named or place[1]}"]
        found.append(f"{'.'.join(map(str, place)) or 'document'}: {error['msg'].removeprefix('Value error, ')}")
    return "; ".join(found)
