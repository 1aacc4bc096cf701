import { readFileSync } from "node:fs";
import { errnoOf } from "@berth/base";
import { isStubOnly } from "./resolv.ts";

/** Where systemd-resolved lists the servers behind its stub. */
const RESOLVED = "/run/systemd/resolve/resolv.conf";

/** Text of the host's resolv.conf, with the real servers if it names only systemd-resolved's stub; empty if absent. */
export function readHostResolvConf(hostNetwork = false): string {
  const text = readIfThere("/etc/resolv.conf");
  return isStubOnly(text) && !hostNetwork ? readIfThere(RESOLVED) || text : text;
}

export function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return "";
  }
}
