#!/bin/sh
# The greeting of berth.local/hello: reads everything it says from the kernel, inside the container.

# Microseconds since 1970: busybox's date knows whole seconds only, adjtimex(2) knows more and changes nothing.
now_us() {
  adjtimex 2>/dev/null | awk '/time.tv_sec/ { s = $2 } /time.tv_usec/ { u = $2 } END { if (s) printf "%d%06d", s, u }'
}
reached=$(now_us)

field() { awk -v name="$1:" '$1 == name { print $2 }' /proc/self/status; }

# The namespaces that the kernel makes at boot have fixed numbers; those of net and mnt differ between kernels.
apart= shared=
for ns in pid mnt uts ipc net cgroup user time; do
  id=$(readlink "/proc/self/ns/$ns" 2>/dev/null) || continue
  id=${id#*[}
  case $ns-${id%]} in
    ipc-4026531839 | uts-4026531838 | user-4026531837 | pid-4026531836 | cgroup-4026531835 | time-4026531834 | \
      net-4026531833 | net-4026531840 | mnt-4026531832 | mnt-4026531841) shared="$shared $ns" ;;
    *) apart="$apart $ns" ;;
  esac
done

case $(field Seccomp) in
  2) seccomp="on, $(field Seccomp_filters) filter" ;;
  0) seccomp="off" ;;
  *) seccomp="unknown" ;;
esac
case $(field NoNewPrivs) in
  1) gain="no: no_new_privs is set" ;;
  *) gain="only by setuid files in the image" ;;
esac
bits=$(field CapEff | awk '{ n = 0; for (i = 1; i <= length($1); i++) { d = index("0123456789abcdef", substr($1, i, 1)) - 1
  while (d > 0) { n += d % 2; d = int(d / 2) } } print n }')
last=$(cat /proc/sys/kernel/cap_last_cap 2>/dev/null || echo 40)
map=$(awk 'NR == 1 { print ($1 == 0 && $2 == 0) ? "this root is root outside too" : "uid " $1 " here is uid " $2 " outside" }' \
  /proc/self/uid_map)
root=$(awk '$2 == "/" { print $3 (($4 ~ /^ro/) ? ", read-only" : ", writable") }' /proc/mounts)
masked=
for path in /proc/kcore /proc/keys /proc/timer_list /sys/firmware; do
  if [ -e "$path" ] && [ -z "$(head -c 1 "$path" 2>/dev/null)$(ls "$path"/ 2>/dev/null)" ]; then masked="$masked $path"; fi
done
links=
for link in /sys/class/net/*; do links="$links ${link##*/}"; done

cat <<END

  Hello from a container.

  What happened: Berth took the image berth.local/hello, which was made on this
  machine from Debian's busybox, laid a writable layer over it, and had keel start
  this script as process $$ of container $(hostname).

  kernel         $(uname -sr) on $(uname -m), shared with the machine
  namespaces     own:${apart:- none}
                 first of the machine:${shared:- none}
  root           $root
  capabilities   $bits of $((last + 1))
  more rights    $gain
  seccomp        $seccomp
  users          $map
  hidden        ${masked:- nothing}
  network        interfaces:$links
END
if [ -n "$reached" ] && [ -n "${BERTH_STARTED_AT-}" ]; then
  us=$((reached - BERTH_STARTED_AT / 1000))
  printf '  time           %d.%d ms from the start of the berth process to the first line of this script\n' \
    $((us / 1000)) $((us % 1000 / 100))
fi
cat <<END

  Next:  ./berth run --rm -it berth.local/hello sh
         ./berth run --rm docker.io/library/debian:stable echo hello

END
