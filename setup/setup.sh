#!/bin/sh
# Sets up whatever is missing to run Berth from this tree. Safe to interrupt and to run again: a step counts as
# done only when its stamp was renamed into place after it. Touches no network when nothing is missing.
#
# usage: setup/setup.sh [test] [peers]     test: what ./run-tests needs; peers: what npm run bench compares with
#        setup/setup.sh packages [GROUP…]   print the system packages of these groups that are missing
#
# Everything it makes is in .tools/ (Node.js, npm, stamps, log), node_modules/, dist/ and keel/build/.
set -eu
cd "$(dirname "$0")/.."
ROOT=$PWD
TOOLS=$ROOT/.tools
STAMPS=$TOOLS/stamps
LOG=$TOOLS/setup.log
STEPS=6
. setup/versions

# ---- messages: all on stderr, since stdout belongs to the container that may run next

step_open=
step_began=0
step() { # N TEXT
  printf '[%s/%s] %s… ' "$1" "$STEPS" "$2" >&2
  printf '\n== [%s/%s] %s\n' "$1" "$STEPS" "$2" >>"$LOG"
  step_open=1
  step_began=$(date +%s)
}
step_done() {
  printf '%s s\n' "$(($(date +%s) - step_began))" >&2
  step_open=
}
fail() { # MESSAGE [HINT]
  [ -z "$step_open" ] || printf 'failed\n' >&2
  printf 'set-up: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
  exit 1
}
# Runs a command with its output in the log; shows the end of the log when it fails.
# The lock (descriptor 9) is not handed on: a daemon that a package starts would keep it.
logged() {
  "$@" >>"$LOG" 2>&1 9>&- </dev/null && return 0
  rc=$?
  printf 'failed\n%s\n' "--- last lines of $LOG:" >&2
  tail -n 15 "$LOG" >&2
  step_open=
  return "$rc"
}
mark() { # NAME KEY: the step NAME is done for KEY
  printf '%s\n' "$2" >"$STAMPS/$1.new"
  mv "$STAMPS/$1.new" "$STAMPS/$1"
}
is_marked() { [ -f "$STAMPS/$1" ] && [ "$(cat "$STAMPS/$1")" = "$2" ]; }

# ---- probing

find_list() {
  distro=${BERTH_SETUP_DISTRO-}
  if [ -z "$distro" ] && [ -r /etc/os-release ]; then
    distro=$(. /etc/os-release && printf '%s-%s' "${ID-}" "${VERSION_ID-}")
  fi
  LIST=setup/packages/$distro
  [ -f "$LIST" ] || fail "this system is '${distro:-unknown}', known are: $(cd setup/packages && echo *)" \
    "if it is close to one of these, set BERTH_SETUP_DISTRO to its name"
}
find_arch() {
  case $(uname -m) in
    x86_64) ARCH=x64 NODE_SHA512=$NODE_SHA512_x64 ;;
    aarch64) ARCH=arm64 NODE_SHA512=$NODE_SHA512_arm64 ;;
    *) fail "this machine is $(uname -m), supported are x86_64 and aarch64" ;;
  esac
}
packages_of() { # GROUP…
  for group in "$@"; do
    while read -r name package _; do
      [ "$name" != "$group" ] || printf '%s\n' "$package"
    done <"$LIST"
  done | sort -u
}
missing_of() { # GROUP…
  wanted=$(packages_of "$@")
  # shellcheck disable=SC2086
  have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null | sed -n 's/ installed$//p' | sort -u)
  for package in $wanted; do
    case "
$have
" in
      *"
$package
"*) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

# ---- [1] system packages

