"""A scrape of `/metrics`, looked at the way Prometheus does."""

from collections.abc import Iterator, Mapping

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from support.machines import API_TOKEN


class Scrape:
    """All samples of one answer. Names are those that PromQL knows, with `_total` and `_bucket`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))

    @property
    def samples(self) -> Iterator[Sample]:
        """Every line."""
        for family in self.families:
            yield from family.samples

    @property
    def names(self) -> set[str]:
        """What a query may ask for."""
        return {sample.name for sample in self.samples}

    def labels(self, name: str) -> Mapping[str, set[str]]:
        """The labels of a metric, and the values of each."""
        found: dict[str, set[str]] = {}
        for sample in self.samples:
            if sample.name == name:
                for label, value in sample.labels.items():
                    found.setdefault(label, set()).add(value)
        return found

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples of that name that have those labels; 0 when there is none."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())


def scrape(url: str) -> Scrape:
    """Ask the process at `url`."""
    response = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {API_TOKEN}"}, timeout=30)
    assert response.status_code == 200, response.text
    return Scrape(response.text)
