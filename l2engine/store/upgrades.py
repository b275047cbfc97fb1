"""Upgrades a database written by an earlier version of the schema to this one, in place.

`STEPS` has a row for each version whose successor changed something on disk. A step may be interrupted at any moment and is then run
again from its beginning, so its result must not depend on the part that was done before. The row with the version is written last,
in its own synced batch, so that a database names a version only when it is completely upgraded.
"""

import logging
from collections.abc import Callable, Mapping

from l2engine.errors import StoreError
from l2engine.store import schema
from l2engine.types.storage import KeyValue

log = logging.getLogger(__name__)

Step = Callable[[KeyValue], None]
"""Rewrites the rows that one version changes; idempotent, in any number of batches."""

STEPS: Mapping[int, Step] = {}
"""The steps by the version that they start from. Version 1 is the first, so there are none yet."""


def upgrade(kv: KeyValue, name: str, found: int) -> None:
    """Upgrade the database from version `found` to this program's; `StoreError` when a version in between is no longer known."""
    missing = next((version for version in range(found, schema.VERSION) if version not in STEPS), None)
    if missing is not None:
        raise StoreError(f"database {name} has schema version {found}, which this program no longer reads")
    for version in range(found, schema.VERSION):
        log.info("Upgrading the database", extra={"fields": {"path": name, "from": version, "to": version + 1}})
        STEPS[version](kv)
        batch = kv.batch()
        batch.put(schema.SCHEMA, schema.schema_row(version + 1))
        batch.write(sync=True)
