import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { pluginBroken } from "./errors.ts";

/**
 * The bridge plugin's DEL removes the masquerade rule only if it still finds the container's interface; this does so
 * for interfaces that went with their namespace. Absent is no error.
 */
export async function removeMasquerade(network: string, containerId: string): Promise<void> {
  const chain = chainName(network, containerId);
  const rules = await iptables(["-S"]);
  const lines = rules.split("\n");
  for (const line of lines.filter((one) => one.startsWith("-A POSTROUTING ") && one.endsWith(` -j ${chain}`))) {
    await iptables(["-D", ...splitRule(line).slice(1)]);
  }
  if (!lines.includes(`-N ${chain}`)) return;
  await iptables(["-F", chain]);
  await iptables(["-X", chain]);
}

/** As the plugins name a container's chain (containernetworking/plugins, pkg/utils/utils.go "FormatChainName"). */
export function chainName(network: string, containerId: string): string {
  return `CNI-${createHash("sha512").update(`${network}${containerId}`).digest("hex").slice(0, 24)}`;
}

/** Words of a line of `iptables -S`: blanks separate, `"…"` holds blanks, `\` takes the next character as it is. */
export function splitRule(line: string): readonly string[] {
  return Array.from(line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g), (match) =>
    match[1] === undefined ? (match[2] ?? "") : match[1].replace(/\\(.)/g, "$1"),
  );
}

async function iptables(args: readonly string[]): Promise<string> {
  const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  return new Promise((resolve, reject) => {
    execFile(
      "iptables",
      ["-w", "-t", "nat", ...args],
      { env, encoding: "utf8", maxBuffer: 1 << 26 },
      (error, out, err) => {
        if (error === null) resolve(out);
        else reject(pluginBroken("bridge", "DEL", `iptables ${args.join(" ")}: ${err.trim() || error.message}`, error));
      },
    );
  });
}
