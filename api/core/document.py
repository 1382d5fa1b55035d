"""The OpenAPI document as it is told: problems described, and names that generated clients can have.

Two models of one name come out of FastAPI as `custody__transactions__lifecycle__State`, both titled `State`. Clients
name classes by these titles, so such a model is called `CustodyTransactionsLifecycleState`, and titled so.
"""

from __future__ import annotations

from typing import Any, Final

from api.core.responses import describe_problems

_SCHEMAS: Final = "#/components/schemas/"


def finished(document: dict[str, Any]) -> dict[str, Any]:
    """Finish what FastAPI made; asked again with its own result it changes nothing."""
    document = describe_problems(document)
    schemas: dict[str, Any] = document.get("components", {}).get("schemas", {})
    names = {name: _joined(name) for name in schemas if "__" in name}
    for old, new in names.items():
        schemas[new] = schemas.pop(old) | {"title": new}
    _rename(document, {_SCHEMAS + old: _SCHEMAS + new for old, new in names.items()})
    for name, schema in schemas.items():
        for field in schema.get("properties", {}).values():
            # Clients call a field's own object by both names; there may be a model called so.
            if field.get("type") == "object" and f"{name}{field.get('title', '')}" in schemas:
                field["title"] += "Values"
    return document


def _joined(name: str) -> str:
    words = [word for part in name.split("__") for word in part.split("_") if word]
    return "".join(word[0].upper() + word[1:] for word in words if word != "v1")


def _rename(value: Any, references: dict[str, str]) -> None:
    """Let references, and what discriminators map to, follow."""
    if isinstance(value, list):
        for each in value:
            _rename(each, references)
    elif isinstance(value, dict):
        for key, each in value.items():
            if isinstance(each, str):
                value[key] = references.get(each, each)
            else:
                _rename(each, references)
