"""The benchmarks' command line."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import deploy_time
import endpoint_recovery
import endpoint_update
import fit_overhead
import gang_simulated
import gang_start
import horovod_ratio
import invoke_overhead
import log_latency
import metrics_record
import ps_ratio
import serving_memory
import serving_openvino
import serving_overhead
import serving_peers
import serving_swap
import serving_throughput
import start_latency

ROOT = pathlib.Path(__file__).resolve().parents[1]
BENCHMARKS = {module.NAME: module for module in (start_latency, fit_overhead, log_latency, gang_start, gang_simulated,
                                                 horovod_ratio, ps_ratio, metrics_record, serving_overhead,
                                                 serving_throughput, serving_peers, serving_swap, serving_memory,
                                                 serving_openvino, deploy_time, invoke_overhead, endpoint_update,
                                                 endpoint_recovery)}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description="Runs one benchmark, or lists them all.")
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--smoke", action="store_true", help="as little as shows that the benchmark works")
    parser.add_argument("--names", action="store_true", help="print the names only")
    parser.add_argument("--build", type=pathlib.Path, help="a build directory to measure instead of build/release")
    return parser.parse_args()


def build_release():
    log = ROOT / "build" / "bench-build.log"
    log.parent.mkdir(exist_ok=True)
    with open(log, "w") as output:
        for command in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release"]):
            if subprocess.run(command, cwd=ROOT, stdout=output, stderr=output).returncode != 0:
                sys.exit(f"The release build failed; see {log}")
    return ROOT / "build/release"


def main():
    arguments = parse_arguments()
    if arguments.names:
        print("\n".join(BENCHMARKS))
    elif not arguments.name:
        print("./bench/run NAME, where NAME is one of:")
        for name, module in BENCHMARKS.items():
            print(f"  {name:16} {module.__doc__.splitlines()[0]}")
    else:
        os.environ["SAGEBRUSH_BUILD"] = str(arguments.build.resolve() if arguments.build else build_release())
        report = BENCHMARKS[arguments.name].run(arguments.smoke)
        print(json.dumps(report.as_json()) if arguments.json else report.as_text())


if __name__ == "__main__":
    main()
