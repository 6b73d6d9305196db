"""Which value of GOMEMLIMIT loses least: the share of runs that survive, by the size of the load, in containers of
many sizes. The raw figures are docs/survival.csv."""

from .part import TITLE, draw, measure, report, seconds, targets

__all__ = ["TITLE", "draw", "measure", "report", "seconds", "targets"]
