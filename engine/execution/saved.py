"""What a part of a strategy needs to go on in another process: named attributes, parts inside parts."""

from __future__ import annotations

from typing import Any, ClassVar

from domain import InputError


class Saved:
    """Keeps its state in the attributes named in `saved`: numbers, text, lists, or parts of this class."""

    saved: ClassVar[tuple[str, ...]] = ()

    def state(self) -> dict[str, Any]:
        """Return the state in plain values."""
        found = {name: getattr(self, name) for name in self.saved}
        return {name: value.state() if isinstance(value, Saved) else value for name, value in found.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned.

        Raises:
            InputError: It is the state of something else.
        """
        if set(state) != set(self.saved):
            raise InputError(f"expected the saved state of {sorted(self.saved)}, found {sorted(state)}")
        for name, value in state.items():
            part = getattr(self, name)
            if isinstance(part, Saved):
                part.restore(value)
            else:
                setattr(self, name, value)
