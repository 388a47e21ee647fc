"""What two runs must share to have the same records, as plain data: its name, its form, its differences."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any


def run_name(identity: dict[str, Any]) -> str:
    """A short name of a run, the same for the same identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]


def plain(value: Any) -> Any:
    """Plain data for JSON; dataclasses say which they are, because configs may be of several kinds."""
    if is_dataclass(value) and not isinstance(value, type):
        settings = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {"kind": type(value).__name__, **settings}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def differing(mine: Any, theirs: Any, name: str = "") -> list[str]:
    """Dotted names of the settings in which two identities differ."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return [
            found
            for key in sorted(mine.keys() | theirs.keys())
            for found in differing(mine.get(key), theirs.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if mine == theirs else [name]
