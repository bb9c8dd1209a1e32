"""Profiles: statistics of each part, taken in one scan, merged into the profile of a version.

Tests: tests/unit/data/test_profiles.py, tests/property/test_statistics.py.
"""

from everloop.data.profiles.reading import profile, to_profile
from everloop.data.profiles.scan import part_statistics
from everloop.data.profiles.statistics import (
    OutdatedStatisticsError,
    Statistics,
    StatisticsMismatchError,
    decode_statistics,
    encode_statistics,
    merge_statistics,
)

__all__ = [
    "OutdatedStatisticsError",
    "Statistics",
    "StatisticsMismatchError",
    "decode_statistics",
    "encode_statistics",
    "merge_statistics",
    "part_statistics",
    "profile",
    "to_profile",
]
