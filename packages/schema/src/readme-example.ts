import { builtinResources, createResourceRegistry, decodeObject } from "@wherry/schema";

const registry = createResourceRegistry(builtinResources());
const deployments = registry.findByName("deploy");
if (deployments === undefined) throw new Error("deployments are built in");

const body = `{"metadata":{"name":"web"},"spec":{"replica":2,"selector":{"matchLabels":{"app":"web"}},
  "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"nginx"}]}}}}`;
const { object, warnings } = decodeObject(deployments, body);
deployments.strategy.applyDefaults(object);
deployments.strategy.prepareForCreate(object, { now: Date.now() });
export const causes = deployments.strategy.validate(object);
export { object, warnings };
