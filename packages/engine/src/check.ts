import type { Checked, CheckOptions, Problem } from "@berth/images";
import type { Context } from "./context.ts";
import { settleImageMounts } from "./image-mounts.ts";
import { settleAll } from "./settle.ts";

/** Engine.check. */
export async function check(ctx: Context, options: CheckOptions): Promise<Checked> {
  await settleAll(ctx);
  await settleImageMounts(ctx);
  const checked = await ctx.images.check(options);
  return { ...checked, problems: [...checked.problems, ...checkRepositories(ctx, options.repair)] };
}

/**
 * What the repositories that are served have lost; nobody but who pushed it can bring it back. With `repair` they no longer
 * say that they have it, so that the next push sends it.
 */
function checkRepositories({ repositories }: Context, repair: boolean): readonly Problem[] {
  return repositories.verify().map(({ repository, kind, digest }) => {
    if (repair && kind === "manifest") repositories.removeManifest(repository, digest);
    else if (repair) repositories.removeBlob(repository, digest);
    return {
      what: `repository ${repository}`,
      why: `its ${kind} ${digest} is missing or damaged`,
      repaired: repair ? "removed: it is to be pushed again" : undefined,
    };
  });
}
