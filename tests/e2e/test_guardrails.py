"""What Core ML is known to refuse is said before any work, and again of a finished package."""

import json

import pytest
from conftest import MODELS, SMALL, settings

NARROW = MODELS / "gqa_bf16"  # heads of 24 numbers, which no Neural Engine takes for the width of a state
NEURAL_ENGINE = ["--compute-units", "CPU_AND_NE"]
ACCEPT = settings(target__accept='["state-width"]')


def rules(report):
    return {finding["rule"]: finding for finding in report["guardrails"]}


def test_an_error_stops_a_conversion_before_any_work_and_names_the_key(d2c):
    message = d2c.refused(2, "convert", "--model", NARROW, *SMALL, *NEURAL_ENGINE, "-o", "out.mlpackage")
    assert "state-width" in message and "target.compute_units" in message and "target.accept" in message
    assert list(d2c.folder.iterdir()) == []


def test_a_plan_shows_all_that_is_known_and_fails(d2c):
    done = d2c.run("plan", "--model", NARROW, *SMALL, *NEURAL_ENGINE, "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["passed"] is False
    assert rules(report)["state-width"]["severity"] == "error"
    assert rules(report)["four-bits-with-states"]["severity"] == "warning"
    assert "kv_cache" in d2c.run("plan", "--model", NARROW, *SMALL, *NEURAL_ENGINE).stdout


def test_an_accepted_error_is_carried_out_and_told(d2c):
    done = d2c.ok("convert", "--model", NARROW, *SMALL, *NEURAL_ENGINE, *ACCEPT, "-o", "out.mlpackage", "--json")
    assert rules(json.loads(done.stdout))["state-width"]["accepted"] is True
    assert "four-bits-with-states" in done.stderr and "state-width" not in done.stderr


def test_accepting_what_is_no_rule_is_an_error(d2c):
    message = d2c.refused(2, "plan", "--model", NARROW, *SMALL, *settings(target__accept='["state-widht"]'))
    assert "did you mean 'state-width'" in message


def test_a_finished_package_is_told_the_same(d2c, convert):
    package = convert(NARROW).path
    assert rules(d2c.report("lint", package)) == rules(convert(NARROW).report)
    done = d2c.run("lint", package, *NEURAL_ENGINE, "--json")
    assert done.returncode == 1
    assert rules(json.loads(done.stdout))["state-width"]["severity"] == "error"
    assert d2c.run("lint", package, *NEURAL_ENGINE, "--accept", "state-width").returncode == 0


@pytest.mark.parametrize("model", ["mha_fp32", "tied_bf16"])
def test_plan_and_lint_agree(d2c, convert, model):
    package = convert(MODELS / model)
    told = {(f["rule"], f["severity"]) for f in package.report["guardrails"]}
    assert {(f["rule"], f["severity"]) for f in d2c.report("lint", package.path)["guardrails"]} == told
