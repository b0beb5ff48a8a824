#!/usr/bin/env bash
# Builds the image with buildah, runs it, and asks the service inside. Needs no container engine.
#
#   deploy/image_check.sh              # as root, on Debian or Ubuntu: apt-get install buildah debootstrap iproute2 procps
#   TORCH=cpu TORCH_CPU_INDEX=... deploy/image_check.sh    # the image with PyTorch's CPU build
#
# The service runs from the image's own CMD, as the image's own user, in a network of its own that has nothing but
# loopback, so it disturbs no port of this machine. Everything made is removed at the end. The last line is PASS or FAIL.
#
# Settings, all by environment:
#   BASE                    the base image. One that is neither here nor to be pulled is stood in for by debootstrap.
#   TORCH, TORCH_CPU_INDEX  as in the Dockerfile
#   IMAGE_CHECK_STAND_IN    1: do not try to pull, stand in for BASE at once
#   IMAGE_CHECK_BUILD_ARGS  more arguments for `buildah build`, such as a volume with packages
#   IMAGE_CHECK_READY_S     how long the service may take to become ready (180)
#   IMAGE_CHECK_KEEP        a name to keep the image under
#   STORAGE_DRIVER, BUILDAH_ISOLATION   vfs and chroot, which work everywhere; with CUDA vfs takes 26 GB, overlay less
#
# The build takes packages from where this machine takes them: pip's configuration (files and PIP_ variables) is given to
# it, with the local folders and the certificates that it names; debootstrap uses apt's mirror and proxy.
set -euo pipefail
cd "$(dirname "$0")/.."

export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
base=${BASE:-python:3.12-slim-bookworm}
torch=${TORCH:-cuda}
image=localhost/region-proposal-service-check:$$
stand_in=localhost/region-proposal-service-base:$$
work=$(mktemp -d)
containers=()
images=()
server=
outcome=FAIL

# Not every buildah reads STORAGE_DRIVER by itself.
buildah=(buildah --storage-driver "${STORAGE_DRIVER:-vfs}")

say() { printf '== %s\n' "$*"; }
fail() { printf 'image_check: %s\n' "$*" >&2; exit 1; }

