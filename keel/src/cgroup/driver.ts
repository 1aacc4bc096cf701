import type { attachToScope, enterScope, planScope, removeScope, updateScope } from "./systemd.ts";

/** What cgroup/systemd.ts offers, in the module that is loaded only for those who need it. */
export interface SystemdDriver {
  readonly planScope: typeof planScope;
  readonly enterScope: typeof enterScope;
  readonly removeScope: typeof removeScope;
  readonly updateScope: typeof updateScope;
  readonly attachToScope: typeof attachToScope;
}

declare global {
  var keelSystemd: SystemdDriver | undefined;
}

export function systemd(): SystemdDriver {
  if (!globalThis.keelSystemd) sys.loadModule("systemd");
  return globalThis.keelSystemd as SystemdDriver;
}
