"""Alerting: observations become alerts by rules with persistence and cooldown; channels deliver them."""

from everloop.alerting.records import Alert, AlertRule, Channel, Observation
from everloop.alerting.service import Alerting

__all__ = ["Alert", "AlertRule", "Alerting", "Channel", "Observation"]
