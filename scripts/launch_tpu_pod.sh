#!/usr/bin/env bash
# Trains on a Cloud TPU slice: creates or reuses it, copies the committed code, installs it, runs
# scripts/train.py on every worker, and after a preemption does all of that again until it is done.
#
#   scripts/launch_tpu_pod.sh --name=ae --zone=us-west4-a --type=v5litepod-256 \
#       --version=v2-alpha-tpuv5-lite --spot -- \
#       --config=configs/vae_digits.py --workdir=gs://BUCKET/runs/vae
#
# What follows -- goes to train.py. The workdir must be one that all workers see.
#   --project=P    gcloud's own by default
#   --spot         a slice that may be preempted, at a lower price
#   --retries=3    how often to run again after failures in a row that were no preemption
#   --wait=60      seconds between looks at a slice that is not ready
#   --delete       delete the slice when the run has ended
#   --dry_run      print every command, those after a preemption included, and run none
set -euo pipefail

name='' zone='' type='' version='' project='' spot='' retries=3 wait=60 delete='' dry_run=''

usage() {
    printf 'launch_tpu_pod.sh: %s\n' "$1" >&2
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}

while (($#)); do
    case $1 in
        --name=* | --zone=* | --type=* | --version=* | --project=* | --retries=* | --wait=*)
            option=${1%%=*}
            printf -v "${option#--}" '%s' "${1#*=}"
            ;;
        --spot | --delete | --dry_run) printf -v "${1#--}" 1 ;;
        --) shift && break ;;
        *) usage "unknown option '$1'; those of train.py follow --" ;;
    esac
    shift
done
for option in name zone type version; do
    [[ -n ${!option} ]] || usage "--$option is missing"
done
for option in config workdir; do
    [[ " $*" == *" --$option="* ]] || usage "--$option is missing after --"
done

place=(--zone="$zone")
[[ -z $project ]] || place+=(--project="$project")
pretended=('' READY PREEMPTED PREEMPTED '' READY) # the states of the slice in a dry run, look by look
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }

# act COMMAND...: runs it, or prints it in a form that could be pasted.
act() {
    local word shown=''
    if [[ -z $dry_run ]]; then
        "$@"
        return
    fi
    for word in "$@"; do
        [[ $word =~ ^[[:alnum:]_./:=,+-]+$ ]] || word=${word@Q}
        shown+="$word "
    done
    printf '%s\n' "${shown% }"
}

tpu() { act gcloud compute tpus tpu-vm "$@" "${place[@]}"; }

# on_all COMMAND: runs it in a shell on every worker.
on_all() { tpu ssh "$name" --worker=all --command="$1"; }

# Sets `state` to that of the slice, or to nothing if there is none.
look() {
    local query=(list "--filter=name~/$name\$" '--format=value(state)')
    if [[ -z $dry_run ]]; then
        state=$(tpu "${query[@]}")
    else
        tpu "${query[@]}"
        state=${pretended[0]}
        pretended=("${pretended[@]:1}")
    fi
}

create() {
    local options=(--accelerator-type="$type" --version="$version")
    [[ -z $spot ]] || options+=(--spot)
    tpu create "$name" "${options[@]}"
}

pause() {
    say "$1: again in $wait s"
    act sleep "$wait"
}

# Returns once the slice is ready, which may take as long as there is no capacity.
ensure() {
    while look || exit; [[ $state != READY ]]; do
        case $state in
            '')
                fresh=1
                create || pause "there is no slice"
                ;;
            STOPPED) tpu start "$name" ;;
            PREEMPTED | TERMINATED | SUSPENDED) tpu delete "$name" --quiet ;;
            *) pause "the slice is $state" ;;
        esac
    done
}

install() {
    git diff --quiet HEAD || say "note: changes that are not committed are not copied"
    act git archive --format=tar.gz --output="$folder/ae_jax.tar.gz" HEAD
    tpu scp "$folder/ae_jax.tar.gz" "$name:" --worker=all
    on_all "rm -rf ae_jax && mkdir ae_jax && tar -xzf ae_jax.tar.gz -C ae_jax && cd ae_jax && \
python3 -m pip install --quiet --user uv && python3 -m uv venv --quiet --python 3.12 && \
python3 -m uv pip install --quiet -e '.[tpu]'"
}

# What a run before left on a worker goes first: it would hold the chips.
run() {
    local arguments
    printf -v arguments '%q ' "$@"
    on_all "cd ae_jax && touch run.pid && if pkill -F run.pid -f scripts/train.py; then \
timeout 60 tail --pid=\$(cat run.pid) -f /dev/null || pkill -9 -F run.pid -f scripts/train.py; fi; \
echo \$\$ >run.pid && exec .venv/bin/python scripts/train.py --cluster=gcetpu $arguments"
}

fresh=1 failures=0 status=0
while :; do
    ensure
    if [[ -n $fresh ]]; then
        install
        fresh=''
    fi
    status=0
    run "$@" || status=$?
    [[ -z $dry_run || ${#pretended[@]} -eq 0 ]] || status=143 # it pretends to have been preempted
    ((status)) || break
    look
    if [[ $state == READY ]]; then
        ((++failures <= retries)) || break
        say "the run ended with $status on a slice that is ready: again, $failures of $retries"
    else
        failures=0
        say "the slice is ${state:-gone}: the run goes on from its last checkpoint"
    fi
done
[[ -z $delete ]] || tpu delete "$name" --quiet
exit "$status"
