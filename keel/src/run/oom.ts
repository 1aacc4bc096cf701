import * as c from "../lib/consts.ts";
import type { Record } from "../state/store.ts";

/** Something to poll that tells of kills for lack of memory; fd -1 when the kernel has no such thing here. */
export interface OomWatch {
  readonly fd: number;
  readonly events: number;
  /** After a poll: whether there was one, and ready for the next. */
  happened(): boolean;
}

const POLLPRI = 2;
const O_NONBLOCK_CLOEXEC = 0o2004000;
const NONE: OomWatch = { fd: -1, events: 0, happened: () => false };

/** cgroup v1: an eventfd registered in cgroup.event_control; v2: the file memory.events itself. */
export function openOom(record: Record): OomWatch {
  for (let i = 0; i < record.cgroups.length; i++) {
    const dir = record.cgroups[i] as string;
    const events = sys.open(`${dir}/memory.events`, c.O_RDONLY, 0);
    if (events >= 0) return watchUnified(events);
    const control = sys.open(`${dir}/memory.oom_control`, c.O_RDONLY, 0);
    if (control >= 0) return watchV1(dir, control);
  }
  return NONE;
}

function watchUnified(fd: number): OomWatch {
  let seen = kills(fd);
  return {
    fd,
    events: POLLPRI,
    happened: () => {
      const now = kills(fd);
      const more = now > seen;
      seen = now;
      return more;
    },
  };
}

function kills(fd: number): number {
  sys.lseek(fd, 0, 0);
  const text = sys.read(fd, 4096);
  const match = typeof text === "string" ? /^oom_kill (\d+)$/m.exec(text) : null;
  return match ? Number(match[1]) : 0;
}

function watchV1(dir: string, control: number): OomWatch {
  const fd = sys.syscall(sys.syscallNumber("eventfd2"), 0, O_NONBLOCK_CLOEXEC);
  if (fd < 0) return NONE;
  const registered = sys.writeFileAt(c.AT_FDCWD, `${dir}/cgroup.event_control`, `${fd} ${control}`, c.O_WRONLY, 0);
  if (registered < 0) return NONE;
  return {
    fd,
    events: c.POLLIN,
    happened: () => {
      // the removal of the cgroup counts too: then the file is gone
      return typeof sys.readBytes(fd, 8) !== "number" && sys.faccessat(c.AT_FDCWD, `${dir}/cgroup.procs`, 0, 0) >= 0;
    },
  };
}
