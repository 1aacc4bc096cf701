import type { HostReply, HostStep } from "@berth/protocol";
import { applyHostStep } from "../host/apply.ts";
import { asRuntimeError, callError, runtimeError } from "../lib/errors.ts";
import { parseJson } from "../lib/files.ts";
import { print } from "../lib/report.ts";

const CHUNK = 65536;

/** `keel host`: does the steps on stdin in order, up to the first that fails. */
function host(): HostReply {
  let index = 0;
  try {
    const steps = readSteps();
    const texts: (string | null)[] = [];
    for (; index < steps.length; index++) {
      const text = applyHostStep(steps[index] as HostStep);
      if (text !== undefined) texts.push(text);
    }
    return texts.length > 0 ? { ok: true, texts } : { ok: true };
  } catch (thrown) {
    const { code, message, hint, errno, step } = asRuntimeError(thrown);
    return { ok: false, index, error: { code, message, hint, errno, step } as { code: typeof code; message: string } };
  }
}

function readSteps(): readonly HostStep[] {
  let text = "";
  for (;;) {
    const piece = sys.read(0, CHUNK);
    if (typeof piece === "number") throw callError("read host steps", piece);
    if (piece === "") break;
    text += piece;
  }
  const steps = parseJson(text, "host steps");
  if (!Array.isArray(steps)) throw runtimeError("InvalidArgument", "parse host steps: they are no array");
  return steps as readonly HostStep[];
}

const reply = host();
print(`${JSON.stringify(reply)}\n`);
sys.exit(reply.ok ? 0 : 1);
