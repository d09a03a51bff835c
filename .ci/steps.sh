# shellcheck shell=bash disable=SC2154
# What .ci/run and .ci/nightly share. A script that sources this file has set
#
#   steps          its steps in order, each as NAME:MINUTES
#   total_minutes  the limit on all of them together
#   step_NAME      a function for each step that is not defined here
#
# and ends with `main "$@"`. Without arguments all steps run, in order;
# `--list` prints their names; otherwise the named ones run.

set -euo pipefail

# With CI set, the tests fail where a program that they need is missing.
export CI="${CI:-1}"

main() {
    local name names=("${steps[@]%%:*}")
    for name in "${names[@]}"; do
        declare -F "step_$name" >/dev/null || die "no function step_$name"
    done
    case "${1-}" in
        --list)
            printf '%s\n' "${names[@]}"
            return
            ;;
        --now)
            # Not in a condition or a list: there a failure would be ignored.
            "step_$2"
            return
            ;;
        -*) die "usage: $0 [--list | STEP...]" ;;
    esac
    (($# == 0)) || names=("$@")
    # A wrong name ends the run before its first step.
    for name in "${names[@]}"; do
        minutes "$name" >/dev/null
    done
    for name in "${names[@]}"; do
        run_step "$name"
    done
    echo "== ${#names[@]} of ${#steps[@]} steps passed: $SECONDS s"
}

die() {
    echo "$1" >&2
    exit 2
}

# minutes STEP: its limit.
minutes() {
    local row
    for row in "${steps[@]}"; do
        if [[ $row == "$1":* ]]; then
            echo "${row#*:}"
            return
        fi
    done
    die "no step $1; the steps are: ${steps[*]%%:*}"
}

# run_step STEP: runs it, within its own limit and what is left of the total.
run_step() {
    local name=$1 start=$SECONDS status=0 limit
    limit=$(($(minutes "$name") * 60))
    local left=$((total_minutes * 60 - SECONDS))
    if ((left < limit)); then limit=$left; fi
    if ((limit <= 0)); then
        echo "== $name: no time left, $total_minutes minutes are over" >&2
        exit 1
    fi
    echo "== $name"
    # A process of its own, so that `timeout` can end it.
    timeout --kill-after=10 "$limit" bash ".ci/${0##*/}" --now "$name" || status=$?
    echo "== $name: $((SECONDS - start)) s"
    if ((status == 124)); then
        echo "== $name failed: it took more than $limit s" >&2
        exit 1
    elif ((status != 0)); then
        echo "== $name failed with status $status" >&2
        exit 1
    fi
}

# The Debian packages that tests and benchmarks need, where they are missing:
# valgrind and objdump to count instructions, C and C++ compilers and make for
# the other allocators, Debian's build of one, and the programs that run under
# the C library. Installing a package may start its server; the tests do
# not use that one, theirs listen on sockets in temporary directories.
step_packages() {
    local missing=() row name package version
    for row in chromium valgrind heaptrack objdump:binutils cc:gcc g++ make pkg-config strace \
        redis-server redis-benchmark:redis-tools memcached nginx perl lua5.4 git sqlite3 \
        gs:ghostscript z3 clang++:clang node:nodejs java:openjdk-17-jdk-headless \
        javac:openjdk-17-jdk-headless promtool:prometheus cmake groff:groff-base \
        google-pprof:google-perftools ruby tmux; do
        name=${row%%:*} package=${row##*:}
        PATH="$PATH:/usr/sbin" command -v "$name" >/dev/null || missing+=("$package")
    done
    [[ -e /usr/include/stdlib.h ]] || missing+=(libc6-dev)
    compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || missing+=(postgresql)
    perl -Mthreads -MStorable -e 1 2>/dev/null || missing+=(perl)
    # Debian's own: a python3 that comes before it in PATH may lack its tests.
    [[ -x /usr/bin/python3 ]] || missing+=(python3)
    /usr/bin/python3 -c "import prometheus_client" 2>/dev/null || missing+=(python3-prometheus-client)
    for row in libtcmalloc_minimal.so.4:libtcmalloc-minimal4 \
        faketime/libfaketimeMT.so.1:libfaketime; do
        name=${row%%:*} package=${row##*:}
        [[ -e "/usr/lib/$(uname -m)-linux-gnu/$name" ]] || missing+=("$package")
    done
    install_packages "${missing[@]}"
    version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    /usr/bin/python3 -c "import test.test_dict" 2>/dev/null \
        || install_packages "libpython$version-testsuite"
}

# install_packages [PACKAGE...]: installs them from Debian.
install_packages() {
    if (($# == 0)); then return; fi
    local root=()
    if ((EUID != 0)); then root=(sudo); fi
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends "$@"
}

# sanitized thread|address COMMAND ARGUMENT...: cargo, for a build with the sanitizer. The
# instrumentation is unstable. The standard library comes without it, which is said to be a
# mismatch for one of them. The helper is a task that AddressSanitizer does not know, and what
# the program still has at its end is not lost.
sanitized() {
    local flags
    case $1 in
        thread)
            flags="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg strata_tsan"
            ;;
        address) flags="-Zsanitizer=address --cfg strata_asan" ;;
    esac
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags \
        ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0 \
        cargo "$2" --target "$(uname -m)-unknown-linux-gnu" "${@:3}"
}

# The crates of Cargo.lock. Only `packages`, `fetch` and the installation of
# cargo-deny and cargo-mutants use the network.
step_fetch() {
    cargo fetch --locked
}
