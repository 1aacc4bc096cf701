// Loaded by the other modules when a container lies in a unit of systemd (cgroup/driver.ts): the rest pay nothing for it.
import type { SystemdDriver } from "../cgroup/driver.ts";
import { attachToScope, enterScope, planScope, removeScope, updateScope } from "../cgroup/systemd.ts";

(globalThis as unknown as { keelSystemd: SystemdDriver }).keelSystemd = {
  planScope,
  enterScope,
  removeScope,
  updateScope,
  attachToScope,
};
