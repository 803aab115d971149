"""The audit of storage by several processes, each with connections of its own to a bucket of Google Cloud Storage."""

import time
from contextlib import closing
from dataclasses import astuple

from benchmarks.audit import store_containers
from benchmarks.chain_home import chain_home
from chain.ledger import Ledger
from gateway.index.database import open_index
from gateway.storage.opening import open_object_store
from jobs import audit_storage
from jobs.audit_report import Report, merge
from jobs.audit_storage import Bounds, verify_storage


def test_shards_in_two_processes_say_what_one_says_and_name_what_was_altered(tmp_path, gcs_bucket, monkeypatch):
    monkeypatch.setattr(audit_storage, "SHARD", 1)
    with chain_home(tmp_path, f"gs://{gcs_bucket}/gateway") as home, closing(open_index(home.settings.effective_database_url)) as index:
        store = open_object_store(home.settings.effective_bucket_url)
        for row in range(1, 4):
            store_containers(home, index, store, range(row, row + 1))
        altered, gone, _ = [found.name for found in store.list()]
        body = store.get(altered)
        store.delete(altered)
        store.put_if_absent(altered, body[:-1] + bytes([body[-1] ^ 1]))
        store.delete(gone)
        reports = []
        for processes in (1, 2):
            report, bounds = Report(), Bounds(int(time.time()), 60)
            for shard in verify_storage(home.settings, Ledger(home.store, home.genesis), index, store, bounds, processes):
                report = merge(report, shard)
            reports.append(report)
    assert astuple(reports[0]) == astuple(reports[1])
    assert {(finding.code, finding.subject) for finding in reports[1].findings} == {
        ("container-altered", altered),
        ("container-missing", gone),
    }
    assert reports[1].checked["containers"] == 3