POLICY=/usr/sbin/policy-rc.d
POLICY_TEXT='#!/bin/sh
# Written by Berth'"'"'s set-up for the time of one installation: installs packages without starting their services.
exit 101'
drop_policy() {
  if [ -w "$POLICY" ] && [ "$(cat "$POLICY")" = "$POLICY_TEXT" ]; then rm -f "$POLICY"; fi
}
export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"; }
install_packages() { # GROUP…
  missing=$(missing_of "$@")
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || fail "cannot install $missing: there is no apt-get"
  if [ "$(id -u)" != 0 ]; then
    fail "system packages are missing and only root may install them" \
      "run: sudo apt-get install --no-install-recommends $missing"
  fi
  step 1 "installing system packages: ${missing% }"
  drop_policy
  if [ ! -e "$POLICY" ]; then
    printf '%s\n' "$POLICY_TEXT" >"$POLICY"
    chmod 755 "$POLICY"
  fi
  # Finishes what an interrupted installation left half done; does nothing otherwise.
  logged dpkg --configure -a || fail "cannot configure packages: see $LOG"
  # The lists of a fresh machine are empty or old: they are fetched only when the first try fails.
  # shellcheck disable=SC2086
  if ! apt install --no-install-recommends $missing >>"$LOG" 2>&1 9>&- </dev/null; then
    logged apt update || fail "cannot fetch the lists of packages; missing: $missing" \
      "connect this machine to its package mirror"
    logged apt install --no-install-recommends $missing || fail "cannot install: $missing" \
      "try it by hand: apt-get install --no-install-recommends $missing"
  fi
  drop_policy
  left=$(missing_of "$@")
  [ -z "$left" ] || fail "still missing after installation: $left"
  step_done
}

# ---- [2] and [3] Node.js and npm, both as npm packages of pinned digests

