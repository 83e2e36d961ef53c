#!/usr/bin/env bash
# Makes a private Python environment and prints its path: .sagebrush/python (the SDKs, uv; tools/requirements.txt) or,
# for `tools/python_env.sh NAME`, .sagebrush/NAME (tools/requirements-NAME.txt): serving, sdk3, peers, or peers-smoke. A
# second run only compares a stamp. Needs python3 3.11 or 3.12 (SAGEBRUSH_PYTHON names another interpreter).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home="$root/.sagebrush"
case "${1:-}" in
  '') venv="$home/python" requirements="$root/tools/requirements.txt" overrides=() ;;
  serving | sdk3)
    venv="$home/$1" requirements="$root/tools/requirements-$1.txt"
    overrides=(--overrides "$root/tools/overrides-$1.txt")
    ;;
  peers | peers-smoke) venv="$home/$1" requirements="$root/tools/requirements-$1.txt" overrides=() ;;
  *) echo "usage: tools/python_env.sh [serving|sdk3|peers|peers-smoke]" >&2; exit 2 ;;
esac
# The SDK's version 3 takes seconds to import, and twice as many where no bytecode is written.
compile=()
[[ ${1:-} == sdk3 ]] && compile=(--compile-bytecode)
python=${SAGEBRUSH_PYTHON:-python3}

if ! version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null); then
  echo "There is no $python here. Run tools/install_dependencies.sh, or name one: SAGEBRUSH_PYTHON=/path/to/python3" >&2
  exit 1
fi
case "$version" in
  3.11.*|3.12.*) ;;
  *)
    echo "The pinned packages need Python 3.11 or 3.12; $python is $version." >&2
    echo "Name another interpreter: SAGEBRUSH_PYTHON=/path/to/python3.11 tools/python_env.sh" >&2
    exit 1
    ;;
esac

# The path is part of the stamp, for a venv that was moved with its checkout does not work.
wanted="$(cat "$requirements" "${overrides[@]:1}" | sha256sum | cut -d' ' -f1) $version $venv"
ready() { [[ -x $venv/bin/python && $(cat "$venv/.stamp" 2>/dev/null) == "$wanted" ]]; }
if ready; then
  echo "$venv"
  exit 0
fi

mkdir -p "$home"
exec 9>"$venv.lock"
flock 9
if ready; then  # another run has just made it
  echo "$venv"
  exit 0
fi

# uv and pip keep caches under HOME; without a usable one they go beside the environment.
if [[ -z ${HOME:-} || ! -w ${HOME:-} ]]; then
  export HOME="$home/home"
  mkdir -p "$HOME"
fi
certificates=()
if [[ -n ${SSL_CERT_FILE:-} ]]; then
  certificates=(--cert "$SSL_CERT_FILE")
fi

log="$venv.log"
: >"$log"
run() {
  if ! "$@" >>"$log" 2>&1 </dev/null; then
    echo "This failed: $*" >&2
    tail -n 25 "$log" >&2
    echo "The whole log: $log" >&2
    return 1
  fi
}

echo "Making the Python environment (${venv##*/}: some minutes at the first time)…" >&2
rm -rf "$venv"
run "$python" -m venv "$venv" || exit 1
uv=$(grep -E '^uv==' "$root/tools/requirements.txt")
run "$venv/bin/python" -m pip install -q --disable-pip-version-check "${certificates[@]}" "$uv" || exit 1
run env -u VIRTUAL_ENV "$venv/bin/uv" pip install -q "${compile[@]}" --python "$venv/bin/python" "${overrides[@]}" -r "$requirements" || exit 1
echo "$wanted" >"$venv/.stamp"
rm -f "$log"
echo "$venv"
