import hashlib
import os
import time

import pytest

from sweepkit.errors import DataError
from sweepkit.training import fingerprint
from sweepkit.training.fingerprint import file_sha256


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A file that counts as large, and the list of the times it was really hashed."""
    monkeypatch.setattr(fingerprint, "_STAMP_FROM_BYTES", 0)
    monkeypatch.setattr(fingerprint, "_SETTLED_S", -3600)  # at rest as soon as written
    hashed = []
    real = fingerprint.hash_now
    monkeypatch.setattr(fingerprint, "hash_now", lambda file: hashed.append(file) or real(file))
    file = tmp_path / "data.csv"
    file.write_bytes(b"one")
    return file, hashed


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_is_the_hash_of_the_content_and_known_the_second_time(data, tmp_path):
    file, hashed = data
    for _ in range(3):
        assert file_sha256(file, tmp_path / "memory") == sha(b"one")
    assert len(hashed) == 1


def test_small_files_are_not_remembered(data, tmp_path, monkeypatch):
    file, hashed = data
    monkeypatch.setattr(fingerprint, "_STAMP_FROM_BYTES", 4)
    assert file_sha256(file, tmp_path / "memory") == file_sha256(file, tmp_path / "memory") == sha(b"one")
    assert len(hashed) == 2
    assert not (tmp_path / "memory").exists()


def test_a_rewrite_of_the_same_size_with_the_old_times_is_seen(data, tmp_path):
    file, _ = data
    before = file.stat()
    assert file_sha256(file, tmp_path) == sha(b"one")
    while True:  # until the kernel's clock, which ticks in milliseconds, shows another time
        file.write_bytes(b"two")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        if file.stat().st_ctime_ns != before.st_ctime_ns:
            break
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert file_sha256(file, tmp_path) == sha(b"two")


def test_a_file_put_in_its_place_is_seen(data, tmp_path):
    file, _ = data
    assert file_sha256(file, tmp_path) == sha(b"one")
    (tmp_path / "other").write_bytes(b"two")
    os.replace(tmp_path / "other", file)
    assert file_sha256(file, tmp_path) == sha(b"two")


def test_a_file_that_changed_a_moment_ago_is_hashed_again(data, tmp_path, monkeypatch):
    file, hashed = data
    monkeypatch.setattr(fingerprint, "_SETTLED_S", 2.0)
    monkeypatch.setattr(time, "time_ns", lambda: file.stat().st_ctime_ns + 2_000_000_000)
    file_sha256(file, tmp_path)
    file_sha256(file, tmp_path)
    assert len(hashed) == 2
    monkeypatch.setattr(time, "time_ns", lambda: file.stat().st_ctime_ns + 2_000_000_001)
    file_sha256(file, tmp_path)
    file_sha256(file, tmp_path)
    assert len(hashed) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"stamp": {}}', '{"stamp": 1, "sha256": 3}'])
def test_a_damaged_memory_is_not_believed(data, tmp_path, content):
    file, hashed = data
    memory = tmp_path / "memory"
    file_sha256(file, memory)
    (record,) = memory.iterdir()
    record.write_text(content)
    assert file_sha256(file, memory) == file_sha256(file, memory) == sha(b"one")
    assert len(hashed) == 2


def test_without_a_place_to_remember_it_works_all_the_same(data, tmp_path):
    file, _ = data
    (tmp_path / "blocked").write_text("")
    assert file_sha256(file, tmp_path / "blocked" / "memory") == sha(b"one")


def test_a_file_that_changes_meanwhile_or_is_not_there_is_told(data, tmp_path, monkeypatch):
    file, _ = data

    def growing(path):
        path.write_bytes(b"more")
        return sha(b"one")

    monkeypatch.setattr(fingerprint, "hash_now", growing)
    with pytest.raises(DataError) as caught:
        file_sha256(file, tmp_path)
    assert str(caught.value) == (
        f"{file}: must stay as it is while it is read, but it changed; start again when it is complete"
    )
    with pytest.raises(DataError) as caught:
        file_sha256(tmp_path / "none", tmp_path)
    assert str(caught.value) == f"{tmp_path / 'none'}: must be a file that can be read, got: No such file or directory"
