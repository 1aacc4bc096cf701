import type { UserNamespace } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { callError, must, mustGet } from "../lib/errors.ts";
import { writeIdMaps } from "../run/idmaps.ts";

/**
 * Makes a user namespace and a network namespace that belongs to it: sysfs of a network can be mounted, and its settings
 * changed, only by root of the user namespace that owns it. They are kept at the two paths, which are empty files.
 */
export function addUserNamespace(userns: UserNamespace, netnsPath: string): void {
  const [mine, theirs] = mustGet(sys.socketpair(1), "make a socket pair");
  const pid = sys.clone(c.CLONE_NEWUSER | c.CLONE_NEWNET, -1);
  if (pid === 0) {
    sys.close(mine);
    sys.interfaceUp("lo");
    sys.write(theirs, "1");
    // until its other end is closed, by us or by our end
    sys.read(theirs, 1);
    sys.exit(0);
  }
  sys.close(theirs);
  if (pid < 0) throw callError("make a user namespace", pid);
  try {
    sys.read(mine, 1);
    writeIdMaps(pid, { uidMappings: userns.uid, gidMappings: userns.gid });
    keep(pid, "user", userns.path);
    keep(pid, "net", netnsPath);
  } finally {
    sys.close(mine);
    sys.waitpid(pid, 0, [0]);
  }
}

function keep(pid: number, kind: string, path: string): void {
  must(sys.mount(`/proc/${pid}/ns/${kind}`, path, "", c.MS_BIND, ""), `mount a ${kind} namespace at ${path}`);
}
