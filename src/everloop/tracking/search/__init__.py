"""Find runs: a filter language, columns of values in memory, and pages, counts, facets and groups of them. Tests: tests/unit/tracking/search."""
