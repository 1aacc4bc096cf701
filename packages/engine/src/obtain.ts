import { isCode } from "@berth/base";
import type { Image } from "@berth/images";
import { formatReference, parseReference } from "@berth/oci";
import type { Context } from "./context.ts";
import type { CreateOptions } from "./types.ts";

/**
 * The image that a container is made from: here already, built in, or pulled, as the policy says.
 *
 * @throws {BerthError} NotFound for `never` when it is not here; what the pull throws
 */
export async function obtainImage(ctx: Context, ref: string, options: CreateOptions): Promise<Image> {
  if (options.pull !== "always") {
    const image = ctx.images.find(ref) ?? (await loadBuiltin(ctx, ref));
    if (image !== undefined) return image;
    if (options.pull === "never") return ctx.images.get(ref);
  }
  return ctx.images.pull(ref, options);
}

/** Images that come with Berth are no registry's. */
async function loadBuiltin(ctx: Context, ref: string): Promise<Image | undefined> {
  const archive = ctx.builtins.get(nameOf(ref));
  if (archive === undefined) return undefined;
  await ctx.images.load(archive);
  return ctx.images.find(ref);
}

/** Fully qualified name; an id is no name. */
function nameOf(ref: string): string {
  try {
    return formatReference(parseReference(ref));
  } catch (error) {
    if (isCode(error, "InvalidArgument")) return "";
    throw error;
  }
}
