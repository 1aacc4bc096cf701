import { formatBytes } from "@berth/base";
import { command } from "../command.ts";
import { routeSignals } from "../session/signals.ts";

export const systemCheck = command({
  name: "system check",
  args: [],
  doc: "verify every digest, parent link and reference of the store; exit code 1 if something is wrong and stays so",
  example: "berth system check --repair",
  flags: {
    repair: {
      type: "boolean",
      short: "r",
      doc: "fetch damaged content again where a registry has it, unpack again, or remove what is broken",
    },
    quiet: { type: "boolean", short: "q", doc: "print problems only" },
  },
  run: async (context, _args, flags) => {
    const engine = await context.engine();
    using router = routeSignals();
    const checked = await engine.check({ repair: flags.repair, signal: router.signal });
    const lines = checked.problems.map(({ what, why, repaired }) => {
      const done = repaired ?? (flags.repair ? "cannot be repaired while a container uses it" : "");
      return `${what}: ${why}${done === "" ? "" : `: ${done}`}\n`;
    });
    const left = checked.problems.filter(({ repaired }) => repaired === undefined).length;
    const count = checked.problems.length;
    const { blobs, totalBytes, layers, images } = checked;
    const verdict = count === 0 ? "no problems" : `${count} problems, ${count - left} repaired`;
    const summary = `Checked ${blobs} blobs (${formatBytes(totalBytes)}), ${layers} layers, ${images} images: ${verdict}\n`;
    return { text: `${lines.join("")}${flags.quiet ? "" : summary}`, code: left > 0 ? 1 : 0 };
  },
});
