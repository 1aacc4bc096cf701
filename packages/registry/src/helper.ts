import { spawnSync } from "node:child_process";
import { BerthError, errnoOf } from "@berth/base";
import type { Credentials } from "./types.ts";

const HELPER_MS = 30_000;

/** A program `docker-credential-<name>` (docker's credential helper protocol): JSON on stdin and stdout, never arguments. */
export interface Helper {
  readonly name: string;
  /** What it knows the registry by. */
  readonly server: string;
}

/** Credentials that the helper keeps; undefined when it has none. */
export async function askHelper(helper: Helper): Promise<Credentials | undefined> {
  const answer = await run(helper, "get", helper.server);
  if (answer === undefined) return undefined;
  const parsed = parseAnswer(answer);
  if (parsed === undefined) throw failed(helper, "get", "its answer has no user and secret");
  const { Username: username, Secret: secret } = parsed;
  return username === "<token>" ? { kind: "identity", token: secret } : { kind: "basic", username, password: secret };
}

export async function storeInHelper(
  helper: Helper,
  credentials: { readonly username: string; readonly password: string },
): Promise<void> {
  const { username: Username, password: Secret } = credentials;
  await run(helper, "store", JSON.stringify({ ServerURL: helper.server, Username, Secret }));
}

/** @returns false when it had nothing to erase */
export async function eraseFromHelper(helper: Helper): Promise<boolean> {
  return (await run(helper, "erase", helper.server)) !== undefined;
}

/** What the program printed; undefined when it says that it has no such credentials. */
async function run(helper: Helper, verb: string, input: string): Promise<string | undefined> {
  const options = { input, encoding: "utf8", timeout: HELPER_MS, maxBuffer: 1024 * 1024 } as const;
  const ran = spawnSync(`docker-credential-${helper.name}`, [verb], options);
  // One that answers without reading the question is no worse for it.
  if (ran.error !== undefined && errnoOf(ran.error) !== "EPIPE")
    throw failed(helper, verb, errnoOf(ran.error) ?? ran.error.message);
  if (ran.status === 0) return ran.stdout;
  if (/credentials not found/.test(ran.stdout)) return undefined;
  throw failed(helper, verb, `it ended with ${ran.status ?? ran.signal}`);
}

function failed({ name, server }: Helper, verb: string, why: string): BerthError {
  return new BerthError(
    "FailedPrecondition",
    `ask docker-credential-${name} to ${verb} credentials of ${server}: ${why}`,
    {
      hint: "repair it, or remove it from the file that names it, usually docker's config.json",
    },
  );
}

function parseAnswer(stdout: string): { readonly Username: string; readonly Secret: string } | undefined {
  try {
    const doc = JSON.parse(stdout) as { Username?: unknown; Secret?: unknown } | null;
    const { Username, Secret } = doc ?? {};
    return typeof Username === "string" && typeof Secret === "string" ? { Username, Secret } : undefined;
  } catch {
    return undefined;
  }
}
