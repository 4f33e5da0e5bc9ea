"""Small TFDS data sets as TFDS lays them out, written without TensorFlow."""

import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

Examples = Sequence[Mapping[str, Any]]


def png(x: np.ndarray, form: str = "PNG") -> bytes:
    """An image file of uint8 `[h, w]` or `[h, w, c]`."""
    buffer = io.BytesIO()
    Image.fromarray(x[..., 0] if x.ndim == 3 and x.shape[-1] == 1 else x).save(buffer, form)
    return buffer.getvalue()


def serialised(example: Mapping[str, Any]) -> bytes:
    """A tf.Example of bytes, whole numbers and floats."""
    proto = tf_example_pb2.Example()
    for key, value in example.items():
        feature = proto.features.feature[key]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif np.asarray(value).dtype.kind == "f":
            feature.float_list.value.extend(np.ravel(value))
        else:
            feature.int64_list.value.extend(np.ravel(value))
    return proto.SerializeToString()


def write(
    data_dir: pathlib.Path,
    features: Mapping[str, Any],
    splits: Mapping[str, Sequence[Examples]],
    name: str = "tiny",
    file_format: str = "array_record",
) -> pathlib.Path:
    """Writes a data set of version 1.0.0.

    Args:
      data_dir: of TFDS.
      features: TFDS's, by name.
      splits: by name, the examples of each shard.
      name: "tiny", or "tiny/config".
      file_format: what dataset_info.json says it is; ArrayRecord is what it is.

    Returns:
      Its folder.
    """
    folder = data_dir / name / "1.0.0"
    folder.mkdir(parents=True)
    tensorflow_datasets.features.FeaturesDict(dict(features)).save_config(folder)
    described = []
    for split, shards in splits.items():
        for i, shard in enumerate(shards):
            path = shard_path(folder, split, i, len(shards))
            writer = ArrayRecordWriter(str(path), "group_size:1")
            for example in shard:
                writer.write(serialised(example))
            writer.close()
        described.append(
            {
                "name": split,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "shardLengths": [str(len(shard)) for shard in shards],
                "numBytes": "1",
            }
        )
    base, _, config = name.partition("/")
    info = {"name": base, "version": "1.0.0", "fileFormat": file_format, "splits": described}
    (folder / "dataset_info.json").write_text(
        json.dumps(info | ({"configName": config} if config else {}))
    )
    return folder


def shard_path(folder: pathlib.Path, split: str, i: int = 0, of: int = 1) -> pathlib.Path:
    """The file of a shard."""
    return folder / f"tiny-{split}.array_record-{i:05d}-of-{of:05d}"


def damage(path: pathlib.Path, record: bytes) -> None:
    """Flips a bit in the middle of a record of a file."""
    data = bytearray(path.read_bytes())
    place = data.index(record) + len(record) // 2
    data[place] ^= 1
    path.write_bytes(data)
