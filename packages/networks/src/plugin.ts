import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "@berth/base";
import { noPlugin, pluginBroken, pluginFailed, pluginTimeout } from "./errors.ts";

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT = 1 << 20;

export type PluginConfig = Readonly<Record<string, unknown>>;

export interface PluginCall {
  readonly command: "ADD" | "DEL";
  readonly containerId: string;
  /** Empty: gone (only for DEL). */
  readonly netnsPath: string;
  readonly config: PluginConfig;
  /** Directories of plugins. */
  readonly dirs: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Environment entry by which a plugin's processes, and their children, are found. */
export function environmentEntry(containerId: string): string {
  return `CNI_CONTAINERID=${containerId}`;
}

export function hasPlugin(name: string, dirs: readonly string[]): boolean {
  return dirs.some((dir) => existsSync(join(dir, name)));
}

/**
 * Runs the plugin that `config.type` names; returns its result, if it prints one.
 *
 * @throws {BerthError} if it is missing, fails, or takes longer than a minute; an AbortError on `signal`
 * @see https://github.com/containernetworking/cni/blob/spec-v0.4.0/SPEC.md "Parameters"
 */
export async function runPlugin(call: PluginCall): Promise<unknown> {
  const name = String(call.config["type"]);
  const path = call.dirs.map((dir) => join(dir, name)).find((file) => existsSync(file));
  if (path === undefined) throw noPlugin(name, call.dirs);
  call.signal?.throwIfAborted();
  const { code, out, err } = await execute(path, name, call);
  call.signal?.throwIfAborted();
  const reply = parseJson(out);
  if (code === 0) return reply;
  const message = messageOf(reply) ?? [out.trim(), err.trim()].filter(Boolean).join(": ").slice(0, 1000);
  if (message === "") throw pluginBroken(name, call.command, `it ended with ${code}`);
  throw pluginFailed(name, call.command, message);
}

interface Output {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function execute(path: string, name: string, call: PluginCall): Promise<Output> {
  const env = {
    ...process.env,
    // Plugins call iptables, which a user's PATH may not have.
    PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`,
    CNI_COMMAND: call.command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netnsPath,
    CNI_IFNAME: "eth0",
    CNI_PATH: call.dirs.join(":"),
  };
  return new Promise((resolve, reject) => {
    const child = spawn(path, [], { env, stdio: ["pipe", "pipe", "pipe"] });
    const kill = (): void => void child.kill("SIGKILL");
    const timer = setTimeout(() => {
      reject(pluginTimeout(name, call.command, TIMEOUT_MS));
      kill();
    }, TIMEOUT_MS);
    call.signal?.addEventListener("abort", kill, { once: true });
    const texts = { out: "", err: "" };
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      texts.out = (texts.out + chunk).slice(0, MAX_OUTPUT);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      texts.err = (texts.err + chunk).slice(0, MAX_OUTPUT);
    });
    child.on("error", (error) => reject(pluginBroken(name, call.command, errnoOf(error) ?? error.message, error)));
    child.on("close", (code) => resolve({ code, ...texts }));
    child.on("close", () => {
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", kill);
    });
    // A plugin that ends without reading says why itself.
    child.stdin.on("error", (error) => {
      if (errnoOf(error) !== "EPIPE") kill();
    });
    child.stdin.end(JSON.stringify(call.config));
  });
}

function parseJson(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The specification's error object: `{ code, msg, details? }`. */
function messageOf(reply: unknown): string | undefined {
  if (typeof reply !== "object" || reply === null || !("msg" in reply) || typeof reply.msg !== "string")
    return undefined;
  const details = "details" in reply && typeof reply.details === "string" ? reply.details.trim() : "";
  return details === "" ? reply.msg : `${reply.msg}: ${details}`;
}
