import { BerthError, isCode } from "@berth/base";
import type { Image } from "@berth/images";
import { formatReference, parseReference } from "@berth/oci";
import type { Context } from "./context.ts";
import type { ObtainOptions } from "./types.ts";

/** What a registry answers that cannot be reached, does not know us, or lost the image. */
const UNREACHABLE = ["Unavailable", "DeadlineExceeded", "NotFound", "Unauthenticated", "PermissionDenied"] as const;

/**
 * An image that is here already, built in, or pulled, as the policy says. An image of another platform than the wanted
 * one counts as missing.
 *
 * @throws {BerthError} NotFound for `never` when it is not here; what the pull throws
 */
export async function obtainImage(ctx: Context, ref: string, options: ObtainOptions): Promise<Image> {
  const { pull, platform } = options;
  if (pull === "always") return await ctx.images.pull(ref, options);
  const found = ctx.images.find(ref) ?? (await loadBuiltin(ctx, ref));
  const image = found !== undefined && ctx.images.suits(found, platform) ? found : undefined;
  if (pull === "never") return image ?? notHere(ctx, ref, platform);
  if (pull === "missing" && image !== undefined) return image;
  try {
    return await ctx.images.pull(ref, options);
  } catch (error) {
    if (image === undefined || !(error instanceof BerthError) || !UNREACHABLE.some((code) => isCode(error, code)))
      throw error;
    options.onUnreachable?.(error);
    return image;
  }
}

function notHere(ctx: Context, ref: string, platform: string | undefined): never {
  ctx.images.get(ref);
  throw new BerthError("NotFound", `find image ${ref}: it is here for another platform than ${platform}`, {
    hint: `download it: berth pull --platform ${platform} ${ref}`,
  });
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
