"""Finds the one network among the tensors of a file.

A checkpoint has a `state_dict` under some key, beside an optimizer's, whose names differ, or a
second one, such as averaged weights. Wrappers put a prefix before every name: "module."
(DataParallel), "_orig_mod." (torch.compile), "model." or "net." (Lightning), or several of them.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from alexnet_jax.printable import printable

_WRAPPER = r"(?:(?:module|_orig_mod)\.)*"  # of a part of the network
_NAME = re.compile(
    rf"((?s:.*[./])?)(features|classifier)[./]{_WRAPPER}(\d+)[./]{_WRAPPER}(weight|bias)"
)
_SHOWN = 4  # names in a message
Value = TypeVar("Value")


class _Group(NamedTuple):
    """Tensors whose names begin with the same prefix."""

    prefix: str
    full_names: dict[str, str]  # by the name without prefix and wrappers
    fault: str  # why they are not the network, "" if they are


def find(tensors: Mapping[str, Value], networks: Sequence[Mapping[str, str]]) -> dict[str, Value]:
    """Return the tensors of the one network among them, by their names without prefix.

    A note on stderr says what was left out.

    Args:
      tensors: anything by the names of `torch_file.tensors`.
      networks: the layer of each tensor, for all networks that it may be.

    Raises:
      ValueError: no such network, or several, with a list of what was found.
    """
    groups = [
        _Group(prefix, names, _fault(prefix, names, tensors, networks))
        for prefix, names in _group_by_prefix(tensors).items()
    ]
    whole = [group for group in groups if not group.fault]
    if len(whole) > 1:
        prefixes = ", ".join(printable(group.prefix or "the top", 60) for group in whole[:_SHOWN])
        raise ValueError(
            f"it has {len(whole)} networks, under {prefixes}: save one of them in a file of its own"
        )
    if not whole and len(groups) == 1:
        raise ValueError(groups[0].fault)
    if not whole:
        raise ValueError(_describe(groups, tensors))
    prefix, full_names, _ = whole[0]
    if others := [name for name in tensors if name not in full_names.values()]:
        print(
            f"note: of {len(tensors)} tensors, {len(full_names)} are the network, "
            f"{f'under {printable(prefix, 60)}' if prefix else 'at the top'}; left out are "
            f"{len(others)}, such as {printable(others[0], 60)}",
            file=sys.stderr,
        )
    return {name: tensors[full_name] for name, full_name in full_names.items()}


def _group_by_prefix(names: Iterable[str]) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _NAME.fullmatch(name):
            prefix, part, index, kind = match.groups()
            groups.setdefault(prefix, {}).setdefault(f"{part}.{index}.{kind}", name)
    return groups


def _fault(
    prefix: str,
    names: dict[str, str],
    tensors: Iterable[str],
    networks: Sequence[Mapping[str, str]],
) -> str:
    """Why these are not the tensors of a network, "" if they are."""
    layers = max(networks, key=lambda layers: len(layers.keys() & names.keys()))
    if missing := [name for name in layers if name not in names]:
        return f"{printable(prefix, 60)}{missing[0]} is missing, of {layers[missing[0]]}"
    strange = [names[name] for name in names if name not in layers]
    used = set(names.values())
    for name in tensors:
        # A module of the same dictionary would be part of the network; an optimizer has its own.
        same = name.startswith(prefix) and "/" not in name[len(prefix) :] and name not in used
        match = _NAME.fullmatch(name) if same else None
        if same and not (match and match[1] != prefix):
            strange.append(name)
    if strange:
        return f"it has {printable(min(strange), 60)}, which torchvision's AlexNet has not"
    return ""


def _describe(groups: Sequence[_Group], tensors: Iterable[str]) -> str:
    """A sentence on what was found where no network is."""
    if groups:
        found = "; ".join(printable(group.fault, 100) for group in groups[:2])
        return f"it has parts of {len(groups)} networks: {found}"
    names = list(tensors)
    if not names:
        return "it holds no tensors, so no state_dict"
    shown = ", ".join(printable(name, 40) for name in names[:_SHOWN])
    return (
        f"none of its {len(names)} tensors has a name of torchvision's AlexNet, such as "
        f"features.0.weight: it has {shown}{' ...' if len(names) > _SHOWN else ''}"
    )
