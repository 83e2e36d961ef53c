#!/usr/bin/env bash
# Every check that needs no build: layers and allow-lists, formatting, generated code, Python syntax, shell syntax.
#   tools/lint.sh [--tidy [BASE]]
#     --tidy  clang-tidy too, on the source files that differ from BASE (default: the last commit), with the compile
#             commands of build/dev (make them with `cmake --preset dev`)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

tidy=false
base=HEAD
if [[ ${1:-} == --tidy ]]; then
  tidy=true
  base=${2:-HEAD}
elif [[ $# -gt 0 ]]; then
  echo "usage: tools/lint.sh [--tidy [BASE]]" >&2
  exit 2
fi

failed=()
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    printf '  ok    %s\n' "$name"
  else
    printf '  FAIL  %s\n' "$name"
    tail -n 60 <<<"$output" | sed 's/^/        /'
    failed+=("$name")
  fi
}

format() {
  find src apps tests -name '*.h' -o -name '*.cc' | xargs -r clang-format-19 --dry-run -Werror
}
python_syntax() {
  # PYTHONPYCACHEPREFIX keeps the compiled files out of the tree.
  local cache status=0
  cache=$(mktemp -d)
  local folders=()
  for folder in tools tests examples bench; do [[ -d $folder ]] && folders+=("$folder"); done
  PYTHONPYCACHEPREFIX=$cache python3 -m compileall -q "${folders[@]}" || status=1
  rm -rf "$cache"
  return $status
}
shell_syntax() {
  local status=0 file
  while IFS= read -r file; do
    bash -n "$file" || status=1
  done < <(git ls-files -co --exclude-standard | while IFS= read -r file; do
    [[ -f $file ]] && head -c 40 "$file" | grep -aqE '^#!.*\b(ba)?sh\b' && printf '%s\n' "$file"
  done)
  return $status
}
clang_tidy() {
  local commands=build/dev/compile_commands.json files=()
  if [[ ! -f $commands ]]; then
    echo "There is no $commands: run cmake --preset dev"
    return 1
  fi
  mapfile -t files < <({ git diff --name-only --diff-filter=d "$base" -- 'src/*.cc' 'apps/*.cc'
                         git ls-files -o --exclude-standard -- 'src/*.cc' 'apps/*.cc'; } | sort -u)
  [[ ${#files[@]} -eq 0 ]] && return 0
  printf '%s\0' "${files[@]}" | xargs -0 -n1 -P"$(nproc)" clang-tidy-19 -quiet -p build/dev
}

# apigen fetches the pinned API models with pip, which the system's Python may lack.
python=python3
[[ -x .sagebrush/python/bin/python ]] && python=.sagebrush/python/bin/python

check "layers, allow-lists, file sizes" python3 tools/check_layers.py
check "clang-format" format
[[ -f tools/apigen/apigen.py ]] && check "generated code is up to date" "$python" tools/apigen/apigen.py --check
check "python syntax" python_syntax
check "shell syntax" shell_syntax
if $tidy; then
  # .clang-tidy says which findings are errors; the others are shown.
  echo "clang-tidy on what changed since $base:"
  clang_tidy 2> >(grep -vE 'warnings? (generated|treated)|^Suppressed|^Use -' >&2) || failed+=("clang-tidy")
fi

if [[ ${#failed[@]} -gt 0 ]]; then
  echo "lint: ${#failed[@]} of the checks failed"
  exit 1
fi
echo "lint: clean"
