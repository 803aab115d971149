"""Percentiles, rates, targets, and which stage a sample belongs to."""

import importlib

import pytest

from benchmarks.stages import FUNCTIONS, OTHER, STAGES, stage_of
from benchmarks.targets import rows
from benchmarks.timing import percentile, rate


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_the_nearest_rank(share, expected):
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_a_percentile_of_few_values_is_never_flattered():
    assert percentile(list(range(1, 11)), 0.99) == 10


def test_a_rate_counts_by_the_clock_given():
    now = [0.0]

    def work():
        now[0] += 0.01

    assert rate(work, 5.0, lambda: now[0]) == pytest.approx(100)


@pytest.mark.parametrize(("module", "function"), list(FUNCTIONS))
def test_every_function_that_marks_a_stage_exists(module, function):
    assert callable(vars(importlib.import_module(module))[function])


def test_a_sample_belongs_to_the_outermost_stage_of_its_stack():
    receive, run = ("gateway.intake", "receive"), ("gateway.intake", "run")
    assert stage_of([("fhir_adapters.resource", "standard_bytes"), ("gateway.versions", "_record"), run, receive]) == "content"
    assert stage_of([("chain.merkle", "root"), ("gateway.vault.seal", "seal_bundle"), ("gateway.sealing", "seal"), run, receive]) == "seal"
    assert stage_of([("gateway.vault.submission", "verify"), ("gateway.sealing", "attest"), receive]) == "attest"
    assert stage_of([("gateway.index.sources", "rows_by_source"), ("gateway.identity.lookups", "look_up"), run, receive]) == "resolve"
    assert stage_of([("sqlalchemy.engine", "commit"), ("gateway.index.database", "atomic"), run, receive]) == "commit"
    assert stage_of([("gateway.storage.file_store", "put_if_absent"), run, receive]) == "put"
    assert stage_of([("fhir_adapters.text", "check_text"), ("gateway.submission", "read_submission"), receive]) == "check_text"
    assert stage_of([receive]) == stage_of([]) == OTHER
    assert {"check_text", "split", "parse", "content", "resolve", "seal", "put", "commit"} < set(STAGES)


def test_a_target_that_is_missed_says_so_and_what_was_not_measured_is_left_out():
    limits = {"sha256_mb_per_s": 1800.0, "ed25519_verify_per_s": 18000.0}
    result = {
        "limits": limits,
        "audit": {"storage_mb_per_s": 450.0},
        "receipts": {"verified_per_s_per_core": 12000, "final_slots_p99": 2.5},
    }
    found = {row.target.what: row for row in rows(result)}
    assert len(found) == 3
    storage, verified, final = found.values()
    assert (storage.is_met, storage.target.goal, storage.share) == (False, 900, 0.25)
    assert (verified.is_met, final.is_met) == (True, False)
