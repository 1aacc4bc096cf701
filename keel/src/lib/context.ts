/** What the command line said before and after the subcommand; main.ts fills it, the other modules read it. */
export interface Context {
  readonly root: string;
  /** With --root: it must be there then. */
  readonly rootGiven: boolean;
  readonly log: string;
  readonly logFormat: string;
  readonly debug: boolean;
  readonly systemdCgroup: boolean;
  readonly cgroupManager: string;
  readonly rootless: string;
  readonly command: string;
  readonly args: readonly string[];
}

declare global {
  var keelContext: Context;
  /** What the process runs; the script that it begins with leaves it here. */
  var keelMain: () => void;
}

export function context(): Context {
  return keelContext;
}
