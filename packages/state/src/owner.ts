import { readFileSync } from "node:fs";

let bootId: string | undefined;

function readBootId(): string {
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  return bootId;
}

/** Start time of a living process in clock ticks since boot (proc(5), stat field 22); undefined if dead or a zombie. */
function startTimeOf(pid: string): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The second field is the command in parentheses and may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/** Token of a living process: `pid:starttime:boot-id`; undefined if it is dead or a zombie. */
export function ownerOf(pid: number): string | undefined {
  const start = startTimeOf(String(pid));
  return start === undefined ? undefined : `${pid}:${start}:${readBootId()}`;
}

/** Token of this process. */
export function ownOwner(): string {
  return ownerOf(process.pid) ?? `${process.pid}:0:${readBootId()}`;
}

/** True while the process that an owner token names lives. */
export function ownerAlive(owner: string): boolean {
  const [pid = "", start, boot] = owner.split(":");
  return /^\d+$/.test(pid) && boot === readBootId() && startTimeOf(pid) === start;
}
