"""Text as bytes: windows that no two splits share, lines, and files that are no text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.data.sources.text import BLOCK
from ae_jax.errors import ConfigError, DataError, MissingFileError

RNG = np.random.default_rng(0)
LETTERS = bytes(RNG.integers(97, 123, 2_000, np.uint8))


def write(folder, **files):
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return folder


def windows(source):
    return in_memory(source).x


def test_windows_of_a_file_one_after_the_other(tmp_path):
    path = write(tmp_path, a_txt=LETTERS) / "a.txt"
    dataset = ae.data.load(f"text:{path}", length=30, test_fraction=0)
    assert (dataset.kind, dataset.num_classes) == ("tokens", 256)
    expected = np.frombuffer(LETTERS, np.uint8)[: 66 * 30].reshape(66, 30)
    got = windows(dataset.train)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)
    assert dataset.train.spec.observed is None


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 700),
    length=st.integers(1, 20),
    stride=st.integers(1, 30),
    fraction=st.sampled_from([0.0, 0.2, 0.5, 0.8]),
)
def test_windows_of_the_two_splits_never_overlap(tmp_path_factory, size, length, stride, fraction):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(LETTERS[:size])
    options = {"length": length, "stride": stride, "test_fraction": fraction}
    try:
        dataset = ae.data.text(path, **options)
    except DataError:
        return
    starts = [part.start for part in (dataset.train, dataset.test)]
    covered = [{i + k for i in start for k in range(length)} for start in starts]
    assert not covered[0] & covered[1]
    assert max(covered[0] | covered[1]) < size
    all_starts = np.arange(0, size - length + 1, stride)
    found = np.sort(np.concatenate(starts))
    assert np.isin(found, all_starts).all()
    left_out = np.setdiff1d(all_starts, found)
    span = BLOCK * length  # only windows across a border of blocks are left out
    assert (left_out // span != (left_out + length - 1) // span).all()
    if not fraction:
        assert not len(left_out)
    for part, start in zip((dataset.train, dataset.test), starts, strict=True):
        expected = np.frombuffer(LETTERS, np.uint8)[start[:, None] + np.arange(length)]
        np.testing.assert_array_equal(part.read(np.arange(len(part))).x, expected)


def test_appended_text_and_other_files_move_nothing(tmp_path):
    options = {"length": 8, "test_fraction": 0.3}
    rest = LETTERS[::-1]
    folder = write(tmp_path, b_txt=LETTERS[:1_000])
    before = ae.data.text(folder, **options)
    after = ae.data.text(write(tmp_path, a_txt=rest, b_txt=LETTERS), **options)
    for one, two in ((before.train, after.train), (before.test, after.test)):
        old, new = windows(one), windows(two)
        kept = {row.tobytes() for row in new}
        assert {row.tobytes() for row in old} <= kept
        assert len(new) > len(old) > 0


def test_the_share_that_is_held_out(tmp_path):
    path = write(tmp_path, a_txt=LETTERS * 40) / "a.txt"
    dataset = ae.data.text(path, length=4, test_fraction=0.25)
    share = len(dataset.test) / (len(dataset.test) + len(dataset.train))
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 * 64 / 80_000)


def test_a_folder_in_the_order_of_its_paths_without_windows_across_files(tmp_path):
    folder = write(
        tmp_path, b_txt=b"bbbbbbb", a_rst=b"aaaaa", c__d_txt=b"ddd", z_txt=b"", e_md=b"eeeeee"
    )
    got = windows(ae.data.text(folder, length=3, test_fraction=0).train)
    assert [bytes(row) for row in got] == [b"aaa", b"bbb", b"bbb", b"ddd"]


def test_lines_are_padded_and_cut(tmp_path):
    data = "one\n\nzwölf\r\n\r\nlonger than six\nend".encode()
    folder = write(tmp_path, a_txt=data, b_txt=b"\nnext\n")
    train = ae.data.text(folder, length=6, lines=True, test_fraction=0).train
    got = in_memory(train)
    lines = [b"one", "zwölf".encode(), b"longer", b"end", b"next"]
    ended = [(line + b"\n")[:6].ljust(6, b"\0") for line in lines]
    np.testing.assert_array_equal(got.x, np.array([list(line) for line in ended], np.uint8))
    lengths = np.array([4, 6, 6, 4, 5])
    np.testing.assert_array_equal(got.extras["length"], lengths)
    np.testing.assert_array_equal(got.observed, np.arange(6) < lengths[:, None])


def test_lines_are_held_out_by_split_mask(tmp_path):
    path = write(tmp_path, a_txt=b"\n".join(b"line %d" % i for i in range(50))) / "a.txt"
    dataset = ae.data.text(path, length=8, lines=True, test_fraction=0.3)
    held_out = [bytes(row).rstrip(b"\n\0") for row in windows(dataset.test)]
    assert held_out == [b"line %d" % i for i in np.flatnonzero(ae.data.split_mask(50, 0.3))]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=9)))
def test_lines_of_any_text(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    path.write_bytes("\n".join(lines).encode())
    expected = [f"{line}\n".encode()[:12] for line in lines if line]
    if not expected:
        return
    train = ae.data.text(path, length=12, lines=True, test_fraction=0).train
    got = train.read(np.arange(len(train)))
    seen = [bytes(row[:n]) for row, n in zip(got.x, got.extras["length"], strict=True)]
    assert seen == expected


def test_lines_and_utf8_across_the_pieces_that_files_are_read_in(tmp_path, monkeypatch):
    data = "añb\r\nc\n\r\n日本\n".encode()
    path = write(tmp_path, a_txt=data) / "a.txt"
    for size in range(1, 8):
        monkeypatch.setattr("ae_jax.data.sources.files.CHUNK", size)
        got = in_memory(ae.data.text(path, length=6, lines=True, test_fraction=0).train)
        np.testing.assert_array_equal(got.extras["length"], [5, 2, 6])
        for at in range(len(data) - 1):
            bad = data[:at] + b"\xff" + data[at:]
            (tmp_path / "b.txt").write_bytes(bad)
            with pytest.raises(DataError) as raised:
                ae.data.text(tmp_path / "b.txt", length=1)
            with pytest.raises(UnicodeDecodeError) as expected:
                bad.decode()
            assert f"at offset {expected.value.start}:" in str(raised.value)


def test_the_embedded_text_is_scikit_learns():
    import pathlib

    import sklearn

    dataset = ae.data.load("text:embedded", test_fraction=0)
    folder = pathlib.Path(sklearn.__file__).parent / "datasets" / "descr"
    files = [path.read_bytes() for path in sorted(folder.glob("*.rst"))]
    whole = [np.frombuffer(f, np.uint8)[: len(f) // 32 * 32].reshape(-1, 32) for f in files]
    np.testing.assert_array_equal(windows(dataset.train), np.concatenate(whole))
    assert dataset.source == "text:embedded"
    held_out = ae.data.load("text:embedded").test
    assert 0.05 < len(held_out) / len(dataset.train) < 0.15


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (
            b"abc\xe9def" * 9,
            r"a.txt' is not UTF-8: byte 0xe9 at offset 3: invalid continuation byte",
        ),
        (b"abc\xe2\x82", "not UTF-8: byte 0xe2 at offset 3: unexpected end of data"),
        (b"", "a.txt' is empty"),
        (b"ab", "has no window of 4 bytes to learn from"),
    ],
)
def test_files_that_are_no_text(tmp_path, data, match):
    with pytest.raises(DataError, match=match):
        ae.data.text(write(tmp_path, a_txt=data) / "a.txt", length=4)


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="holds no text: expected files .txt, .rst"):
        ae.data.text(write(tmp_path, a_md=b"text", b_txt=b""))
    with pytest.raises(DataError, match="has no line that is not empty"):
        ae.data.text(write(tmp_path, b_txt=b"\n\n") / "b.txt", lines=True)
    with pytest.raises(MissingFileError, match=r"did you mean 'b.txt'\?"):
        ae.data.text(tmp_path / "c.txt")


def test_wrong_options(tmp_path):
    path = write(tmp_path, a_txt=LETTERS) / "a.txt"
    with pytest.raises(ConfigError, match="length must be a positive whole number, got 0"):
        ae.data.text(path, length=0)
    with pytest.raises(ConfigError, match="stride must be a positive whole number, got -1"):
        ae.data.text(path, stride=-1)
    with pytest.raises(ConfigError, match=r"with lines=True leave it out, got 3"):
        ae.data.text(path, lines=True, stride=3)
    with pytest.raises(ConfigError, match=r"test_fraction must lie in \[0, 1\), got 1"):
        ae.data.text(path, test_fraction=1)


def test_without_scikit_learn_the_error_names_the_fix(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingFileError, match="pip install scikit-learn"):
        ae.data.text("embedded")