clean_up() {
    set +e
    [ -n "$server" ] && kill -KILL "$(service_process)" "$server" 2>/dev/null
    wait 2>/dev/null
    for container in "${containers[@]}"; do "${buildah[@]}" rm "$container" >/dev/null 2>&1; done
    for name in "${images[@]}"; do "${buildah[@]}" rmi --force "$name" >/dev/null 2>&1; done
    mountpoint -q "$work/network" && umount "$work/network"
    rm -rf "$work"
    echo "$outcome"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

check_tools() {
    [ "$(id -u)" = 0 ] || fail "needs root"
    for tool in buildah python3 ip unshare nsenter pgrep; do
        command -v "$tool" >/dev/null || fail "needs $tool"
    done
}

# --- the base -------------------------------------------------------------------------------------------------------

find_base() {
    if "${buildah[@]}" inspect --type image "$base" >/dev/null 2>&1; then
        say "base: $base, which is here"
    elif [ "${IMAGE_CHECK_STAND_IN:-}" != 1 ] && timeout 300 "${buildah[@]}" pull --quiet "$base" >/dev/null 2>&1; then
        images+=("$base")
        say "base: $base, pulled"
    else
        make_stand_in
        base=$stand_in
    fi
}

# This machine's own release, with its python3, from its own mirror.
make_stand_in() {
    command -v debootstrap >/dev/null || fail "$base cannot be pulled, and there is no debootstrap to stand in for it"
    local release mirror container root
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016  # these are apt's variables
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$release" '$1 == release && $2 == "main" { print $3; exit }')
    [ -n "$mirror" ] || fail "apt knows no mirror of $release; run apt-get update first"
    say "base: $base cannot be had; debootstrap makes one of $release"
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
    export http_proxy https_proxy
    container=$("${buildah[@]}" from scratch)
    containers+=("$container")
    root=$("${buildah[@]}" mount "$container")
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$release" "$root" "$mirror" \
        >"$work/debootstrap.log" 2>&1 || { tail -20 "$work/debootstrap.log" >&2; fail "debootstrap failed"; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
    chroot "$root" python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
        fail "the python3 of $release is not 3.11 to 3.13: pull $base, or name another BASE"
    "${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd bash "$container"
    images+=("$stand_in")
    "${buildah[@]}" commit --quiet --rm "$container" "$stand_in" >/dev/null
}

# --- the build ------------------------------------------------------------------------------------------------------

build_image() {
    local path volumes=(--volume "$work/pip.conf:/etc/pip.conf:ro")
    python3 deploy/pip_sources.py "$work/pip.conf" >"$work/paths"
    while read -r path; do volumes+=(--volume "$path:$path:ro"); done <"$work/paths"
    say "build: TORCH=$torch on $base"
    images+=("$image")
    # The docker format, for OCI's has no HEALTHCHECK. One layer a stage: with vfs each layer is a copy of the whole.
    # shellcheck disable=SC2086  # IMAGE_CHECK_BUILD_ARGS is several words
    "${buildah[@]}" build --format docker --layers=false --pull=never --tag "$image" \
        --build-arg BASE="$base" --build-arg TORCH="$torch" \
        ${TORCH_CPU_INDEX:+--build-arg "TORCH_CPU_INDEX=$TORCH_CPU_INDEX"} \
        "${volumes[@]}" ${IMAGE_CHECK_BUILD_ARGS:-} . >"$work/build.log" 2>&1 ||
        { tail -40 "$work/build.log" >&2; fail "the build failed"; }
}

# --- what is in it --------------------------------------------------------------------------------------------------

# A field of the image's configuration; a list becomes one item a line.
configured() {
    "${buildah[@]}" inspect --type image "$image" | python3 -c '
import json, sys
value = json.load(sys.stdin)["Docker"]["config"]
for key in sys.argv[1].split("."):
    value = value[key]
print(*(value if isinstance(value, list) else [value]), sep="\n")' "$1"
}

check_contents() {
    local root=$1 packages found
    packages=$(echo "$root"/venv/lib/python3*/site-packages)
    found=$(
        find "$root"/bin/ "$root"/sbin/ "$root"/usr/bin "$root"/usr/sbin "$root"/usr/local/bin "$root"/venv/bin \
            \( -name gcc -o -name cc -o -name g++ -o -name make -o -name ld -o -name cmake -o -name git \) 2>/dev/null
        find "$root"/venv/bin "$packages" -maxdepth 1 \( -name 'pip' -o -name 'pip3*' -o -name '__editable__*' \)
        find "$root"/root/.cache "$root"/home "$root"/tmp "$root"/var/tmp "$root"/pip "$root"/build "$root"/code \
            \( -type f -size +64k -o -path '*/.cache/*' \) 2>/dev/null
        find "$root"/var/cache/apt "$root"/var/lib/apt/lists -type f -size +64k 2>/dev/null
        find "$root"/venv \( ! -user 0 -o -perm /022 \) ! -type l
    )
    [ -z "$found" ] || fail "this is no part of the last stage:"$'\n'"$(head -20 <<<"${found//$root/}")"
    for package in service model weights; do
        [ -f "$packages/$package/__init__.py" ] || fail "$package is not installed"
    done
    compgen -G "$packages/weights/*.safetensors" >/dev/null || fail "the image has no weights"
    say "contents: service, model, weights; no build tools, no pip, no caches; owned by root, read-only to the service"
}

# --- does it work ---------------------------------------------------------------------------------------------------

make_network() {
    touch "$work/network"
    unshare --net="$work/network" ip link set lo up
}

inside() { nsenter --net="$work/network" "$@"; } # in the container's network

run_inside() { # a container, a command
    inside "${buildah[@]}" run "$1" -- "${@:2}"
}

start_service() {
    local container=$1 command
    mapfile -t command < <(configured Cmd)
    say "start: ${command[*]}"
    run_inside "$container" "${command[@]}" >"$work/service.log" 2>&1 &
    server=$!
}

# The service's process: buildah's own stand between it and this script, and do not pass signals on.
service_process() {
    local process=$server child
    while child=$(pgrep --parent "$process" | head -1) && [ -n "$child" ]; do process=$child; done
    echo "$process"
}

check_service() {
    local container=$1 user process real health status=0
    mapfile -t health < <(configured Healthcheck.Test)
    [ "${health[0]}" = CMD ] || fail "HEALTHCHECK is not in the exec form"
    run_inside "$container" "${health[@]:1}" >/dev/null 2>&1 && fail "HEALTHCHECK passes with no service there"

    start_service "$container"
    inside python3 deploy/ask_service.py http://127.0.0.1:8000 --wait "${IMAGE_CHECK_READY_S:-180}" ||
        { tail -40 "$work/service.log" >&2; fail "the service does not answer as it should"; }
    run_inside "$container" "${health[@]:1}" || fail "HEALTHCHECK fails while the service is well"
    say "HEALTHCHECK: passes with the service, fails without"

    user=$(configured User)
    process=$(service_process)
    real=$(awk '$1 == "Uid:" { print $2 }' "/proc/$process/status")
    [ "$real" != 0 ] || fail "the service runs as root"
    [ "$real" = "${user%%:*}" ] || fail "the service runs as user $real, not as ${user%%:*}"
    say "user: $real"

    kill -TERM "$process"
    timeout 120 tail --pid="$server" -f /dev/null || fail "two minutes after SIGTERM the service still runs"
    wait "$server" || status=$?
    server=
    [ "$status" = 0 ] || { tail -20 "$work/service.log" >&2; fail "after SIGTERM the service ended with $status"; }
    say "SIGTERM: it left with 0"
}

main() {
    local container root
    check_tools
    find_base
    build_image
    container=$("${buildah[@]}" from --pull=never "$image")
    containers+=("$container")
    root=$("${buildah[@]}" mount "$container")
    check_contents "$root"
    make_network
    check_service "$container"
    say "size: $(du --summarize --human-readable --one-file-system "$root" | cut -f1)"
    [ -z "${IMAGE_CHECK_KEEP:-}" ] || "${buildah[@]}" tag "$image" "$IMAGE_CHECK_KEEP"
    outcome=PASS
}

main
