"""Functions, events and errors of contracts, ready to pack and to read.

Each is compiled when it is used for the first time (about 0.3 ms), so that importing a table of them costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chain.codec.packing import compile_packer
from chain.codec.types import Elementary, Parameter, Signature, Tuple, parse_parameters, parse_signature
from chain.codec.unpacking import compile_unpacker
from chain.keccak import keccak256
from domain.errors import InputError

Values = tuple[Any, ...]


class Parameters:
    """A list of types that stands alone: what a constructor takes, what `abi.encode` makes.

    `encode(*values)` packs them, `decode(data)` reads them; both raise `InputError` for what does not fit.
    """

    encode: Callable[..., bytes]
    decode: Callable[[bytes], Values]

    def __init__(self, types: Tuple, what: str = "") -> None:
        self.types = types
        self._what = what or types.name

    def decode_canonical(self, data: bytes) -> Values:
        """Read data that is exactly what `encode` makes of its values: nothing hidden behind or between them.

        Raises:
            InputError: It is not.
        """
        values = self.decode(data)
        if self.encode(*values) != data:
            raise InputError(f"{self._what}: the data is not written canonically")
        return values

    def __getattr__(self, name: str) -> Any:
        # Called for what is not there yet; what is compiled is kept on the instance and found first.
        if name == "encode":
            self.encode = compile_packer(self._what, self.types, b"")
            return self.encode
        if name == "decode":
            self.decode = compile_unpacker(self._what, self.types)
            return self.decode
        raise AttributeError(name)


class Function:
    """A function of a contract.

    `encode(*arguments)` gives calldata, `decode(data)` what a call returned, as a tuple.
    """

    encode: Callable[..., bytes]
    decode: Callable[[bytes], Values]

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.name = signature.name
        self.text = signature.canonical
        self.selector = keccak256(self.text.encode())[:4]
        self.arguments = Parameters(signature.inputs, self.text)

    def read(self, data: bytes) -> Values:
        """Read the arguments of a call.

        Raises:
            InputError: It calls another function, or its arguments cannot be read.
        """
        return self.arguments.decode(self._behind_selector(data))

    def read_canonical(self, data: bytes) -> Values:
        """Read the arguments of a call that holds nothing else; see `Parameters.decode_canonical`."""
        return self.arguments.decode_canonical(self._behind_selector(data))

    def _behind_selector(self, data: bytes) -> bytes:
        if data[:4] != self.selector:
            raise InputError(f"expected a call of {self.text} (0x{self.selector.hex()}), found 0x{data[:4].hex()}")
        return data[4:]

    def __getattr__(self, name: str) -> Any:
        if name == "encode":
            self.encode = compile_packer(self.text, self.signature.inputs, self.selector)
            return self.encode
        if name == "decode":
            self.decode = compile_unpacker(f"the result of {self.text}", self.signature.outputs)
            return self.decode
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"Function({self.text})"


class ErrorType:
    """A custom error of a contract: `decode(data)` reads its arguments from behind the selector."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.name = signature.name
        self.text = signature.canonical
        self.selector = keccak256(self.text.encode())[:4]
        self.arguments = Parameters(signature.inputs, self.text)

    def in_words(self, data: bytes) -> str:
        """Write revert data of this error as `Name(field=value, …)`; the bare name when it cannot be read."""
        try:
            values = self.arguments.decode(data[4:])
        except InputError:
            return self.name
        fields = self.signature.inputs.fields
        shown = (
            f"{field.name}={_shown(value)}" if field.name else _shown(value)
            for field, value in zip(fields, values, strict=True)
        )
        return f"{self.name}({', '.join(shown)})"

    def __repr__(self) -> str:
        return f"ErrorType({self.text})"


class Event:
    """An event of a contract: `decode(topics, data)` gives its values in the order they are declared.

    Of an indexed value that does not fit in a word (text, arrays, structs) the chain keeps only the hash: it comes out
    as 32 bytes.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.name = signature.name
        self.text = signature.canonical
        self.topic = "0x" + keccak256(self.text.encode()).hex()
        fields = signature.inputs.fields
        self._indexed = Parameters(
            Tuple(tuple(Parameter(_in_topic(field), field.name) for field in fields if field.is_indexed)), self.text
        )
        self._plain = Parameters(Tuple(tuple(field for field in fields if not field.is_indexed)), self.text)
        self._topics = 1 + len(self._indexed.types.fields)
        # Indexed values are read first: where each value stands in what was read.
        order = [i for i, field in enumerate(fields) if field.is_indexed]
        order += [i for i, field in enumerate(fields) if not field.is_indexed]
        self._places = tuple(order.index(i) for i in range(len(fields)))
        self._is_in_order = self._places == tuple(range(len(fields)))

    def matches(self, topics: Sequence[str]) -> bool:
        """Tell whether a log's topics are this event's: the same signature with as many indexed values.

        An ERC-20's and an ERC-721's `Transfer` differ only in that number.
        """
        return len(topics) == self._topics and topics[0] == self.topic

    def decode(self, topics: Sequence[str], data: bytes) -> Values:
        """Read a log.

        Raises:
            InputError: It is another event's, or cannot be read.
        """
        if len(topics) != self._topics or topics[0] != self.topic:
            raise InputError(f"not a log of {self.text} with {self._topics - 1} indexed values")
        if self._topics == 1:
            return self._plain.decode(data)
        try:
            words = bytes.fromhex("".join([topic[2:] for topic in topics[1:]]))
        except (ValueError, TypeError) as exc:
            raise InputError(f"{self.text}: topics are not hexadecimal") from exc
        values = self._indexed.decode(words) + self._plain.decode(data)
        return values if self._is_in_order else tuple([values[place] for place in self._places])

    def __repr__(self) -> str:
        return f"Event({self.text})"


def function(text: str) -> Function:
    """Compile a function: `function("transfer(address to, uint256 amount) returns (bool)")`.

    Raises:
        InputError: The text is no signature.
    """
    return Function(_parsed(text, "function"))


def event(text: str) -> Event:
    """Compile an event: `event("Transfer(address indexed from, address indexed to, uint256 value)")`.

    Raises:
        InputError: The text is no signature, or has more than three indexed values.
    """
    signature = _parsed(text, "event")
    if sum(field.is_indexed for field in signature.inputs.fields) > 3:
        raise InputError(f"an event has at most three indexed values: {text!r}")
    return Event(signature)


def error(text: str) -> ErrorType:
    """Compile a custom error: `error("InsufficientBalance(uint256 available, uint256 needed)")`.

    Raises:
        InputError: The text is no signature.
    """
    return ErrorType(_parsed(text, "error"))


def parameters(text: str) -> Parameters:
    """Compile a list of types: `parameters("address,uint256[]")`.

    Raises:
        InputError: The text is no such list.
    """
    return Parameters(parse_parameters(text))


def _parsed(text: str, wanted: str) -> Signature:
    signature = parse_signature(text)
    if signature.kind not in ("", wanted):
        raise InputError(f"expected {wanted}, found {signature.kind}: {text!r}")
    return signature


def _in_topic(field: Parameter) -> Elementary:
    """What stands in a topic: the value itself when it is one word, otherwise its hash."""
    kind = field.type
    if isinstance(kind, Elementary) and not kind.is_dynamic:
        return kind
    return Elementary("bytes32")


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)
