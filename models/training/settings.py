"""Recipes as frozen dataclasses: to JSON and back, and overridden by `key=value`.

A key names a field through its parents, tuple items by number: `optimiser.peak_lr=1e-3`,
`data.phases.0.batch_size=64`. An optional part is left out by `none` and comes back, with its
defaults, by `default`. Values are checked against the fields' types, and the classes' own
checks run again, so that an override cannot make what a recipe could not.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

ConfigT = TypeVar("ConfigT")


class SettingError(ValueError):
    """An override or a stored configuration does not fit the recipe."""


def to_json(config: Any) -> dict[str, Any]:
    """Return a configuration as plain JSON values."""
    return dataclasses.asdict(config)


def from_json(kind: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """Rebuild a configuration of class `kind` from what `to_json` gave."""
    built: ConfigT = _build(kind, values, kind.__name__)
    return built


def override(config: ConfigT, assignments: Sequence[str]) -> ConfigT:
    """Return the configuration with every `key=value` applied, in order.

    Raises SettingError for a key that does not exist or a value that does not fit.
    """
    values = to_json(config)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise SettingError(f"{assignment!r} is not of the form key=value")
        _assign(type(config), values, key.split("."), text, key)
    return from_json(type(config), values)


def _assign(hint: Any, values: Any, path: list[str], text: str, key: str) -> None:
    name, rest = path[0], path[1:]
    hint = _without_none(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        if name not in hints:
            raise SettingError(f"{key}: no field {name!r}; there are {', '.join(sorted(hints))}")
        slot: Any = name
        inner = hints[name]
    elif typing.get_origin(hint) is tuple and name.isdigit() and int(name) < len(values):
        slot, inner = int(name), _item_hint(hint, int(name))
    else:
        raise SettingError(f"{key}: there is nothing called {name!r} here")
    if isinstance(values, tuple):
        raise SettingError(f"{key}: items of this tuple are set together")
    if rest:
        if isinstance(values[slot], tuple):
            values[slot] = list(values[slot])
        _assign(inner, values[slot], rest, text, key)
    else:
        values[slot] = _parse(inner, text, key)


def _parse(hint: Any, text: str, key: str) -> Any:
    if text.lower() == "none" and _without_none(hint) is not hint:
        return None
    hint = _without_none(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and text == "default":
        return to_json(hint())
    if typing.get_origin(hint) is tuple:
        parts = [part for part in text.split(",") if part]
        return tuple(_parse(_item_hint(hint, i), part, key) for i, part in enumerate(parts))
    try:
        if hint is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if hint in (int, float, str):
            return hint(text)
    except (KeyError, ValueError) as error:
        raise SettingError(f"{key}: {text!r} is no {hint.__name__}") from error
    if typing.get_origin(hint) is Literal:
        if text not in typing.get_args(hint):
            raise SettingError(f"{key}: {text!r} is none of {', '.join(typing.get_args(hint))}")
        return text
    raise SettingError(f"{key} cannot be set as a whole; name a field inside it")


def _build(hint: Any, value: Any, where: str) -> Any:
    hint = _without_none(hint)
    if value is None:
        return None
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise SettingError(f"{where} has no field {', '.join(unknown)}")
        fields = {name: _build(hints[name], item, name) for name, item in value.items()}
        return hint(**fields)
    if typing.get_origin(hint) is tuple:
        return tuple(_build(_item_hint(hint, i), item, where) for i, item in enumerate(value))
    if hint is float:
        return float(value)
    return value


def _item_hint(hint: Any, index: int) -> Any:
    items = typing.get_args(hint)
    return items[0] if len(items) == 2 and items[1] is Ellipsis else items[index]


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(option for option in typing.get_args(hint) if option is not type(None))
    return hint
