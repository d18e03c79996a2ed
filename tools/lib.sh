# Shared by the scripts beside it; sourced from the top of the tree.

mkdir -p build/logs
PATH=$PWD/tools:$PATH # kdwire-wine

# step NAME COMMAND...: runs quietly with a log, shows the log's end if it fails.
step() {
    step_name=$1
    shift
    step_log="build/logs/$(printf %s "$step_name" | tr -c 'a-zA-Z0-9' -).log"
    printf '%s ... ' "$step_name"
    step_start=$(date +%s)
    if "$@" >"$step_log" 2>&1; then
        echo "ok ($(($(date +%s) - step_start)) s)"
    else
        echo "FAILED"
        tail -n "${STEP_TAIL:-60}" "$step_log"
        echo "$step_name failed; the whole log is in $step_log" >&2
        exit 1
    fi
}

# configure NAME OPTIONS...: makes build/NAME, anew if the options are others than before; from then
# on Meson keeps it up to date.
configure() {
    configure_name=$1
    shift
    [ "$(cat "build/$configure_name.options" 2>/dev/null)" != "$*" ] || return 0
    rm -rf "build/$configure_name"
    step "configure $configure_name" meson setup "build/$configure_name" "$@"
    printf '%s\n' "$*" >"build/$configure_name.options"
}

# system_tests BUILD FILE...: with the kdwire of that build.
system_tests() {
    build=$PWD/$1
    shift
    KDWIRE=$build/src/cli/kdwire /usr/bin/python3 -m pytest -q -p no:cacheprovider "$@"
}
