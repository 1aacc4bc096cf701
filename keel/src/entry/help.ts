import { print } from "../lib/report.ts";

declare global {
  /** What to help with: the name that we were called by, and the command, "" for all of them. */
  var keelHelp: { readonly name: string; readonly command: string };
}

const HELP = `[--root DIR] [--log FILE] [--log-format text|json] [--debug] COMMAND …

OCI runtime:
  create [-b BUNDLE] [--console-socket S] [--pid-file F] [--no-pivot] [--no-new-keyring] [--preserve-fds N] ID
  start ID              let a created container run its program
  run [-d] [-b BUNDLE] [--trace] ID   create and start; --trace tells each step with its time and result
  exec [-t] [-d] [-p process.json] [--cwd DIR] [-e K=V] [-u UID[:GID]] ID COMMAND…
  state ID              print the state as JSON
  kill ID [SIGNAL]      send a signal to the container's init (default TERM)
  delete [-f] ID        remove a stopped container (-f: any)
  list [-q] [-f json]   list containers
  ps [-f json] ID       list the processes of a container
  pause ID              freeze a container's processes
  resume ID             thaw them
  update [-r FILE|-] [--memory N] [--cpu-quota N] … ID   change limits
  events [--interval 5s] [--stats] ID   print what the container uses, and kills for lack of memory
  checkpoint [--image-path DIR] [--leave-running] … ID   save a running container with CRIU, as runc does
  restore [--image-path DIR] [-b BUNDLE] [-d] [--pid-file F] [--console-socket S] … ID   let it go on from there
  spec [-b BUNDLE] [--rootless]   write a config.json to start from
  features              print what this runtime supports as JSON
  mounts add|remove ID FILE   change the mounts of a running container (a JSON array as in config.json)
  plan [-f json] [BUNDLE]   print the steps that run would take, and take none
Berth's own:
  monitor CONFIG        stay with one container (see packages/protocol)
  unpack --target DIR   apply one image layer from stdin
  merge --target DIR --layer TOP --layer …   copy what unpacked layers show together
  diff --layer TOP --layer …   tell what the top layer changes of those below it
  probe --target DIR    tell which ways to show layers this machine has, trying them in DIR
  host                  do host steps given as JSON on stdin
  init -- COMMAND…      as process 1 of a container: reap, forward signals
`;

/** What follows the command in crun's form, where that is more than the container. */
const ARGUMENTS: { readonly [command: string]: string } = {
  exec: "CONTAINER cmd",
  mounts: "[add|remove] CONTAINER FILE",
};

/** In the form of runc's. */
function help(): void {
  const { name, command } = keelHelp;
  if (command === "") {
    print(`NAME:\n   ${name} - Open Container Initiative runtime\n\nUSAGE:\n   ${name} ${HELP}`);
    return;
  }
  const lines = HELP.split("\n");
  let text = "";
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line.indexOf(`  ${command} `) === 0) text += `   ${name} ${line.replace(/^ +/, "")}\n`;
  }
  if (text === "") text = `   ${name} ${command}\n`;
  print(`NAME:\n${text}\nUsage: ${name} [OPTION...] ${command} ${ARGUMENTS[command] || "CONTAINER"}\n`);
}

help();
