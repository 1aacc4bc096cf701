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

/** Token of this process: `pid:starttime:boot-id`. */
export function ownOwner(): string {
  return `${process.pid}:${startTimeOf("self") ?? "0"}:${readBootId()}`;
}

/** True while the process that an owner token names lives. */
export function ownerAlive(owner: string): boolean {
  const [pid = "", start, boot] = owner.split(":");
  return /^\d+$/.test(pid) && boot === readBootId() && startTimeOf(pid) === start;
}
