"""--autotune with the real TensorFlow: it measures, says so, chooses, and serves."""

import json

import pytest
import requests

from conftest import expected, export
from test_lifecycle import run

TRIALS_ON_MANY_CORES, TRIALS_ON_ONE = 5, 2


def events(server, name):
    lines = [line for line in server.log().splitlines() if line.startswith("{")]
    return [event for event in map(json.loads, lines) if event.get("event") == name]


def settings(event):
    return event["onednn"], event["intra_op_threads"], event["inter_op_threads"]


def ask(server, model, *instances):
    return requests.post(f"{server.rest}/v1/models/{model}:predict", json={"instances": instances},
                         timeout=60).json()["predictions"]


@pytest.mark.parametrize("goal", ["latency", "throughput"])
def test_the_choice_is_one_of_those_measured_and_serves(start_server, goal):
    server = start_server(f"--autotune={goal}", "--model", f"digits={export('digits')}")
    measured, chosen = events(server, "autotune_measured"), events(server, "autotune_chosen")
    assert len(measured) in (TRIALS_ON_MANY_CORES, TRIALS_ON_ONE), server.log()
    assert all(event["one_row_us"] > 0 and event["rows_per_second"] > 0 for event in measured)
    assert len(chosen) == 1 and chosen[0]["goal"] == goal
    best = (min(measured, key=lambda event: event["one_row_us"]) if goal == "latency" else
            max(measured, key=lambda event: event["rows_per_second"]))
    picked = next(event for event in measured if settings(event) == settings(chosen[0]))
    key = "one_row_us" if goal == "latency" else "rows_per_second"
    assert picked[key] == pytest.approx(best[key], rel=0.05)
    loaded = events(server, "tensorflow_loaded")
    assert [settings(event) for event in loaded] == [settings(chosen[0])], "what is chosen is what computes"
    call = expected("digits")["serving_default"]
    (images,) = call["inputs"].values()
    (scores,) = call["outputs"].values()
    assert ask(server, "digits", *images) == [pytest.approx(row, rel=1e-4) for row in scores]


def test_what_the_user_has_set_stays_and_what_cannot_be_asked_is_said(start_server):
    server = start_server("--onednn", "false", "--tensorflow_intra_op_parallelism", "1", "--model",
                          f"strings={export('strings')}", "--model", f"half={export('half_plus_two')}",
                          SAGEBRUSH_AUTOTUNE="balanced")
    (skipped,) = events(server, "autotune_skipped")
    assert skipped["model"] == "strings" and "holds no numbers" in skipped["reason"]
    assert {settings(event) for event in events(server, "autotune_measured")} == {("off", 1, -1)}
    assert events(server, "autotune_chosen")[0]["models"] == 1
    assert ask(server, "half", 1.0) == [2.5]


def test_without_anything_to_measure_the_defaults_stay(start_server):
    server = start_server("--autotune", "--model", f"strings={export('strings')}")
    assert events(server, "autotune_not_done") and not events(server, "autotune_chosen")
    (loaded,) = events(server, "tensorflow_loaded")
    assert settings(loaded) == ("by TensorFlow", 1, -1)
    assert ask(server, "strings", "a")[0]["upper"] == "A"


@pytest.mark.parametrize(("arguments", "text"), [(["--autotune=speed"], "--autotune"),
                                                 (["--autotune", "--backend", "openvino"], "TensorFlow's settings")])
def test_a_goal_that_is_none_is_refused(arguments, text):
    failed = run("--model=m=/nonexistent", *arguments)
    assert failed.returncode == 2 and text in failed.stderr
