"""Policies on disk: one safetensors file with weights, statistics and words together.

A checkpoint is whole; an update holds only what post-training changed, and names its base checkpoint. Both
are named by the SHA-256 of their content, weights and metadata together. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sop_bench.errors import ConfigurationError, ContractError, CorruptDataError
from sop_bench.policy.base import PolicyVersion
from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.storage import Storage, packed, unpacked
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA

_FORMAT = "sop-bench.policy.1"
_UPDATE_FORMAT = "sop-bench.update.1"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded policy and what its file says about it.

    Attributes:
        policy: Ready to act; its version carries the content hash.
        facts: How it was trained: plain data, as given to `save_checkpoint`.
    """

    policy: CompactVLA
    facts: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(
    policy: CompactVLA,
    path: Path,
    *,
    facts: Mapping[str, Any] | None = None,
    number: int = 0,
    storage: Storage = "float16",
) -> PolicyVersion:
    """Write the whole policy to `path`, atomically, and return the version that names the content.

    Args:
        facts: JSON-able training facts (task, task version, seeds, steps).
        number: Of the version.
        storage: Of the weights; statistics are always float32. Less than full precision moves the weights, so
            load the file again to act as the file does.

    Raises:
        ContractError: A weight is not finite, also after rounding; nothing is written.
    """
    weights = dict(policy.named_parameters())
    statistics = {name: value for name, value in policy.state_dict().items() if name not in weights}
    tensors = packed(weights, storage) | packed(statistics, "float32")
    metadata = {
        "format": _FORMAT,
        "config": policy.config.save(),
        "words": list(policy.tokenizer.words),
        "facts": dict(facts or {}),
        "number": number,
    }
    return _write(tensors, metadata, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """The policy in `path`.

    Raises:
        ConfigurationError: There is no such file, or it holds something else.
        CorruptDataError: The file is damaged.
    """
    tensors, metadata, version = _read(path, _FORMAT)
    config = PolicyConfig.load(metadata["config"])
    tokenizer = Tokenizer(metadata["words"], config.network.max_words)
    policy = CompactVLA(config, tokenizer, torch.Generator(), version)
    try:
        policy.load_state_dict(unpacked(tensors))
    except (RuntimeError, KeyError) as error:
        raise CorruptDataError(
            f"{path} does not hold the weights of its own configuration ({error}); expected one tensor for "
            f"each. Restore it from a copy, or pretrain again."
        ) from error
    return Checkpoint(policy, metadata["facts"])


# -------------------------------------------------------------------------------------------- updates


def update_bytes(
    weights: Mapping[str, Tensor], base: PolicyVersion, number: int, *, storage: Storage = "float16"
) -> bytes:
    """An update as it travels: `CompactVLA.state_for_update` for a policy that started from `base`.

    Raises:
        ContractError: A weight is not finite; a broken update must not reach a robot.
    """
    return _serialised(
        packed(weights, storage),
        {"format": _UPDATE_FORMAT, "base": base.content_hash, "number": number},
        f"update {number}",
    )


def apply_update(policy: CompactVLA, data: bytes, base: PolicyVersion) -> PolicyVersion:
    """Load an update into `policy` and return the version it now has.

    Args:
        base: The checkpoint that `policy` was loaded from.

    Raises:
        CorruptDataError: Damaged on the way.
        ContractError: Made for another checkpoint or architecture; the policy is unchanged.
    """
    tensors, metadata, version = _parsed(data, _UPDATE_FORMAT, "the update")
    if metadata["base"] != base.content_hash:
        raise ContractError(
            f"Update {version} was made for checkpoint {metadata['base'][:8]}, and this policy started from "
            f"{base.content_hash[:8]}; allowed: updates of the same checkpoint. Start robots and learner "
            f"from one file."
        )
    policy.load_update(unpacked(tensors), version)
    return version


def save_update(weights: Mapping[str, Tensor], path: Path, base: PolicyVersion, number: int) -> PolicyVersion:
    """`update_bytes` to a file, atomically; returns its version."""
    data = update_bytes(weights, base, number)
    _write_bytes(data, path)
    return PolicyVersion(number, hashlib.sha256(data).hexdigest())


def load_update(policy: CompactVLA, path: Path, base: PolicyVersion) -> PolicyVersion:
    """`apply_update` from a file; raises `ConfigurationError` if there is none."""
    return apply_update(policy, _read_bytes(path), base)


# ---------------------------------------------------------------------------------------------- bytes


def _serialised(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], what: str) -> bytes:
    broken = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if broken:
        raise ContractError(
            f"Refused to save {what}: {len(broken)} of {len(tensors)} tensors hold NaN or infinity, first "
            f"{broken[0]!r}; allowed: finite weights. The training diverged: lower the learning rate."
        )
    text = json.dumps(metadata, sort_keys=True)
    return save(dict(tensors), metadata={"sop_bench": text})


def _write(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], path: Path) -> PolicyVersion:
    data = _serialised(tensors, metadata, str(path))
    _write_bytes(data, path)
    return PolicyVersion(metadata["number"], hashlib.sha256(data).hexdigest())


def _write_bytes(data: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read {path} ({error}); expected a file written by sop-bench. Check the path, or make a "
            f"checkpoint with `sop-bench pretrain`."
        ) from error


def _read(path: Path, expected: str) -> tuple[dict[str, Tensor], dict[str, Any], PolicyVersion]:
    return _parsed(_read_bytes(path), expected, str(path))


def _parsed(data: bytes, expected: str, what: str) -> tuple[dict[str, Tensor], dict[str, Any], PolicyVersion]:
    try:
        # The header: 8 bytes of length, then JSON; `load` checks it, and that all tensors lie in the file.
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = json.loads(header["__metadata__"]["sop_bench"])
        found = metadata["format"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise CorruptDataError(
            f"{what} is damaged or not from sop-bench ({error}); expected safetensors with its metadata. "
            f"Restore it from a copy, or make it again."
        ) from error
    if found != expected:
        raise ConfigurationError(
            f"{what} is of format {found!r}; allowed here: {expected!r}. Give a checkpoint where a "
            f"checkpoint is asked for, and an update where an update is."
        )
    return tensors, metadata, PolicyVersion(metadata["number"], hashlib.sha256(data).hexdigest())
