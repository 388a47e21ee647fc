"""Images that stay in their files until a batch asks for them.

A generalist's scenes are twenty-seven gigabytes. Read by the row they take no memory but what the operating
system has to spare::

    images = StoredImages([ImageFile.of(path, "images.front") for path in shards])
    batch = images[rows]  # (n, h, w, 3)
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sop_bench.errors import CorruptDataError

_LOCAL_HEADER = struct.Struct("<26xHH")  # of a ZIP entry: the lengths of its name and of its extra field


@dataclass(frozen=True)
class ImageFile:
    """Where the images of one camera stand in a shard.

    Attributes:
        path: An uncompressed NPZ file, as `sop_bench.policy.scene_files` writes it.
        offset: Of the first pixel, in bytes.
        shape: (N, h, w, 3) of uint8.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, name: str) -> ImageFile:
        """The array called `name` in `path`.

        Raises:
            CorruptDataError: There is none that can be read by the row.
        """
        try:
            with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
                entry = archive.getinfo(f"{name}.npy")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{name} is compressed")
                raw.seek(entry.header_offset)
                raw.seek(sum(_LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))), 1)
                version = npy.read_magic(raw)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, fortran_order, dtype = read(raw)
                offset = raw.tell()
                if fortran_order or dtype != np.uint8:
                    raise ValueError(f"{name} is not of uint8 row by row")
        except (OSError, ValueError, KeyError, struct.error, zipfile.BadZipFile) as error:
            raise unreadable_shard(path, str(error)) from error
        return cls(path, offset, shape)

    def read(self, row: int, into: NDArray[np.uint8]) -> None:
        """Fill `into`, (h, w, 3), with image `row`.

        Raises:
            CorruptDataError: The file is gone, or ends before it.
        """
        try:
            with self.path.open("rb", buffering=0) as raw:
                if hasattr(os, "posix_fadvise"):
                    # Else the kernel reads on to where the next random row is not: mapped, and so read ahead,
                    # scenes that did not fit into memory made the first steps four times as long.
                    os.posix_fadvise(raw.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                raw.seek(self.offset + row * into.nbytes)
                count = raw.readinto(into.data)
        except OSError as error:
            raise unreadable_shard(self.path, str(error)) from error
        if count != into.nbytes:
            raise unreadable_shard(self.path, "it ends too early")


class StoredImages:
    """(N, h, w, 3) uint8: the images of several files, one after another.

    Args:
        files: With images of one size.
    """

    def __init__(self, files: Sequence[ImageFile]):
        self._files = tuple(files)
        self._ends = np.cumsum([file.shape[0] for file in self._files])

    @classmethod
    def joined(cls, parts: Iterable[StoredImages]) -> StoredImages:
        """The images of all `parts`, in order."""
        return cls([file for part in parts for file in part._files])

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._files[0].shape[1:])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.uint8]:
        """All of them in memory, as NumPy asks for an array."""
        return self[:]

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Copies of `rows`.

        Raises:
            IndexError: There are not so many.
        """
        index = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        if len(index) and not 0 <= index.min() <= index.max() < len(self):
            raise IndexError(f"Rows {index.min()} to {index.max()}; allowed: 0 to {len(self) - 1}.")
        found = np.empty((len(index), *self.shape[1:]), np.uint8)
        for place, file in enumerate(np.searchsorted(self._ends, index, side="right")):
            own = self._files[file]
            own.read(int(index[place] - (self._ends[file] - own.shape[0])), found[place])
        return found


def unreadable_shard(path: Path, why: str) -> CorruptDataError:
    """What to raise for a damaged `path`, and `why`."""
    return CorruptDataError(
        f"{path} is not a readable shard of scenes ({why}); expected what sop-bench wrote. Delete it: it is "
        f"rendered again when it is needed."
    )
