import { BerthError, parseDuration } from "@berth/base";
import { type Chunk, command } from "../command.ts";
import { badValue } from "../errors.ts";

export const logs = command({
  name: "logs",
  also: ["container logs"],
  args: ["CONTAINER"],
  doc: "print what a container wrote, stdout to stdout and stderr to stderr",
  example: "berth logs -f --tail 20 web",
  flags: {
    follow: { type: "boolean", short: "f", doc: "go on until the container ends" },
    tail: { type: "string", short: "n", value: "LINES", doc: "the last lines only; default all" },
    since: { type: "string", value: "TIME", doc: "from this time on: 2026-01-02T15:04:05Z, Unix seconds, or 10m ago" },
    until: { type: "string", value: "TIME", doc: "up to this time" },
    timestamps: { type: "boolean", short: "t", doc: "put the time before each line" },
  },
  run: async (context, [ref = ""], flags) => {
    const now = Date.now();
    const options = {
      follow: flags.follow,
      tail: parseTail(flags.tail),
      sinceMs: flags.since === undefined ? undefined : parseTime(flags.since, "--since", now),
      untilMs: flags.until === undefined ? undefined : parseTime(flags.until, "--until", now),
    };
    const engine = await context.engine();
    const { id } = await engine.get(ref);
    return printLogs(engine.logs(id, options), flags.timestamps);
  },
});

async function* printLogs(
  entries: AsyncIterable<{ readonly timestamp: string; readonly stream: "stdout" | "stderr"; readonly data: Buffer }>,
  timestamps: boolean,
): AsyncGenerator<Chunk, number> {
  const inLine = { stdout: false, stderr: false };
  for await (const { timestamp, stream, data } of entries) {
    if (timestamps && !inLine[stream]) yield { to: stream, data: `${timestamp} ` };
    inLine[stream] = data.at(-1) !== 0x0a;
    yield { to: stream, data };
  }
  return 0;
}

function parseTail(text: string | undefined): number | undefined {
  if (text === undefined || text === "all" || text.startsWith("-")) return undefined;
  if (!/^\d+$/.test(text)) throw badValue(text, "-n, --tail", "write a number of lines, or all");
  return Number(text);
}

/** A date, Unix seconds, or a duration back from now; docker's rules. Unix time in ms. */
export function parseTime(text: string, flag: string, nowMs: number): number {
  if (/^\d{9,}(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^\d{4}-\d{2}-\d{2}(T\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:\d{2})?)?$/.test(text)) {
    const full = /T\d{2}(Z|[+-].*)?$/.test(text)
      ? text.replace(/T(\d{2})/, "T$1:00")
      : text.includes("T")
        ? text
        : `${text}T00:00:00`;
    const ms = Date.parse(full);
    if (!Number.isNaN(ms)) return ms;
  }
  try {
    return nowMs - parseDuration(text);
  } catch (error) {
    if (!(error instanceof BerthError)) throw error;
    throw badValue(text, flag, "write a date such as 2026-01-02T15:04:05Z, Unix seconds, or a duration such as 10m");
  }
}
