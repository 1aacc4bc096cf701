import { BerthError, isCode } from "@berth/base";
import type { Engine } from "@berth/engine";
import { type Chunk, type Context, command, type Result } from "../command.ts";
import { describeError } from "../errors.ts";
import { compileTemplate } from "../template/evaluate.ts";
import { toJson } from "../template/functions.ts";
import { inspectContainer, inspectImage } from "../view/inspect.ts";

const FORMAT = {
  type: "string",
  short: "f",
  value: "FORMAT",
  doc: "json, or a Go template such as '{{.State.Status}}'",
} as const;

export const inspect = command({
  name: "inspect",
  args: ["NAME..."],
  doc: "print all about containers or images, as JSON",
  example: "berth inspect --format '{{.NetworkSettings.IPAddress}}' web",
  flags: { format: FORMAT, type: { type: "string", choices: ["container", "image"], doc: "look for this kind only" } },
  run: (context, refs, flags) => inspectAll(context, refs, flags.type, flags.format),
});

export const containerInspect = command({
  name: "container inspect",
  args: ["CONTAINER..."],
  doc: "print all about containers, as JSON",
  example: "berth container inspect web",
  flags: { format: FORMAT },
  run: (context, refs, flags) => inspectAll(context, refs, "container", flags.format),
});

export const imageInspect = command({
  name: "image inspect",
  args: ["IMAGE..."],
  doc: "print all about images, as JSON",
  example: "berth image inspect docker.io/library/debian:12",
  flags: { format: FORMAT },
  run: (context, refs, flags) => inspectAll(context, refs, "image", flags.format),
});

async function inspectAll(
  context: Context,
  refs: readonly string[],
  type: string | undefined,
  format: string | undefined,
): Promise<Result> {
  const template = format === undefined || format === "" || format === "json" ? undefined : compileTemplate(format);
  const engine = await context.engine();
  return print();
  async function* print(): AsyncGenerator<Chunk, number> {
    const found: object[] = [];
    const errors: string[] = [];
    for (const ref of refs) {
      try {
        const object = await find(engine, ref, type);
        if (template === undefined) found.push(object);
        else yield { to: "stdout", data: `${template.render(object)}\n` };
      } catch (error) {
        errors.push(describeError(error, context.debug));
      }
    }
    // docker prints what it found as one list, even an empty one.
    if (template === undefined)
      yield { to: "stdout", data: `${format === "json" ? toJson(found) : toJson(found, "    ")}\n` };
    for (const error of errors) yield { to: "stderr", data: error };
    return errors.length > 0 ? 1 : 0;
  }
}

async function find(engine: Engine, ref: string, type: string | undefined): Promise<object> {
  if (type !== "image") {
    try {
      const container = await engine.get(ref);
      return inspectContainer(container, engine.findImage(container.imageId));
    } catch (error) {
      if (type === "container" || !isCode(error, "NotFound")) throw error;
    }
  }
  const image = type === "image" ? engine.image(ref) : findImage(engine, ref);
  if (image === undefined) throw new BerthError("NotFound", `No such object: ${ref}`);
  return inspectImage(image);
}

/** What is no image name at all is not found rather than wrong: it may have been meant as a container. */
function findImage(engine: Engine, ref: string): ReturnType<Engine["findImage"]> {
  try {
    return engine.findImage(ref);
  } catch (error) {
    if (isCode(error, "InvalidArgument")) return undefined;
    throw error;
  }
}
