"""Merging: what two requests changed in one session, key by key."""

from collections.abc import Mapping
from typing import Any

from tornado_session.serializer import same


def merge(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Apply to ``theirs`` what was changed from ``base`` to ``ours``: set keys are set, deleted keys are deleted.

    Where ours and theirs are equal, the object that is kept is ours: the handler may hold it and change it later.
    """
    merged = {key: ours[key] if key in ours and same(ours[key], value) else value for key, value in theirs.items()}
    merged |= {key: value for key, value in ours.items() if key not in base or not same(value, base[key])}
    for key in base:
        if key not in ours:
            merged.pop(key, None)
    return merged


def merge_one(base: Any, ours: Any, theirs: Any) -> Any:
    """Keep ``ours`` if it was changed, else ``theirs``."""
    return theirs if same(base, ours) else ours
