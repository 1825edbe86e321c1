"""The taxonomy file: every mistake a person makes is named with its line, and what is shipped has none."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakewatchd.core.asset import Kind
from lakewatchd.errors import ConfigError
from lakewatchd.taxonomy import HINTS, MAX_NAME_BYTES, OBJECTS, TagRule, check, name_fault, parse

SHIPPED = Path(__file__).parents[2] / "etc" / "taxonomy.toml"

GOOD = """\
[templates]
picture = "a drawing of {}"

[fallback]
image = "fotos"

[category.pets]
about = ["pets"]
[category.pets.tags]
cat = ["a cat", "a kitten"]      # the short form
"house dog" = { looks = ["a dog"], objects = ["dog"], threshold = 0.7, words = ["Rex"] }
family = {}
"""


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "taxonomy.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems(tmp_path: Path, text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in check(write(tmp_path, text))[1]]


def test_a_good_file_says_what_it_means(tmp_path: Path) -> None:
    taxonomy = parse(write(tmp_path, GOOD))
    cat, dog, family = taxonomy.tags
    assert cat == TagRule("cat", looks=("a cat", "a kitten"))
    assert dog == TagRule("house dog", looks=("a dog",), objects=("dog",), words=("rex",), threshold=0.7)
    assert family == TagRule("family")
    assert taxonomy.categories[0].about == ("pets",)
    assert taxonomy.templates.picture == "a drawing of {}"
    assert taxonomy.fallback.of(Kind.IMAGE) == "fotos"
    assert taxonomy.fallback.of(Kind.TABLE) == "unsorted"


def test_the_shipped_file_is_right_and_of_a_useful_size() -> None:
    taxonomy = parse(SHIPPED)
    assert 12 <= len(taxonomy.categories) <= 25
    assert len(taxonomy.tags) >= 200


def test_the_shipped_head_explains_every_key() -> None:
    head = SHIPPED.read_text().partition("\n\n[")[0]
    for key in ("looks", "about", "objects", "words", "hint", "threshold", "places", "resembles", *HINTS):
        assert key in head


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("[categorie.pets]\n", 1, "did you mean 'category'"),
        ("[category.pets]\nlokks = ['a cat']\n", 2, "did you mean 'looks'"),
        ("[category.pets]\nplaces = 'yes'\n", 2, "places"),
        ("[category.pets]\nresembles = ['animls']\n[category.animals]\n", 2, "did you mean 'animals'"),
        ("[category.pets.tags]\ncat = { objekts = ['cat'] }\n", 2, "did you mean 'objects'"),
        ("[category.pets.tags]\ncat = { objects = ['cats'] }\n", 2, "did you mean 'cat'"),
        ("[category.pets.tags]\ncat = { hint = 'screensize' }\n", 2, "did you mean 'screen-size'"),
        ("[category.pets.tags]\ncat = { name = 'dog' }\n", 2, "'name'"),
        ("[category.pets.tags]\ncat = { threshold = 1.5 }\n", 2, "1.5 is not between"),
        ("[category.pets.tags]\ncat = { threshold = nan }\n", 2, "threshold"),
        ("[category.pets.tags]\ncat = { threshold = true }\n", 2, "threshold"),
        ("[category.pets.tags]\ncat = 'a cat'\n", 2, "table"),
        ("[category.pets.tags]\ncat = ['a cat', ' ']\n", 2, "a text is empty"),
        ("[category.pets.tags]\ncat = ['a cat', 'a cat']\n", 2, "twice"),
        ("[category.pets.tags]\ncat = ['a', 1]\n", 2, "looks"),
        ("[category.pets.tags]\ncat = []\n\n[category.home.tags]\nCat = []\n", 5, "already in category 'pets'"),
        ("[category.pets.tags]\n'a/b' = []\n", 2, "'a/b'"),
        ("[category.'..']\n", 1, "'..'"),
        ("[category.pets]\ntags = ['cat']\n", 2, "[category.pets.tags]"),
        ("category = 3\n", 1, "[category.NAME]"),
        ("[category]\npets = 3\n", 2, "table"),
        ("[templates]\npicture = 'a photo'\n", 2, "{}"),
        ("[templates]\npicture = '{} {} of'\n", 2, "{}"),
        ("[templates]\ntext = 'about {} {0.__class__}'\n", 2, "{}"),
        ("[neutral]\npictures = []\n", 2, "at least one"),
        ("[fallback]\nimage = 'a/b'\n", 2, "'a/b'"),
        ("[category.pets]\nx = [\n", 3, "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    found = problems(tmp_path, text)
    assert any(number == line and complaint in message for number, message in found), found


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "[category.pets.tags]\ncat = { threshold = 9 }\ndog = { objects = ['dogg'] }\n'x:y' = []\n[tagz]\n"
    lines = [line for line, _ in problems(tmp_path, text)]
    assert lines == [2, 3, 4, 5]
    with pytest.raises(ConfigError) as caught:
        parse(tmp_path / "taxonomy.toml")
    assert [part.split(":")[1] for part in caught.value.message.splitlines()] == ["2", "3", "4", "5"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe[category]"])
def test_an_unreadable_file_is_a_config_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "none.toml" if content is None else write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        parse(path)
    assert str(path) in caught.value.message and caught.value.hint


def test_the_digest_follows_the_meaning_not_the_layout(tmp_path: Path) -> None:
    first = parse(write(tmp_path, GOOD)).digest
    assert parse(write(tmp_path, "# a comment\n\n" + GOOD.replace('["pets"]', '[\n  "pets",\n]'))).digest == first
    for old, new in (("0.7", "0.8"), ("a kitten", "a tomcat"), ("fotos", "bilder"), ("a drawing", "a sketch")):
        assert parse(write(tmp_path, GOOD.replace(old, new))).digest != first


def test_the_objects_are_those_of_coco() -> None:
    assert len(OBJECTS) == len(set(OBJECTS)) == 80


@example("a\xa0b")
@example("a\u2028b")
@given(st.text(max_size=80))
def test_a_name_without_fault_can_be_a_folder(name: str) -> None:
    if name_fault(name) is None:
        raw = name.encode()
        assert 0 < len(raw) <= MAX_NAME_BYTES
        assert b"/" not in raw and b"\0" not in raw and name not in (".", "..")
        assert all(char.isprintable() or unicodedata.category(char) == "Zs" for char in name)
        assert name[0] not in "+-"


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = write(tmp_path_factory.mktemp("any"), raw)
    try:
        check(path)
    except ConfigError:
        assert not _is_text(raw)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
