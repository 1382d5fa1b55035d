"""The routes of `/v1`, a module for each resource. A module declares `router`; `ROUTERS` lists them."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from api.v1 import books, engine, health, keys

ROUTERS: Final[tuple[APIRouter, ...]] = (health.router, engine.router, books.router, keys.router)
