"""How descriptors are shared out, and that a process takes as many as it may."""

import resource
import subprocess
import sys

import pytest

from wearon.resources.descriptors import LEAST_HTTP, MOST_HTTP, divide


@pytest.mark.parametrize(("limit", "concurrency"), [(65_536, 20), (1024, 20), (1024, 100), (700, 20), (4096, 1000)])
def test_what_http_gets_is_what_paid_work_leaves(limit: int, concurrency: int) -> None:
    budget = divide(limit, concurrency)
    assert LEAST_HTTP <= budget.http <= MOST_HTTP
    assert budget.enough
    assert budget.needed <= limit


def test_paid_work_does_not_shrink_and_too_few_are_said_to_be() -> None:
    few = divide(200, 20)
    assert few.paid_work == divide(65_536, 20).paid_work
    assert few.http == LEAST_HTTP
    assert not few.enough


def test_a_process_raises_its_soft_limit_to_the_hard_one() -> None:
    code = (
        "import resource; from wearon.resources.descriptors import limit_after_raising, raise_limit;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (300, 900));"
        "print(limit_after_raising(), raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 900:
        pytest.skip("fewer are allowed here")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["900"] * 4
