"""Records on disk, one file a process, so that a comparison that was cut off goes on."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ae_jax.errors import WorkdirError

Record = Mapping[str, Any]


class Store:
    """A local folder of JSON records by key, such as "vae/timing/torch-eager-host-one/3"."""

    def __init__(self, folder: str | os.PathLike, settings: Mapping[str, Any]):
        """Opens or makes the folder.

        Args:
          folder: where.
          settings: what all records in it must share.

        Raises:
          WorkdirError: the folder was begun with others.
        """
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "settings.json"
        settings = json.loads(json.dumps(settings))
        if not path.exists():
            path.write_text(json.dumps(settings, indent=1))
        held = json.loads(path.read_text())
        for name in held.keys() | settings.keys():
            if held.get(name) != settings.get(name):
                raise WorkdirError(
                    f"'{self.folder}' was begun with {name}={held.get(name)!r}, not "
                    f"{settings.get(name)!r}: give the same, or another folder"
                )

    def get(self, key: str) -> Record | None:
        """A record, or None."""
        path = self._path(key)
        return json.loads(path.read_text()) if path.exists() else None

    def put(self, key: str, record: Record) -> Record:
        """Keeps a record, whole or not at all; returns it."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(record))
        part.replace(path)
        return record

    def _path(self, key: str) -> pathlib.Path:
        return self.folder / "processes" / f"{key}.json"
