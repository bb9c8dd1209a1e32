"""Which schema this program has, and where a database says which one it has.

Tests: tests/integration/test_migrations.py.
"""

VERSION_TABLE = "everloop_schema"
# The newest script; a test compares it with the folder, so that opening a database need not import Alembic.
HEAD = "0001"
