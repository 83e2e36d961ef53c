"""kill -9 at every named commit and effect of a training job, and of an endpoint. SAGEBRUSH_CAMPAIGN=long runs every
passage of every point; otherwise each point is tried once, and then in other passages and scenarios until the time is
used up. SAGEBRUSH_CAMPAIGN_SEED repeats a choice; SAGEBRUSH_FAILPOINTS="scenario:name@k …" runs just those.
"""

import concurrent.futures
import os
import random
import time

from crash.campaign import Point, enumerate_passages, run_point
from crash.endpoint_scenarios import EndpointClient
from crash.job_scenarios import JobClient

JOB_SECONDS = 150
ENDPOINT_SECONDS = 60
WORKERS = 3
FIRST_PASSAGES = 3
# What a job passes as often, and an endpoint no other than a job.
SHARED = ("objstore.", "metrics.")


def in_full():
    return os.environ.get("SAGEBRUSH_CAMPAIGN") == "long"


def points_by_rank(kind, skipped):
    """[first passages, second passages, …] of every point, each in the first scenario that passes it (those of
    kind.IN_EACH in each); of a point passed very often, the last passage stands for the many in between."""
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        passed = list(pool.map(lambda scenario: enumerate_passages(kind, scenario), kind.SCENARIOS))
    ranks, known = {}, set()
    for scenario, passages in zip(kind.SCENARIOS, passed, strict=True):
        for name, times in passages.items():
            again = name in known
            if not in_full() and (again and not name.startswith(kind.IN_EACH) or name.startswith(skipped)):
                continue
            known.add(name)
            wanted = range(1, times + 1) if in_full() else sorted({*range(1, min(times, FIRST_PASSAGES) + 1), times})
            for rank, passage in enumerate(wanted, start=int(again)):
                ranks.setdefault(rank, []).append(Point(name, passage, scenario))
    return [ranks[rank] for rank in sorted(ranks)]


def chosen_points(kind, seed, skipped):
    """In the order in which they are tried: first all first passages, then the second ones …; shuffled within a rank."""
    named = os.environ.get("SAGEBRUSH_FAILPOINTS")
    if named is None:
        rng = random.Random(seed)
        return [point for rank in points_by_rank(kind, skipped) for point in rng.sample(rank, len(rank))]
    points = []
    for text in named.split():
        scenario, _, place = text.partition(":")
        name, _, passage = place.partition("@")
        points.append(Point(name, int(passage or 1), scenario))
    return [point for point in points if point.scenario in kind.SCENARIOS]


def campaign(capsys, kind, seconds, needed, skipped=()):
    """Kills at the points of the client's scenarios, for so many seconds, or until all is done."""
    seed = int(os.environ.get("SAGEBRUSH_CAMPAIGN_SEED", random.SystemRandom().randrange(10**6)))
    points = chosen_points(kind, seed, tuple(skipped))
    names = {point.name for point in points}
    chosen = "SAGEBRUSH_FAILPOINTS" in os.environ
    assert chosen or needed <= names, sorted(names)
    first = {point.name: point for point in reversed(points)}
    end = time.monotonic() + seconds
    outcomes = {}

    def attempt(point):
        late = not in_full() and not chosen and time.monotonic() > end
        if late and first[point.name] != point:
            return
        try:
            outcomes[point] = run_point(kind, point) or "not reached"
        except Exception as error:
            outcomes[point] = error

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(attempt, points))
    failures = {point: error for point, error in outcomes.items() if isinstance(error, Exception)}
    with capsys.disabled():
        print(f"\ncampaign: seed {seed}, {len(names)} failpoints, {len(points)} passages, {len(outcomes)} run")
        for point, outcome in outcomes.items():
            print(f"  {point.scenario:9}{str(point):48} {'FAILED' if point in failures else outcome}")
    assert not failures, "\n".join(f"{point.scenario}:{point}: {error!r}" for point, error in failures.items())
    assert chosen or "engine" in outcomes.values(), "no engine was killed at all"


def test_a_kill_at_any_point_of_a_job_is_recovered_from(capsys):
    campaign(capsys, JobClient, JOB_SECONDS, {
        "db.before_commit", "control.start.after_intent", "control.stop.after_effect", "control.release.after_effect",
        "control.restart.before_next", "control.checkpoint.after_upload", "metrics.ingest.after_commit"})


def test_a_kill_at_any_point_of_an_endpoint_is_recovered_from(capsys):
    campaign(capsys, EndpointClient, ENDPOINT_SECONDS, {
        "db.before_commit", "control.endpoint.after_commit", "control.endpoint.change.before_commit",
        "control.endpoint.stage.after_effect", "control.endpoint.start.after_effect",
        "control.endpoint.stop.before_effect", "control.endpoint.destroy.after_effect",
        "control.endpoint.remove.after_commit", "driver.start.after_launch", "agent.program.before_start"}, SHARED)
