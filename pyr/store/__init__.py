"""Append-only run folders: what was measured, on disk, and nothing else.

results/<run id>/run.json             who, what, where, when; written last
                 <probe>.parquet      the records of one probe
                 documents.parquet    the items as they were asked
                 aggregates.parquet   published scores without items (imported runs)
                 chunks/<probe>/      records of a run under way; gone when it is finished
                 lock                 held by the one process that writes
"""

from pyr.store.store import Store
from pyr.store.tables import Document, Results, records_digest
from pyr.store.writer import OpenRun

__all__ = ["Document", "OpenRun", "Results", "Store", "records_digest"]
