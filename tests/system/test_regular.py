from __future__ import annotations

import pytest

from imsprep.system.regular import file_name


@pytest.mark.parametrize("name", ["disk.raw", " ", "-x", "a\nb", "\udcff", "..."])
def test_a_name_of_a_file_is_taken_as_it_is(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize("value", ["a/b", "/a", "a/", "", ".", "..", "a\0b", 5, None, {}, ["a"]])
def test_what_is_no_name_of_a_file_in_the_same_folder_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not the name of a file"):
        file_name(value)
