"""The queries of the dashboard in examples/monitoring, as Grafana would ask for them."""

import json
import re

import server
from checks import equal


class Dashboard:
    """The dashboard with these values of its variables."""

    def __init__(self, namespace, pods, container):
        self.content = json.loads((server.MONITORING / "dashboard.json").read_text(encoding="utf-8"))
        self.pods = pods
        self.values = {"namespace": namespace, "pod": f"({'|'.join(pods)})", "container": container,
                       "__rate_interval": "1m"}

    def filled_in(self, query):
        return re.sub(r"\$(\w+)", lambda it: self.values[it[1]], query)

    def queries(self):
        """The title of the panel, the legend and the query of each."""
        for panel in self.content["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["legendFormat"], self.filled_in(target["expr"])


def cases(prometheus, namespace, pods, container, absent=(), scrapes=()):
    """Every query has data, but those for these metrics have none. Data may come with some more `scrapes`: the
    iterator yields after each."""
    scrapes = iter(scrapes)
    dashboard = Dashboard(namespace, pods, container)
    for variable in dashboard.content["templating"]["list"]:
        if variable["type"] == "query":
            definition = dashboard.filled_in(variable["definition"])
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", definition).groups()
            found = {it[label] for it in prometheus.get("series", **{"match[]": series}) if label in it}
            expected = pods if label == "pod" else {dashboard.values[label]}
            yield equal(found, expected, f"the dashboard finds each {label}")
    count = 0
    for title, legend, query in dashboard.queries():
        count += 1
        result = prometheus.query(query)
        if any(metric in query for metric in absent):
            good, found = not result, f"{len(result)} series, as expected"
        else:
            while not result and next(scrapes, False):
                result = prometheus.query(query)
            good, found = result and all(value == value for _, value in result), f"{len(result)} series"
        yield good, f"dashboard, {title}, {legend}: {found}" + ("" if good else f" for {query}")
    yield count > 0, f"the dashboard has {count} queries"


def restarts(prometheus, namespace, pods, container):
    """One pod was OOM-killed."""
    dashboard = Dashboard(namespace, pods, container)
    query = next(query for title, _, query in dashboard.queries() if title == "Restarts by reason")
    reasons = prometheus.query(query)
    yield (len(reasons) == 1 and reasons[0][0] == {"reason": "OOMKilled"} and reasons[0][1] > 0,
           f"the dashboard shows the restart with its reason: {reasons}")
