#!/bin/sh
# Runs the suites in the guest and tells of it on the console.
# this machine's programs before busybox's of the same name
export PATH="/berth:/berth/programs:$PATH" HOME=/root
cd /berth/repo || exit 1
echo "guest: Linux $(uname -r), process 1: $(cat /proc/1/comm), controllers: $(cat /sys/fs/cgroup/cgroup.controllers 2>&1)"
# shellcheck disable=SC2046
node --test --test-concurrency=1 --test-reporter=tap $(cat /berth/suites) 2>&1
echo "guest: end"
