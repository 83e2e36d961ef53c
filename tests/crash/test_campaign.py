"""kill -9 at every named commit and effect of a training job. SAGEBRUSH_CAMPAIGN=long runs every passage of every
point; otherwise the first passages of all points come first, then later ones, until the time is used up.
SAGEBRUSH_CAMPAIGN_SEED repeats a choice; SAGEBRUSH_FAILPOINTS="name@k …" runs just those.
"""

import concurrent.futures
import os
import random
import time

from crash.campaign import Point, enumerate_passages, run_point

SECONDS = 150
WORKERS = 3
FIRST_PASSAGES = 3
# Failpoints that a job passes which is not left alone.
SCENARIO_OF = {".stop.": "stop", ".restart.": "restart", ".release.": "restart", ".checkpoint.": "restart"}


def ordered_points(seed):
    """Every point's passages, spread: first all first passages, then the second ones …; shuffled within a rank. Of a
    point passed very often, the last passage stands for the many in between."""
    rng = random.Random(seed)
    long = os.environ.get("SAGEBRUSH_CAMPAIGN") == "long"
    ranks = {}
    trained, stopped, restarted = (enumerate_passages(scenario) for scenario in ("train", "stop", "restart"))
    passages = [(name, times, "train") for name, times in trained.items()]
    passages += [(name, times, "stop") for name, times in stopped.items() if long or name not in trained]
    known = set(trained) | set(stopped)
    passages += [(name, times, "restart") for name, times in restarted.items() if long or name not in known]
    for name, times, scenario in passages:
        wanted = range(1, times + 1) if long else sorted({*range(1, min(times, FIRST_PASSAGES) + 1), times})
        for rank, passage in enumerate(wanted):
            ranks.setdefault(rank, []).append(Point(name, passage, scenario))
    points = []
    for rank in sorted(ranks):
        rng.shuffle(ranks[rank])
        points += ranks[rank]
    return points


def chosen_points(seed):
    named = os.environ.get("SAGEBRUSH_FAILPOINTS")
    if named:
        return [Point(name, int(passage or 1), next((scenario for part, scenario in SCENARIO_OF.items() if part in name),
                                                    "train"))
                for name, _, passage in (text.partition("@") for text in named.split())]
    return ordered_points(seed)


def test_a_kill_at_any_point_of_a_job_is_recovered_from(capsys):
    seed = int(os.environ.get("SAGEBRUSH_CAMPAIGN_SEED", random.SystemRandom().randrange(10**6)))
    points = chosen_points(seed)
    names = {point.name for point in points}
    if "SAGEBRUSH_FAILPOINTS" not in os.environ:
        assert {"db.before_commit", "control.start.after_intent", "control.stop.after_effect",
                "control.release.after_effect", "control.restart.before_next",
                "control.checkpoint.after_upload", "metrics.ingest.after_commit"} <= names, sorted(names)
    unbounded = os.environ.get("SAGEBRUSH_CAMPAIGN") == "long"
    end = time.monotonic() + SECONDS
    outcomes = {}

    def attempt(point):
        if not unbounded and time.monotonic() > end:
            return
        try:
            outcomes[point] = run_point(point) or "not reached"
        except Exception as error:
            outcomes[point] = error

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(attempt, points))
    failures = {point: error for point, error in outcomes.items() if isinstance(error, Exception)}
    with capsys.disabled():
        print(f"\ncampaign: seed {seed}, {len(names)} failpoints, {len(points)} passages, {len(outcomes)} run")
        for point, outcome in outcomes.items():
            print(f"  {str(point):45} {'FAILED' if point in failures else outcome}")
    untried = names - {point.name for point in outcomes}
    assert not failures, "\n".join(f"{point}: {error!r}" for point, error in failures.items())
    assert not untried, f"no time was left for {sorted(untried)}"
    if "SAGEBRUSH_FAILPOINTS" not in os.environ:
        assert "engine" in outcomes.values(), "no engine was killed at all"
