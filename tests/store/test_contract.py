"""What every store refuses in the same words."""

from __future__ import annotations

import pytest

from imsprep.errors import ServiceError
from imsprep.store.contract import MAX_PART_NUMBER, check_part_number


@pytest.mark.parametrize("number", [0, -1, MAX_PART_NUMBER + 1])
def test_a_number_that_no_store_takes_is_refused(number: int) -> None:
    with pytest.raises(
        ServiceError, match=f"part number {number} is not one of 1 to 10000"
    ) as told:
        check_part_number(number)
    assert told.value.code == "InvalidArgument"


@pytest.mark.parametrize("number", [1, MAX_PART_NUMBER])
def test_the_first_and_the_last_number_are_taken(number: int) -> None:
    check_part_number(number)