# Puts the files of an npm package under $TOOLS/$1; the directory appears when it is complete.
fetch() { # DIR PACKAGE@VERSION SHA512 PATHS…
  dir=$1 package=$2 want=$3
  shift 3
  work=$TOOLS/fetch.$dir
  rm -rf "$work"
  mkdir -p "$work/out"
  logged npm pack "$package" --pack-destination "$work" --ignore-scripts --no-update-notifier ||
    fail "cannot fetch $package with npm" "connect this machine to its npm registry (npm config get registry)"
  file=$(echo "$work"/*.tgz)
  got=$(sha512sum "$file" | cut -d ' ' -f 1)
  [ "$got" = "$want" ] || fail "verify $package: SHA-512 is $got, pinned is $want" \
    "the registry or a proxy changes the bytes; setup/versions has the pin"
  logged tar -xzf "$file" -C "$work/out" --strip-components=1 --no-same-owner "$@" || fail "cannot unpack $package"
  rm -rf "${TOOLS:?}/$dir"
  mv "$work/out" "$TOOLS/$dir"
  rm -rf "$work"
}
ensure_node() {
  NODE=$TOOLS/node/bin/node
  if [ "$("$NODE" --version 2>/dev/null || :)" != "v$NODE_VERSION" ]; then
    command -v npm >/dev/null || install_packages npm
    step 2 "installing Node.js $NODE_VERSION"
    fetch node "node-linux-$ARCH@$NODE_VERSION" "$NODE_SHA512" package/bin package/LICENSE
    [ "$("$NODE" --version 2>>"$LOG" || :)" = "v$NODE_VERSION" ] || fail "Node.js does not start: see $LOG"
    step_done
  fi
}
ensure_dependencies() {
  key="$NODE_VERSION $NPM_VERSION $ARCH $(cat package-lock.json package.json packages/*/package.json apps/*/package.json keel/package.json | sha256sum)"
  if is_marked dependencies "$key" && [ -d node_modules ]; then return 0; fi
  command -v npm >/dev/null || install_packages npm
  step 3 "installing npm dependencies"
  rm -f "$STAMPS/dependencies"
  # The old npm of a distribution picks other versions and ignores allowScripts; its settings still count.
  settings=$(npm config get globalconfig 2>/dev/null || :)
  npm_js=$TOOLS/npm/bin/npm-cli.js
  is_marked npm "$NPM_VERSION" && [ -f "$npm_js" ] || {
    rm -f "$STAMPS/npm"
    fetch npm "npm@$NPM_VERSION" "$NPM_SHA512"
    mark npm "$NPM_VERSION"
  }
  [ -z "$settings" ] || export npm_config_globalconfig="$settings"
  PATH=$TOOLS/node/bin:$PATH logged "$NODE" "$npm_js" ci --no-audit --no-fund --no-update-notifier ||
    fail "cannot install the npm dependencies" "connect this machine to its npm registry (npm config get registry)"
  mark dependencies "$key"
  step_done
}

# ---- the guests' kernels for ./run-tests vm: unpacked only, so that this machine's own boot stays as it is

# what the guests load: overlay for layers, the others for CRIU, which asks them about sockets and locks networks
GUEST_MODULES="overlay af_packet_diag inet_diag netlink_diag raw_diag tcp_diag udp_diag unix_diag
  libcrc32c nfnetlink nf_tables nf_conntrack nf_conntrack_netlink nf_defrag_ipv4 nf_defrag_ipv6"

# .tools/vm/kernel from this machine's release, .tools/vm/older from the one before it (group kernel@SUITE)
ensure_guest_kernels() {
  [ "$ARCH" = x64 ] || return 0
  ensure_guest_kernel kernel "$(packages_of kernel)"
  suite=$(sed -n 's/^kernel@\([^ ]*\) .*/\1/p' "$LIST")
  [ -z "$suite" ] || ensure_guest_kernel older "$(packages_of "kernel@$suite")" "$suite"
}
ensure_guest_kernel() { # NAME METAPACKAGE [SUITE]
  key="$2${3:+ of $3}"
  modules="$key with $(echo $GUEST_MODULES)"
  if is_marked "vm.$1" "$modules" && [ -f "$TOOLS/vm/$1/vmlinuz" ]; then return 0; fi
  step 1 "fetching a kernel for the test guest ($key)"
  work=$TOOLS/fetch.vm
  rm -rf "$work" "${TOOLS:?}/vm/$1"
  mkdir -p "$work/out" "$TOOLS/vm"
  # The tests in the guest are skipped without it, and say so: no reason to refuse the others.
  if fetch_kernel "$2" "${3-}"; then
    mv "$work/out" "$TOOLS/vm/$1"
    mark "vm.$1" "$modules"
    step_done
  else
    printf 'not to be had\n' >&2
    step_open=
  fi
  rm -rf "$work"
}
fetch_kernel() { # METAPACKAGE [SUITE]: the image, and the modules that the guests load
  of_suite=
  [ -z "$2" ] || list_suite "$2" || return 1
  # shellcheck disable=SC2086
  image=$(apt-cache $of_suite depends "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$image" ] || return 1
  # shellcheck disable=SC2086
  (cd "$work" && apt-get $of_suite -q download "$image") >>"$LOG" 2>&1 9>&- </dev/null || return 1
  dpkg-deb -x "$work"/*.deb "$work/root" >>"$LOG" 2>&1 || return 1
  for module in $GUEST_MODULES; do
    find "$work/root" -name "$module.ko*" -exec mv {} "$work/out/" \;
  done
  mv "$work"/root/boot/vmlinuz-* "$work/out/vmlinuz"
}
# Fetches the lists of another suite from this machine's own mirror into a place of their own; $of_suite names it to apt.
list_suite() { # SUITE
  apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 2>/dev/null | sort -u |
    sed -n "s/^\([^ ]*\) [a-z]*\(-security\)\{0,1\}$/deb \1 $1\2 main/p" >"$work/suite.list"
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  of_suite="-o Dir::Etc::sourcelist=$work/suite.list -o Dir::Etc::sourceparts=/dev/null"
  of_suite="$of_suite -o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache"
  # shellcheck disable=SC2086
  apt-get $of_suite -q update >>"$LOG" 2>&1 9>&- </dev/null
}

# ---- programs for the tests of registries: only where there is a Go that can build them

ensure_go_tools() {
  go=$(command -v go || command -v /usr/local/go/bin/go) || return 0
  if is_marked go-tools "$GO_TOOLS" && [ -d "$TOOLS/go-bin" ]; then return 0; fi
  step 1 "building registry tools (conformance, oras)"
  for module in $GO_TOOLS; do
    # Tests that need it are skipped without it, and say so: no reason to refuse the others.
    if ! GOTOOLCHAIN=local GOBIN=$TOOLS/go-bin "$go" install "$module" >>"$LOG" 2>&1 9>&- </dev/null; then
      printf 'not to be had: %s\n' "$module" >&2
      step_open=
      return 0
    fi
  done
  mark go-tools "$GO_TOOLS"
  step_done
}

# ---- the OCI's validation programs for ./run-tests conformance, where there is a Go to build them with

ensure_validation() {
  go=$(command -v go || command -v /usr/local/go/bin/go) || return 0
  key="$("$go" version) $(cat test/conformance/go.mod test/conformance/go.sum | sha256sum)"
  if is_marked validation "$key" && [ -d "$TOOLS/validation" ]; then return 0; fi
  step 1 "building the OCI runtime validation programs"
  work=$TOOLS/fetch.validation
  rm -rf "$work" "$TOOLS/validation"
  mkdir -p "$work"
  if (cd test/conformance && build_validation "$work") >>"$LOG" 2>&1 9>&- </dev/null; then
    mv "$work" "$TOOLS/validation"
    mark validation "$key"
    step_done
  else
    printf 'not to be had\n' >&2
    step_open=
  fi
  rm -rf "$work"
}
build_validation() { # DIR
  module=github.com/opencontainers/runtime-tools
  export GOTOOLCHAIN=local CGO_ENABLED=0
  mkdir "$1/bin"
  # Static, since one of them runs inside the containers. The pinned sums are not to be completed by the build.
  "$go" build -mod=readonly -trimpath -ldflags '-s -w' -o "$1/bin/" \
    "$module/validation/..." "$module/cmd/runtimetest" || return 1
  mv "$1/bin/runtimetest" "$1/" || return 1
  sources=$("$go" list -m -f '{{.Dir}}' "$module") || return 1
  cp "$sources"/rootfs-*.tar.gz "$1/"
}

# ---- main

find_list
if [ "${1-}" = packages ]; then
  shift
  [ $# -gt 0 ] || set -- build run
  missing_of "$@"
  echo
  exit 0
fi
for group in "$@"; do
  case $group in test | peers) ;; *) fail "unknown argument '$group'" "usage: setup/setup.sh [test] [peers]" ;; esac
done
find_arch
mkdir -p "$STAMPS" 2>/dev/null && [ -w "$TOOLS" ] || fail "cannot write to $TOOLS" "run as the owner of this tree: $(stat -c %U "$ROOT")"
exec 9>"$TOOLS/lock"
if ! flock -n 9; then
  printf 'waiting for another set-up of this tree…\n' >&2
  flock 9
fi
drop_policy # of a set-up that was killed
trap drop_policy EXIT
trap 'printf "\nset-up: interrupted; run it again and it goes on from here\n" >&2; exit 130' INT
trap 'exit 143' TERM
: >"$LOG"
# Its time is that of the begin, so that a file which changes meanwhile counts as newer.
: >"$TOOLS/stamp.new"

install_packages build run "$@"
case " $* " in *" test "*) ensure_guest_kernels && ensure_go_tools && ensure_validation ;; esac
ensure_node
ensure_dependencies
# [4] to [6]: keel, the command line, the hello image
BERTH_STEPS=4/$STEPS "$NODE" scripts/build.ts 9>&- || fail "the build failed" "the lines above say why"
mv "$TOOLS/stamp.new" "$TOOLS/stamp"
