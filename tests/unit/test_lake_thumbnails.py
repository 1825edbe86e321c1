"""Thumbnails: real SQLite, two connections as two processes would have."""

from contextlib import closing
from pathlib import Path

import pytest
from lake_rows import asset_id

from lakewatchd.errors import FatalError
from lakewatchd.lake.thumbnails import Thumbnails


def test_put_get_replace_delete(tmp_path: Path) -> None:
    store = Thumbnails(tmp_path / "t.db")
    store.put_many([(asset_id(1), b"a"), (asset_id(2), b"\0" * 50_000)])
    store.put_many([(asset_id(1), b"b")])
    assert (store.get(asset_id(1)), store.count()) == (b"b", 2)
    store.delete([asset_id(1), asset_id(9)])
    assert store.ids() == {asset_id(2)}
    store.close()


def test_a_reader_sees_what_comes_after_it(tmp_path: Path) -> None:
    reader = Thumbnails(tmp_path / "t.db", read_only=True)
    assert (reader.get(asset_id(1)), reader.count()) == (None, 0)
    assert not (tmp_path / "t.db").exists()
    writer = Thumbnails(tmp_path / "t.db")
    writer.put_many([(asset_id(1), b"a")])
    assert reader.get(asset_id(1)) == b"a"
    writer.put_many([(asset_id(1), b"b")])
    assert reader.get(asset_id(1)) == b"b"
    with pytest.raises(FatalError):
        reader.put_many([(asset_id(1), b"c")])
    reader.close()
    writer.close()


def test_a_reader_of_a_file_without_a_table_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.db").touch()
    reader = Thumbnails(tmp_path / "t.db", read_only=True)
    assert reader.get(asset_id(1)) is None
    reader.close()


def test_a_damaged_file_is_set_aside_and_made_again(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_bytes(b"not a database" * 1000)
    with closing(Thumbnails(tmp_path / "t.db")) as thumbnails:
        thumbnails.put_many([("a", b"picture")])
        assert thumbnails.get("a") == b"picture"
    assert (tmp_path / "t.db.damaged").read_bytes().startswith(b"not a database")


def test_damage_found_while_writing_costs_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(Thumbnails(path)) as thumbnails:
        thumbnails.put_many((f"{n:04}", bytes(4000)) for n in range(500))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with closing(Thumbnails(path)) as thumbnails:
        thumbnails.put_many((f"{n:04}", b"new") for n in range(0, 500, 50))
        assert thumbnails.get("0050") == b"new"
    assert (tmp_path / "t.db.damaged").exists()
