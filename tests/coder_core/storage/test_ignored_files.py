"""All are counted; enough are named."""

from coder_core.storage import ignored_files
from coder_core.storage.ignored_files import IgnoredFiles


def test_the_count_is_exact_where_names_are_cut(monkeypatch) -> None:
    monkeypatch.setattr(ignored_files, "NAMED_OF_A_KIND", 3)
    monkeypatch.setattr(ignored_files, "NAMED_IN_ALL", 5)
    ignored, asked = IgnoredFiles(), []
    for number in range(10):
        ignored.add("thumbnail", f"t{number}", lambda number=number: asked.append(number) or "a thumbnail")
    for number in range(4):
        ignored.add("note", f"n{number}", "a note")
    assert ignored.count == 14
    assert [entry.location for entry in ignored.entries] == ["n0", "n1", "t0", "t1", "t2"]
    assert asked == [0, 1, 2]
    assert {entry.reason for entry in ignored.entries} == {"a thumbnail", "a note"}
