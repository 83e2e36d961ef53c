#!/usr/bin/env bash
# Installs the Debian packages that building, running and testing Sagebrush needs, and that are missing. Quiet unless
# something fails; a second run only asks dpkg. Run it as root or as a user who may use sudo.
#   tools/install_dependencies.sh [--force] [--list]
#     --force   go on although this is not Debian 12
#     --list    print the package names and stop
set -euo pipefail

packages=(
  # compiler, linter and build tools; libclang-rt and llvm serve the sanitizer and fuzz presets
  clang-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev llvm-19
  cmake ninja-build mold ccache pkg-config
  # libraries
  libboost1.81-dev libboost-json1.81-dev libssl-dev zlib1g-dev libfmt-dev libtomlplusplus-dev libcli11-dev
  libsqlite3-dev libarchive-dev libpcre2-dev libpugixml-dev
  # the model server
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev libre2-dev libc-ares-dev
  prometheus-cpp-dev
  libgtest-dev libgmock-dev librapidcheck-dev
  # running: Python environments, instances (newuidmap, ip), downloads
  python3 python3-venv uidmap iproute2 util-linux ca-certificates curl git
  # MPI jobs; Horovod's source, which clang refuses, is built at its first use
  openmpi-bin libopenmpi-dev g++ make
)

force=false
for argument in "$@"; do
  case "$argument" in
    --force) force=true ;;
    --list) printf '%s\n' "${packages[@]}"; exit 0 ;;
    *) echo "usage: tools/install_dependencies.sh [--force] [--list]" >&2; exit 2 ;;
  esac
done

system="an unknown system"
release_file="${SAGEBRUSH_OS_RELEASE:-/etc/os-release}"
if [[ -r $release_file ]]; then
  system=$(. "$release_file" && echo "${PRETTY_NAME:-${ID:-unknown} ${VERSION_ID:-}}")
  codename=$(. "$release_file" && echo "${VERSION_CODENAME:-}")
fi
if [[ ${codename:-} != bookworm ]] && ! $force; then
  echo "Sagebrush needs Debian 12 (bookworm) packages; found $system." >&2
  echo "If your system has packages of the same names, run: tools/install_dependencies.sh --force" >&2
  exit 1
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "Sagebrush installs its packages with apt-get, which this system ($system) does not have." >&2
  exit 1
fi

# dpkg-query fails when it has never heard of a name; what it prints about the others still counts.
installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $EUID -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "Packages are missing and there is no sudo here. As root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
  # sudo asks for a password on the terminal, wherever standard input comes from; without a terminal it must not ask.
  if ! sudo -n true 2>/dev/null && ! { : </dev/tty; } 2>/dev/null; then
    echo "Packages are missing and sudo wants a password. Run: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi

echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$(mktemp "${TMPDIR:-/tmp}/sagebrush-packages.XXXXXX.log")
run() {
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@" >>"$log" 2>&1 </dev/null; then
    echo "This failed: $*" >&2
    tail -n 25 "$log" >&2
    echo "The whole log: $log" >&2
    return 1
  fi
}
# The password, where one is needed, is asked for here and not in the middle of the log.
if [[ ${#as_root[@]} -ne 0 ]] && ! sudo -n true 2>/dev/null; then sudo -v; fi
run apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update || exit 1
run apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
  install --no-install-recommends "${missing[@]}" || exit 1
rm -f "$log"
