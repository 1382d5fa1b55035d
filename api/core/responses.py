"""The answers that any route can give besides its own, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field


class Pointed(BaseModel):
    """What is wrong at one place of a request."""

    pointer: str = Field(description="JSON pointer whose first part is body, query, path or header.")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it. `code` never changes; `detail` is for people."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:capstan:problem:not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["not_found"])
    hint: str | None = None
    rule: str | None = Field(default=None, description="Of a refusal: the rule that said no.")
    errors: list[Pointed] | None = None
    request_id: str | None = None


_MEANINGS: Final = {
    400: "A header, query or cursor that cannot be read",
    401: "Nobody, or not who they say they are",
    403: "Known, and not allowed to: a scope, a limit, a policy, a step-up that is missing",
    404: "There is none, or none that you may know of",
    405: "Not with this method",
    408: "The body took too long",
    409: "It contradicts what is there",
    413: "The body is too large",
    422: "It cannot be read, or cannot be",
    429: "Too much at once; Retry-After says when again",
    500: "Our bug; the log has it under this request id",
    502: "A venue, node or signer did not do it",
    503: "Something is away, and nothing was changed: send it again",
    504: "It may have happened: ask, and send it again only under the same Idempotency-Key",
}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": meaning,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, meaning in _MEANINGS.items()
}
"""`FastAPI(responses=PROBLEMS)`; the schema is added by `describe_problems`."""


def describe_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Put the schema of problems into an OpenAPI document that refers to it."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document
