"""Runs one trivial job on a throw-away engine, so that the environment of the test jobs is cached before they start."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.engine import Engine  # noqa: E402
from support.jobs import Jobs  # noqa: E402

DEADLINE = 1200


def main():
    engine = Engine()
    try:
        engine.start()
        jobs = Jobs(engine)
        description = jobs.run(deadline=DEADLINE)
        print(description["TrainingJobStatus"], description.get("FailureReason", ""))
        if description["TrainingJobStatus"] != "Completed":
            print("\n".join(jobs.lines(description["TrainingJobName"])), engine.log_tail(), sep="\n")
            return 1
        return 0
    finally:
        engine.destroy()


if __name__ == "__main__":
    sys.exit(main())
