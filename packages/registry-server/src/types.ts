import type { IncomingMessage, ServerResponse } from "node:http";
import type { Repositories } from "@berth/engine";
import type { Route } from "./route.ts";

export interface RegistryServerOptions {
  readonly repositories: Repositories;
  /** Removes what nobody needs any more; called some time after deletions. */
  readonly collect: () => Promise<void>;
  /** Address to listen on. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** PEM texts; given, only TLS is spoken. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Path of a file that `htpasswd -B` writes; given, every request needs one of its users. Read again when it changes. */
  readonly htpasswd?: string | undefined;
  /** Refuse everything that changes a repository. */
  readonly readOnly?: boolean | undefined;
  /** Refuse manifests that name what the repository does not have; else they may come first. */
  readonly requireBlobs?: boolean | undefined;
  /** Told of faults that are ours: one line each. */
  readonly onFault?: ((line: string) => void) | undefined;
}

export interface RegistryServer extends AsyncDisposable {
  /** `http://127.0.0.1:5000` */
  readonly url: string;
  /** True if only this machine can reach it. */
  readonly isLocal: boolean;
}

/** One request on its way. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly query: URLSearchParams;
  readonly route: Route;
  /** The body, once the client is told to send it; it sends none before if it asked so. */
  readonly body: () => AsyncIterable<Buffer>;
}

/** What handlers work with. */
export interface Site {
  readonly repositories: Repositories;
  readonly requireBlobs: boolean;
  /** Something was deleted. */
  readonly deleted: () => void;
}

/** What a handler answers; one that has written its answer itself returns undefined. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | string;
}
