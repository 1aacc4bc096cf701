/** Attaches one namespace in a process of its own: `child.ts DIR NAME ID NETNS`; prints the result. */
import { openNetworks } from "../src/open.ts";

const [dir = "", name = "", containerId = "", netnsPath = ""] = process.argv.slice(2);
const networks = openNetworks({ dir, name });
const result = await networks.attach({
  containerId,
  netnsPath,
  ports: [{ hostIp: "", hostPort: 0, containerPort: 80, protocol: "tcp" }],
});
console.log(JSON.stringify(result));
