import {
  type AuthFile,
  authPaths,
  helperOf,
  loginPath,
  pickCredentials,
  readAuthFile,
  withCredentials,
  writeAuthFile,
} from "./auth-file.ts";
import { askHelper, eraseFromHelper, storeInHelper } from "./helper.ts";
import type { Credentials } from "./types.ts";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Credentials for a registry by docker's and podman's files: from the credential helper that a file names or from the
 * file itself; undefined when none has any.
 *
 * @throws {BerthError} InvalidArgument when a file is malformed; PermissionDenied; FailedPrecondition when a helper fails
 */
export async function findCredentials(env: Env, domain: string, repository?: string): Promise<Credentials | undefined> {
  for (const path of authPaths(env)) {
    const found = await findIn(readAuthFile(path), domain, repository);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function findIn(
  file: AuthFile,
  domain: string,
  repository: string | undefined,
): Promise<Credentials | undefined> {
  const helper = helperOf(file, domain);
  const kept = helper === undefined ? undefined : await askHelper(helper);
  return kept ?? pickCredentials(file, domain, repository);
}

/**
 * Remembers a login.
 *
 * @param path of the file; default: `$REGISTRY_AUTH_FILE` or docker's config.json
 * @returns the file, or the program that it names to keep secrets
 */
export async function saveCredentials(
  env: Env,
  domain: string,
  credentials: { readonly username: string; readonly password: string },
  path: string = loginPath(env),
): Promise<{ readonly path: string; readonly helper: string | undefined }> {
  const file = readAuthFile(path);
  const helper = helperOf(file, domain);
  if (helper === undefined) writeAuthFile(withCredentials(file, domain, credentials));
  else await storeInHelper(helper, credentials);
  return { path, helper: helper?.name };
}

/** Forgets a login. @returns false when there was none */
export async function removeCredentials(env: Env, domain: string, path: string = loginPath(env)): Promise<boolean> {
  const file = readAuthFile(path);
  const helper = helperOf(file, domain);
  const isErased = helper !== undefined && (await askHelper(helper)) !== undefined && (await eraseFromHelper(helper));
  const rest = withCredentials(file, domain, undefined);
  const isRemoved = Object.keys(rest.auths).length < Object.keys(file.auths).length;
  if (isRemoved) writeAuthFile(rest);
  return isErased || isRemoved;
}
