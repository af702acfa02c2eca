"""Monitoring's check must be able to fail: it finds whatever is misspelt in an expression."""

import pytest

from support.exposition import Scrape
from support.promql import read_query, what_is_missing

FOUND = Scrape(
    """# TYPE jobs counter
jobs_total{outcome="failed",reason="openai"} 1
jobs_total{outcome="completed",reason=""} 1
# TYPE took histogram
took_bucket{step="start",le="+Inf"} 1
took_count{step="start"} 1
took_sum{step="start"} 1
# TYPE age gauge
age 3
"""
)


@pytest.mark.parametrize(
    "expression",
    [
        "max(age) > 30",
        'up{job=~"a|b"} == 0',
        'absent(up{job="a"})',
        'sum by (outcome) (rate(jobs_total{outcome=~"failed|completed",reason!="openai"}[10m])) / 2e3',
        "histogram_quantile(0.99, sum by (le, instance) (rate(took_bucket[5m]))) > 0.25",
        "60 * sum(rate(jobs_total[5m])) by (reason) > max(age offset 15m)",
        'age > 1 and sum(increase(jobs_total{outcome="failed"}[10m])) > 4',
    ],
)
def test_what_is_there_is_not_complained_of(expression: str) -> None:
    assert list(what_is_missing(read_query(expression), FOUND)) == []


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("max(ages) > 30", "there is no ages"),
        ("rate(jobs[5m])", "there is no jobs"),
        ("age > 1 and sum(increase(job_total[10m])) > 4", "there is no job_total"),
        ('jobs_total{outcome="faild"}', "jobs_total never has outcome ['faild']"),
        ('jobs_total{outcome=~"failed|lost"}', "jobs_total never has outcome ['lost']"),
        ('jobs_total{channel="b2b"}', "jobs_total never has channel ['b2b']"),
        ("sum by (channel) (jobs_total)", "nothing has ['channel']"),
        ('up{part="x"}', "up never has part ['x']"),
    ],
)
def test_what_is_misspelt_is_found(expression: str, complaint: str) -> None:
    assert list(what_is_missing(read_query(expression), FOUND)) == [complaint]


def test_what_is_no_expression_is_an_error() -> None:
    with pytest.raises(ValueError, match="no PromQL"):
        read_query("sum(rate(jobs_total[5m]) ?")
